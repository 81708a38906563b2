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
  using Dims = llvm::SmallVector<int64_t, 4>;
  Dims outs;                           ///< output dimensions, outermost first
  Dims aDims, bDims;                   ///< the operands', in the same order
};

/// A is the operand that brings the rows, B the one with the last output
/// dimension, along which lanes run.
struct ContractPlan {
  mlir::Value a, b;             ///< kernel arguments, or what maps make of them
  int64_t aOffset = 0, bOffset = 0; ///< of views, in elements
  llvm::SmallVector<Axis> outer; ///< one tile sees one point of these
  Axis m, n;
  llvm::SmallVector<Axis> k; ///< outermost first
  /// Of a grouped contraction: rows offsets[g] .. offsets[g + 1], i32 read at
  /// run time, belong to group g. They are m's, or are summed: then outer[0]
  /// is the group and each row is `perRow` k's.
  mlir::Value offsets;
  int64_t groups = 0, bGroup = 0, perRow = 1;
  bool sumsRows = false;
  bool ragged() const { return bool(offsets); }
  int64_t kSize() const {
    int64_t size = 1;
    for (const Axis &axis : k)
      size *= axis.size;
    return size;
  }
};

/// True if `value` is made by maps that must know a point's place in each
/// dimension, not only its number: they read broadcasts or an index.
bool needsPlaces(mlir::Value value);

/// Fails, with the reason, where the target has no algorithm.
/// `plainStore`: nothing but the sum is stored, so lanes may cross labels.
/// `contract`: a ltc.contract or ltc.grouped_contract.
mlir::FailureOr<ContractPlan> planContract(mlir::Operation *contract,
                                           bool plainStore, std::string &why);

} // namespace ltc::cpu
