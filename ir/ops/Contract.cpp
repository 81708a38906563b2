// SPDX-License-Identifier: Apache-2.0
// Verifier of ltc.contract. The labels (C1..) are Contract.td's.
#include "ir/ops/Ops.h"

using namespace mlir;

static LogicalResult verifyLabels(ltc::ContractOp op, Value value,
                                  ArrayRef<int64_t> labels,
                                  llvm::MapVector<int64_t, int64_t> &sizes) {
  ArrayRef<int64_t> shape = ltc::shapeOf(value);
  llvm::DenseSet<int64_t> seen;
  if (labels.size() != shape.size())
    return op.emitOpError("(C1) expects one label per dimension of ")
           << value.getType();
  for (auto [label, size] : llvm::zip(labels, shape)) {
    if (!seen.insert(label).second)
      return op.emitOpError("(C1) expects distinct labels, but ")
             << label << " repeats";
    auto known = sizes.insert({label, size}).first;
    if (known->second != size)
      return op.emitOpError("(C2) expects equal sizes for label ")
             << label << ", but they are " << known->second << " and " << size;
  }
  return success();
}

LogicalResult ltc::ContractOp::verify() {
  llvm::MapVector<int64_t, int64_t> sizes;
  if (failed(verifyLabels(*this, getLhs(), getLhsDims(), sizes)) ||
      failed(verifyLabels(*this, getRhs(), getRhsDims(), sizes)))
    return failure();
  for (int64_t label : getOutDims())
    if (!sizes.count(label))
      return emitOpError("(C3) expects label ")
             << label << " of the result in an operand";
  if (failed(verifyLabels(*this, getOutput(), getOutDims(), sizes)))
    return failure();
  for (auto [label, size] : sizes) {
    bool left = llvm::is_contained(getLhsDims(), label);
    bool right = llvm::is_contained(getRhsDims(), label);
    if (left != right && !llvm::is_contained(getOutDims(), label))
      return emitOpError("(C3) expects label ")
             << label << ", of one operand only, in the result";
  }
  return success();
}
