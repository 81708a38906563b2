// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_PRECISION_PASSES
#define LTC_PRECISION_PASSES
include "mlir/Pass/PassBase.td"

def ApplyPrecisionPass : Pass<"ltc-apply-precision", "::mlir::ModuleOp"> {
  let summary = "the precision policy becomes types";
  let description = [{
    Policy fp32, the only one yet: every float tensor is f32; f64 holds scalars
    (settings, step) alone. Before: the module may name its policy in
    `ltc.precision`. After: it does, and every type agrees with it.
  }];
}
#endif
