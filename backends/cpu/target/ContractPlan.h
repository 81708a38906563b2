// SPDX-License-Identifier: Apache-2.0
// A contraction seen as a loop nest: batch dimensions, then C = A B with one
// row, one column and some reduced dimensions, each a stride per operand.
#pragma once
#include "ir/ops/Ops.h"

namespace ltc::cpu {

/// One or several neighbouring labels walked as a single dimension.
struct Axis {
  int64_t size = 1;
  int64_t a = 0, b = 0;                ///< strides in A and B, in elements
  llvm::SmallVector<int64_t, 4> outs;  ///< output dimensions, outermost first
};

/// A is the operand that brings the rows, B the one with the last output
/// dimension, along which lanes run.
struct ContractPlan {
  mlir::Value a, b;             ///< kernel arguments
  int64_t aOffset = 0, bOffset = 0; ///< of views, in elements
  llvm::SmallVector<Axis> outer; ///< one tile sees one point of these
  Axis m, n;
  llvm::SmallVector<Axis> k; ///< outermost first
  int64_t kSize() const {
    int64_t size = 1;
    for (const Axis &axis : k)
      size *= axis.size;
    return size;
  }
};

/// Fails, with the reason, where the target has no algorithm.
/// `plainStore`: nothing but the sum is stored, so lanes may cross labels.
mlir::FailureOr<ContractPlan> planContract(ContractOp contract, bool plainStore,
                                           std::string &why);

} // namespace ltc::cpu
