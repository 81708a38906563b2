// SPDX-License-Identifier: Apache-2.0
// Walking row-major index spaces in the reference implementations.
#pragma once
#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>

namespace ltc {

using Strides = llvm::SmallVector<int64_t, 6>;

/// Elements between neighbours along each dimension of a row-major shape.
inline Strides stridesOf(llvm::ArrayRef<int64_t> shape) {
  Strides strides(shape.size(), 1);
  for (int64_t i = static_cast<int64_t>(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

/// Strides over the space of a projected permutation `map`, whose results
/// index a tensor of `shape`; zero where the tensor is broadcast.
inline Strides stridesThrough(mlir::AffineMap map,
                              llvm::ArrayRef<int64_t> shape) {
  Strides strides(map.getNumDims(), 0), own = stridesOf(shape);
  for (unsigned i = 0; i < map.getNumResults(); ++i)
    strides[map.getDimPosition(i)] = own[i];
  return strides;
}

inline int64_t offsetAt(llvm::ArrayRef<int64_t> point,
                        llvm::ArrayRef<int64_t> strides) {
  int64_t offset = 0;
  for (size_t i = 0; i < point.size(); ++i)
    offset += point[i] * strides[i];
  return offset;
}

/// Calls fn(point) for every point of `shape`, the last dimension fastest.
template <typename Fn>
void forEachPoint(llvm::ArrayRef<int64_t> shape, Fn fn) {
  llvm::SmallVector<int64_t, 6> point(shape.size(), 0);
  if (llvm::is_contained(shape, 0))
    return;
  while (true) {
    fn(llvm::ArrayRef<int64_t>(point));
    int64_t dim = static_cast<int64_t>(shape.size()) - 1;
    while (dim >= 0 && ++point[dim] == shape[dim])
      point[dim--] = 0;
    if (dim < 0)
      return;
  }
}

} // namespace ltc
