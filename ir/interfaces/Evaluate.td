// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_EVALUATE
#define LTC_EVALUATE
include "mlir/IR/OpBase.td"

def Evaluate : OpInterface<"EvaluateInterface"> {
  let cppNamespace = "::ltc";
  let description = [{
    The slow reference: the op's meaning on plain buffers in float64. Every
    kernel, fusion and gradient is compared with it.
  }];
  let methods = [InterfaceMethod<
    "One tensor per result from one tensor per operand.",
    "::std::vector<::ltc::HostTensor>", "evaluate",
    (ins "::llvm::ArrayRef<const ::ltc::HostTensor *>":$inputs)>];
}
#endif
