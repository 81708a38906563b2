// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_INCREMENTAL
#define LTC_INCREMENTAL
include "mlir/IR/OpBase.td"

def Incremental : OpInterface<"IncrementalInterface"> {
  let cppNamespace = "::ltc";
  let description = [{
    How an op goes on along time: what it gives at the next times, from its
    operands there and from caches that carry what it needs of earlier ones. An
    op without this interface goes on if its factors say that times are
    independent (TimeStep::pointwise).
  }];
  let methods = [InterfaceMethod<[{
      The op's results at the times of `step`, whose `results` it fills. Fails
      by step.refuse, with the reason, where it does not go on so.
    }], "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "advance",
    (ins "::ltc::TimeStep &":$step)>];
}
#endif
