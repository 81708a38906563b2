// SPDX-License-Identifier: Apache-2.0
// Labels of the dimensions of ltc.contract and ltc.grouped_contract.
#pragma once
#include "mlir/IR/Operation.h"
#include "llvm/ADT/MapVector.h"

namespace ltc {

using LabelSizes = llvm::MapVector<int64_t, int64_t>;

/// Adds a value's labels with their sizes; an error of `op` where (C1) one
/// label per dimension, each once, or (C2) equal sizes does not hold.
mlir::LogicalResult addLabels(mlir::Operation *op, mlir::Value value,
                              llvm::ArrayRef<int64_t> labels,
                              LabelSizes &sizes);

} // namespace ltc
