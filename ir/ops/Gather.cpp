// SPDX-License-Identifier: Apache-2.0
// Verifiers of ltc.gather, ltc.scatter_add and ltc.shift; labels: Gather.td.
#include "ir/ops/Ops.h"

using namespace mlir;

/// (C1) rows[I.., rest] belongs to ids[I..] and a table [n, rest].
static LogicalResult verifyRows(Operation *op, Value table, Value ids,
                                Value rows) {
  SmallVector<int64_t> expected(ltc::shapeOf(ids));
  if (ltc::shapeOf(table).empty())
    return op->emitOpError("(C1) expects a table of at least one dimension");
  llvm::append_range(expected, ltc::shapeOf(table).drop_front());
  if (ltc::shapeOf(rows) != ArrayRef<int64_t>(expected) ||
      ltc::elementOf(rows) != ltc::elementOf(table))
    return op->emitOpError("(C1) expects rows of type ")
           << RankedTensorType::get(expected, ltc::elementOf(table))
           << ", but they are " << rows.getType();
  if (!ltc::elementOf(ids).isInteger(32))
    return op->emitOpError("(C2) expects i32 ids");
  return success();
}

LogicalResult ltc::GatherOp::verify() {
  return verifyRows(*this, getTable(), getIds(), getOutput());
}

LogicalResult ltc::ScatterAddOp::verify() {
  return verifyRows(*this, getOutput(), getIds(), getUpdates());
}

LogicalResult ltc::ShiftOp::verify() {
  if (getInput().getType() != getOutput().getType())
    return emitOpError("expects a result of the operand's type");
  if (getDim() >= shapeOf(getInput()).size())
    return emitOpError("expects a dimension of ") << getInput().getType();
  if (!getDocument())
    return success();
  if (!elementOf(getDocument()).isInteger(32) ||
      shapeOf(getDocument()) != shapeOf(getInput()).take_front(getDim() + 1))
    return emitOpError("(C1) expects an i32 document with the dimensions of ")
           << getInput().getType() << " up to and including " << getDim();
  return success();
}
