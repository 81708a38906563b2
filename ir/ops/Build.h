// SPDX-License-Identifier: Apache-2.0
// Short ways to build common ops of the dialect.
#pragma once
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace ltc {

using ScalarBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(
    mlir::OpBuilder &, mlir::ValueRange)>;

/// ltc.map with the body that `fill` builds from the operands' elements.
MapOp buildMap(mlir::OpBuilder &b, mlir::Location loc, mlir::TypeRange results,
               mlir::ValueRange inputs, llvm::ArrayRef<mlir::AffineMap> maps,
               ScalarBody fill);
/// Every element is `value`.
mlir::Value buildFill(mlir::OpBuilder &b, mlir::Location loc,
                      mlir::RankedTensorType type, double value);
/// The constant that fills every element; null if `value` is no fill.
mlir::arith::ConstantOp fillOf(mlir::Value value);
/// Element by element; both of one type. A null operand is zero.
mlir::Value buildAdd(mlir::OpBuilder &b, mlir::Location loc, mlir::Value lhs,
                     mlir::Value rhs);
/// out[i] = input[map(i)].
mlir::Value buildCopy(mlir::OpBuilder &b, mlir::Location loc,
                      mlir::RankedTensorType type, mlir::Value input,
                      mlir::AffineMap map);
/// The map from `rank` dimensions to `dims`, in their order.
mlir::AffineMap projection(mlir::MLIRContext *context, unsigned rank,
                           llvm::ArrayRef<int64_t> dims);
/// [0, rank) without `dims`.
llvm::SmallVector<int64_t> otherDims(unsigned rank,
                                     llvm::ArrayRef<int64_t> dims);
/// The map of a ltc.map that only copies its one operand; null otherwise.
mlir::AffineMap copyMap(mlir::Value value);
/// True if the map adds two operands element by element.
bool isElementwiseAdd(MapOp map);
/// A cast to `element`, another float type, of every element.
mlir::Value buildCast(mlir::OpBuilder &b, mlir::Location loc, mlir::Value input,
                      mlir::Type element);
/// True if the map casts its operand element by element and does no more.
bool isCast(mlir::Operation *op);
mlir::Value buildSum(mlir::OpBuilder &b, mlir::Location loc, mlir::Value input,
                     llvm::ArrayRef<int64_t> dims);

} // namespace ltc
