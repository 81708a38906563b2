// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_RECOMPUTE_PASSES
#define LTC_RECOMPUTE_PASSES
include "mlir/Pass/PassBase.td"

def ChooseRecomputePass : Pass<"ltc-choose-recompute", "::mlir::ModuleOp"> {
  let summary = "which block calls compute again what their backward reads";
  let description = [{
    Where the module has a budget, `ltc.memory_budget = {bytes, beside, threads,
    at}`, differentiation made variants of each block that keep less. This pass
    plans the memory of the formed kernels under choices of (variant, how many
    calls, from the first block on) and takes that of least work which fits.
    Before:  %y, %k:5 = call @layer.forward(..)        {ltc.call = 0}
             %d = call @layer.backward(%k, ..)         {ltc.call = 0}
    After:   %y = call @layer.recompute1.forward(..)
             %d = call @layer.recompute1.backward(..)
             and `ltc.recompute`, which says what was chosen.
    Without a budget: nothing.
  }];
}
#endif
