// SPDX-License-Identifier: Apache-2.0
// The ltc dialect's classes. Op by op descriptions: the .td files.
#pragma once
#include "ir/interfaces/Interfaces.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "ir/ops/OpsDialect.h.inc"
#include "ir/ops/OpsEnums.h.inc"
#define GET_OP_CLASSES
#include "ir/ops/Ops.h.inc"

namespace ltc {
/// Shape of a ranked tensor value.
inline llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType()).getShape();
}
/// Element type of a ranked tensor value.
inline mlir::Type elementOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType()).getElementType();
}
/// Of an op that works along `dim`, kept whole, of `operands` values of one
/// shape, and then asks for the document of each position, if it does.
Factors sequenceFactors(llvm::ArrayRef<int64_t> shape, int64_t dim,
                        unsigned operands, bool asksDocument);
/// (C2) of map and of attention's extras: `map` goes from a space of sizes
/// `space` to indices of `value`, each dimension at most once, sizes equal.
mlir::LogicalResult verifyProjection(mlir::Operation *op, mlir::AffineMap map,
                                     llvm::ArrayRef<int64_t> space,
                                     mlir::Value value);
} // namespace ltc
