// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation of a region's scalar expression, by rules.
#pragma once
#include "ir/ops/Ops.h"

namespace ltc {

/// Appends at `b` (which stands at the end of `ops`' block, before any
/// terminator) the gradients of the values `wanted` of that block.
/// `seeds[v]` is the gradient that flows into value v. Entry n is null where
/// nothing flows into wanted[n]. Fails with a diagnostic at an op that has no
/// rule but lies on the way.
mlir::FailureOr<llvm::SmallVector<mlir::Value>>
differentiateScalars(mlir::OpBuilder &b, llvm::ArrayRef<mlir::Operation *> ops,
                     llvm::ArrayRef<std::pair<mlir::Value, mlir::Value>> seeds,
                     llvm::ArrayRef<mlir::Value> wanted);

/// Erases the ops of `body` that no yielded value needs.
void eraseDeadScalars(mlir::Block &body);

} // namespace ltc
