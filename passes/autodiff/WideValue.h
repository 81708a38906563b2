// SPDX-License-Identifier: Apache-2.0
// Rule 9 of the graph language: a wide value is never stored whole.
//
// Wide: made by contracting with a parameter, at or above a size, and read
// only by maps and reductions down to sums over all tokens. Its dimensions are
// those of tokens (from the other operand) and the parameter's. The ops from
// the contraction to the sums are outlined into @head, then run for one chunk
// of tokens after another.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ltc {

/// Which token dimension each dimension of a value is; -1: none.
using Tokens = llvm::SmallVector<int64_t>;

struct Head {
  mlir::func::FuncOp function;        ///< @head: the whole of the tokens
  llvm::SmallVector<Tokens> arguments; ///< tokens of each argument
  llvm::SmallVector<unsigned> terms;   ///< term of each result of @head
  llvm::SmallVector<int64_t> sizes;    ///< of the token dimensions
  int64_t bytes = 0;                   ///< of the wide value, all tokens

  /// Tokens per chunk: the leading dimension to 1, then the next into equal
  /// pieces, until a chunk of the wide value fits `chunkBytes`.
  llvm::SmallVector<int64_t> chunkSizes(int64_t chunkBytes) const;
};

/// Replaces each wide value's ops in `loss` by a call. A value that is wide
/// but read in another way stays, with a remark that says why.
llvm::SmallVector<Head> outlineWideValues(mlir::func::FuncOp loss,
                                          int64_t wideBytes);

/// Copy of head.function named `name` for chunks of `sizes` tokens.
mlir::func::FuncOp cloneForChunk(const Head &head, llvm::StringRef name,
                                 llvm::ArrayRef<int64_t> sizes);

/// Is an argument of a function whose ltc.bind has `class`.
bool isBound(mlir::Value value, llvm::StringRef kind);

} // namespace ltc
