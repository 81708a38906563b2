// SPDX-License-Identifier: Apache-2.0
// Reverse-mode sweep over the ops of one block.
#pragma once
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ltc {

/// A float tensor: what can have a gradient.
bool isFloat(mlir::Value value);

/// Values among `ops` that depend on `wanted` by floats, with them.
llvm::DenseSet<mlir::Value> dependents(llvm::ArrayRef<mlir::Operation *> ops,
                                       llvm::ArrayRef<mlir::Value> wanted);

/// Gradients of call operands from those of its results; as
/// DifferentiableInterface::gradient.
using CallRule =
    llvm::function_ref<mlir::FailureOr<llvm::SmallVector<mlir::Value>>(
        mlir::OpBuilder &, mlir::func::CallOp, llvm::ArrayRef<mlir::Value>,
        llvm::ArrayRef<bool>)>;

/// Builds at `b` the gradients of `wanted`, given that `seeds[n].second` flows
/// into value `seeds[n].first`. Null where nothing flows.
mlir::FailureOr<llvm::SmallVector<mlir::Value>>
buildGradients(mlir::OpBuilder &b, llvm::ArrayRef<mlir::Operation *> ops,
               llvm::ArrayRef<std::pair<mlir::Value, mlir::Value>> seeds,
               llvm::ArrayRef<mlir::Value> wanted, CallRule callRule);

/// Erases ops without effect whose results nothing reads, last first.
void eraseDead(mlir::Block &body);
/// Folds copies into what reads them, merges equal ops, erases dead ones.
void simplify(mlir::func::FuncOp function);

} // namespace ltc
