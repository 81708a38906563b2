// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_RECOMPUTE_PASSES
#define LTC_RECOMPUTE_PASSES
include "mlir/Pass/PassBase.td"

def ChooseRecomputePass : Pass<"ltc-choose-recompute", "::mlir::ModuleOp"> {
  let summary = "which blocks recompute what their backward reads";
  let description = [{
    keep, the only choice yet: blocks keep what differentiation's cut chose.
    Before: the module may ask in `ltc.recompute`. After: the choice is there.
  }];
}
#endif
