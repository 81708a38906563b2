// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_AUTODIFF_PASSES
#define LTC_AUTODIFF_PASSES
include "mlir/Pass/PassBase.td"

def DifferentiatePass : Pass<"ltc-differentiate", "::mlir::ModuleOp"> {
  let summary = "from the loss's value to the step's gradients";
  let description = [{
    Before:  @loss(parameters, inputs, scalars) -> one sum per term,
             calling block functions @layer
    After:   @accumulate(those, gradients, sums so far, inverse counts,
                         weights) -> sums, gradients; both in place
             @evaluate(those, sums so far) -> sums
             @layer.forward(..) -> (outputs, saved values)
             @layer.backward(saved values, inputs, d outputs) -> d inputs
             @head.chunk(..), where a wide value was found (WideValue.h)
    Keeps:   @layer for what needs no gradient (@evaluate, @predict).

    What a block keeps for its backward is the smallest cut in bytes between
    what must not be computed twice and what the gradient reads.
  }];
  let options = [
    Option<"wideBytes", "wide-bytes", "int64_t", "128 << 20",
           "a value made with a parameter is chunked from this size on">,
    Option<"chunkBytes", "chunk-bytes", "int64_t", "128 << 20",
           "most bytes of a wide value that exist at once">];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect", "::ltc::LtcDialect"];
}
#endif
