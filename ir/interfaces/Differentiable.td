// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_DIFFERENTIABLE
#define LTC_DIFFERENTIABLE
include "mlir/IR/OpBase.td"

def Differentiable : OpInterface<"DifferentiableInterface"> {
  let cppNamespace = "::ltc";
  let description = [{
    The gradient rule. It is written beside the op, in the same function, and
    may read any operand or result of the op; what it reads is then kept or
    computed again, which is the differentiate pass's choice.
  }];
  let methods = [InterfaceMethod<[{
      Builds the gradients of the operands for which `wanted` from those of the
      results (null: zero). One entry per operand; null: no gradient flows.
    }], "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "gradient",
    (ins "::mlir::OpBuilder &":$builder,
         "::llvm::ArrayRef<::mlir::Value>":$dResults,
         "::llvm::ArrayRef<bool>":$wanted)>];
}
#endif
