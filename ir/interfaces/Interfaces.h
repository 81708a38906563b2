// SPDX-License-Identifier: Apache-2.0
// What an op of the dialect can say about itself: reference value, factors,
// cost, gradient, how it goes on along time. Each op states it in its own file
// under ir/ops.
#pragma once
#include "ir/interfaces/HostTensor.h"
#include "ir/interfaces/Incremental.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace ltc {

enum class FactorKind {
  Parallel, ///< may be split; the pieces are independent
  Reduced,  ///< may be split; the pieces are combined
  Whole,    ///< must not be split
};

/// A dimension is the row-major product of its factors (reshape: several; a
/// broadcast or a dimension of size one: none).
struct Factors {
  struct Factor {
    int64_t size;
    FactorKind kind;
  };
  using Dim = llvm::SmallVector<int64_t, 1>; ///< indices of `all`
  std::vector<Factor> all;
  std::vector<std::vector<Dim>> operands, results; ///< [operand][dimension]

  int64_t add(int64_t size, FactorKind kind = FactorKind::Parallel) {
    all.push_back({size, kind});
    return static_cast<int64_t>(all.size()) - 1;
  }
};

} // namespace ltc

#include "ir/interfaces/Cost.h.inc"
#include "ir/interfaces/Differentiable.h.inc"
#include "ir/interfaces/Evaluate.h.inc"
#include "ir/interfaces/Factors.h.inc"
#include "ir/interfaces/Incremental.h.inc"
