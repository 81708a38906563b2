// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_GENERATION_PASSES
#define LTC_GENERATION_PASSES
include "mlir/Pass/PassBase.td"

def DeriveGenerationPass : Pass<"ltc-derive-generation", "::mlir::ModuleOp"> {
  let summary = "from a window's logits to prefill and decode with caches";
  let description = [{
    Before:  @predict(parameters, inputs [1, length], position) -> logits
    After:   also @decode(parameters, inputs [1, 1], position, past, caches)
                 -> logits, caches     caches in place
             and @prefill, the same for a chunk of tokens, without logits.
    `past` is the number of tokens that the caches hold. Ops are independent
    along time by their factors or go on by their Incremental interface.
    @prepare(parameters) -> caches: what a step would make of weights alone.
    Where one does neither, none of these is made, a remark stands at its line
    and `ltc.no_cache_why` says why.
  }];
  let options = [
    Option<"chunk", "chunk", "int64_t", "32",
           "tokens of @prefill; half of the length at most">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::ltc::LtcDialect"];
}
#endif
