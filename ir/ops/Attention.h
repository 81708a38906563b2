// SPDX-License-Identifier: Apache-2.0
// What the reference and the targets share about attention's regions.
#pragma once
#include "ir/ops/Ops.h"

namespace ltc {

/// c of an index t - u + c of an extra; none if it is no such index.
std::optional<int64_t> distanceOffset(mlir::AffineExpr index);

/// Shape of an extra's gradient: (b, g), then the extra's other dimensions.
llvm::SmallVector<int64_t> extraGradShape(mlir::AffineMap map, int64_t batches,
                                          int64_t groups,
                                          llvm::ArrayRef<int64_t> extra);

/// Fills `out` with `score`'s block, which yields the score and then its
/// derivatives by the block's arguments `by`.
mlir::LogicalResult scoreWithSlopes(mlir::Region &score,
                                    llvm::ArrayRef<unsigned> by,
                                    mlir::Region &out);

/// What a keep region implies of every kept pair, whatever else it asks.
struct KeepBounds {
  std::optional<int64_t> ahead;  ///< u - t < ahead; 1 is causal
  std::optional<int64_t> window; ///< t - u < window
  /// Pairs within the bounds.
  double pairs(int64_t queries, int64_t keys) const;
};
KeepBounds keepBounds(mlir::Region &keep);

} // namespace ltc
