// SPDX-License-Identifier: Apache-2.0
// A wide value's ops for one chunk of tokens after another.
#pragma once
#include "passes/autodiff/WideValue.h"

namespace ltc {

/// @head's chunk functions. `gradients`: arguments whose gradient it makes.
struct ChunkFunction {
  mlir::func::FuncOp function;
  llvm::SmallVector<int64_t> sizes;
  llvm::SmallVector<unsigned> sliced; ///< arguments whose gradient is a chunk's
  llvm::SmallVector<unsigned> summed; ///< arguments whose gradient accumulates
};

/// Forward only: (arguments, sums) -> sums.
ChunkFunction buildValueChunk(const Head &head, int64_t chunkBytes);

/// Value and gradients in one visit:
/// (arguments, seeds, sums, gradients so far) -> (chunk gradients, sums,
/// gradients). A seed is what flows into a sum, known beforehand.
mlir::FailureOr<ChunkFunction> buildGradientChunk(const Head &head,
                                                  llvm::ArrayRef<bool> wanted,
                                                  llvm::ArrayRef<bool> seeded,
                                                  int64_t chunkBytes);

/// Calls `chunk` for every chunk of the tokens. `totals` run through: sums,
/// then gradients so far. Returns the chunks' gradients, one list a slice.
llvm::SmallVector<llvm::SmallVector<mlir::Value>>
callChunks(mlir::OpBuilder &b, const Head &head, const ChunkFunction &chunk,
           mlir::ValueRange inputs, mlir::ValueRange seeds,
           llvm::SmallVector<mlir::Value> &totals);

/// Chunks' gradients of argument `i` as the whole value's: joined along the
/// last token dimension first, added along those it does not have.
mlir::Value joinChunks(mlir::OpBuilder &b, const Head &head,
                       const ChunkFunction &chunk, unsigned i,
                       llvm::SmallVector<mlir::Value> parts);

} // namespace ltc
