// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_BASE
#define LTC_BASE
include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Ltc_Dialect : Dialect {
  let name = "ltc";
  let cppNamespace = "::ltc";
  let summary = "what trains: tensor ops on static shapes, and the kernels they become";
}
include "ir/interfaces/Cost.td"
include "ir/interfaces/Differentiable.td"
include "ir/interfaces/Evaluate.td"
include "ir/interfaces/Factors.td"
include "ir/interfaces/Incremental.td"

class Ltc_Op<string mnemonic, list<Trait> traits = []> : Op<Ltc_Dialect, mnemonic, traits>;

// An op on tensors: it has a meaning, factors, a cost and a gradient rule.
class Ltc_TensorOp<string mnemonic, list<Trait> traits = []>
    : Ltc_Op<mnemonic, !listconcat(traits, [
        Pure, DeclareOpInterfaceMethods<Evaluate>,
        DeclareOpInterfaceMethods<FactorsOf>,
        DeclareOpInterfaceMethods<CostOf>,
        DeclareOpInterfaceMethods<Differentiable>])>;

// How an op goes on along time where that is not point by point.
def Ltc_Incremental : DeclareOpInterfaceMethods<Incremental>;

// Every tensor is static and ranked; rank 0 is a scalar.
def Ltc_Tensor : StaticShapeTensorOf<[AnyType]>;
def Ltc_ReduceKind : I32EnumAttr<"ReduceKind", "how a reduction combines", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Max", 1, "max">,
  I32EnumAttrCase<"Min", 2, "min">]> { let cppNamespace = "::ltc"; }
#endif
