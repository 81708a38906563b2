// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_FACTORS
#define LTC_FACTORS
include "mlir/IR/OpBase.td"

def FactorsOf : OpInterface<"FactorsInterface"> {
  let cppNamespace = "::ltc";
  let description = [{
    How the dimensions of operands and results belong together, like the
    letters of an einsum: (m,k),(k,n)->(m,n) with k reduced. Stated once; used
    for tiling, sharding and cost.
  }];
  let methods = [InterfaceMethod<"", "::ltc::Factors", "factors">];
}
#endif
