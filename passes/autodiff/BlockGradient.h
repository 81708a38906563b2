// SPDX-License-Identifier: Apache-2.0
// A block function's forward, which keeps values, and its backward; where
// memory is budgeted, in variants that keep less and compute more again.
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
  /// (kept, d outputs, gradients so far) -> (d arguments); those of parameters
  /// are sums, so that a kernel may add onto what is there.
  mlir::func::FuncOp backward;
  unsigned outputs = 0;
  llvm::SmallVector<Kept> kept;
  bool hasVariants = false; ///< its calls are numbered (Variants.h)
  llvm::SmallVector<unsigned> dOutputs;   ///< float outputs, ascending
  llvm::SmallVector<unsigned> dArguments; ///< those with a gradient, ascending
  llvm::SmallVector<bool> accumulated;    ///< of each: it is a sum
};

/// What is wanted of a block's argument.
enum class Want { Nothing, Gradient, Sum };

/// Builds both beside `block`, with one want per argument; with `levels`, up to
/// so many variants that keep less, as functions of their own (Variants.h).
mlir::FailureOr<BlockGradient> buildBlockGradient(mlir::func::FuncOp block,
                                                  llvm::ArrayRef<Want> wanted,
                                                  unsigned levels = 0);

} // namespace ltc
