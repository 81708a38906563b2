// SPDX-License-Identifier: Apache-2.0
// Verifiers and folders of ltc.reshape, ltc.slice and ltc.join.
#include "ir/ops/Ops.h"

using namespace mlir;

LogicalResult ltc::ReshapeOp::verify() {
  auto from = cast<RankedTensorType>(getInput().getType());
  auto to = cast<RankedTensorType>(getOutput().getType());
  if (from.getElementType() != to.getElementType() ||
      from.getNumElements() != to.getNumElements())
    return emitOpError("expects as many elements in ") << to << " as in "
                                                       << from;
  return success();
}

OpFoldResult ltc::ReshapeOp::fold(FoldAdaptor) {
  if (getInput().getType() == getOutput().getType())
    return getInput();
  if (auto inner = getInput().getDefiningOp<ReshapeOp>()) {
    if (inner.getInput().getType() == getOutput().getType())
      return inner.getInput();
    getInputMutable().assign(inner.getInput());
    return getResult();
  }
  return {};
}

LogicalResult ltc::SliceOp::verify() {
  ArrayRef<int64_t> from = shapeOf(getInput()), to = shapeOf(getOutput());
  if (from.size() != to.size() || getDim() >= from.size() ||
      elementOf(getInput()) != elementOf(getOutput()))
    return emitOpError("expects a result like the operand and a dimension "
                       "inside its rank");
  for (unsigned i = 0; i < from.size(); ++i)
    if (i != getDim() && from[i] != to[i])
      return emitOpError("expects equal sizes along dimension ") << i;
  int64_t offset = getOffset();
  if (offset < 0 || offset + to[getDim()] > from[getDim()])
    return emitOpError("expects to end at ")
           << from[getDim()] << " at most, but ends at "
           << offset + to[getDim()];
  return success();
}

OpFoldResult ltc::SliceOp::fold(FoldAdaptor) {
  if (getInput().getType() == getOutput().getType())
    return getInput();
  return {};
}

LogicalResult ltc::JoinOp::verify() {
  ArrayRef<int64_t> to = shapeOf(getOutput());
  if (getInputs().empty() || getDim() >= to.size())
    return emitOpError("expects an operand and a dimension inside the rank");
  int64_t total = 0;
  for (Value input : getInputs()) {
    SmallVector<int64_t> from(shapeOf(input));
    if (from.size() != to.size() || elementOf(input) != elementOf(getOutput()))
      return emitOpError("expects operands like the result");
    total += from[getDim()];
    from[getDim()] = to[getDim()];
    if (ArrayRef<int64_t>(from) != to)
      return emitOpError("expects equal sizes but along dimension ")
             << getDim();
  }
  if (total != to[getDim()])
    return emitOpError("expects a result of ")
           << total << " elements along dimension " << getDim();
  return success();
}

OpFoldResult ltc::JoinOp::fold(FoldAdaptor) {
  if (getInputs().size() == 1)
    return getInputs()[0];
  return {};
}
