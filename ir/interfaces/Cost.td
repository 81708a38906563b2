// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_COST
#define LTC_COST
include "mlir/IR/OpBase.td"

def CostOf : OpInterface<"CostInterface"> {
  let cppNamespace = "::ltc";
  let description = [{ What an op computes and touches if run by itself. }];
  let methods = [
    InterfaceMethod<"Floating point operations; a multiply-add counts two.",
      "double", "flops">,
    InterfaceMethod<"Whether the gradient may compute it again instead of keeping it: arithmetic at the speed of memory.",
      "bool", "cheapToRecompute">];
}
#endif
