// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_PRECISION_PASSES
#define LTC_PRECISION_PASSES
include "mlir/Pass/PassBase.td"

def ApplyPrecisionPass : Pass<"ltc-apply-precision", "::mlir::ModuleOp"> {
  let summary = "the precision policy becomes types";
  let description = [{
    Before: every float tensor is f32, f64 holds scalars (settings, step) alone;
    the module may name its policy in `ltc.precision` (default fp32).
    After, bf16:  %b = cast %h : bf16   %s = ltc.contract %b, %w : bf16 -> f32
                  %y = cast %s : bf16   (if more than a sum reads it)
    Weights come cast from the caller; @apply and @init are f32.
  }];
}
#endif
