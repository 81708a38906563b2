// SPDX-License-Identifier: Apache-2.0
// A block function's forward, which keeps values, and its backward.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ltc {

struct BlockGradient {
  /// What the backward takes first: argument `index` of the block's call, or
  /// result `index` of the forward's.
  struct Kept {
    bool isArgument;
    unsigned index;
  };
  mlir::func::FuncOp forward;  ///< (arguments) -> (outputs, kept results)
  mlir::func::FuncOp backward; ///< (kept, d outputs) -> (d arguments)
  unsigned outputs = 0;
  llvm::SmallVector<Kept> kept;
  llvm::SmallVector<unsigned> dOutputs;   ///< float outputs, ascending
  llvm::SmallVector<unsigned> dArguments; ///< those with a gradient, ascending
};

/// Builds both beside `block`, for the gradients of the arguments `wanted`.
mlir::FailureOr<BlockGradient> buildBlockGradient(mlir::func::FuncOp block,
                                                  llvm::ArrayRef<bool> wanted);

} // namespace ltc
