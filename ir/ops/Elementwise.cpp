// SPDX-License-Identifier: Apache-2.0
// Verifiers of ltc.map and ltc.reduce. The labels (C1..) are Elementwise.td's.
#include "ir/ops/Ops.h"

using namespace mlir;

LogicalResult ltc::verifyProjection(Operation *op, AffineMap map,
                                    ArrayRef<int64_t> space, Value value) {
  ArrayRef<int64_t> shape = shapeOf(value);
  if (map.getNumDims() != space.size() || map.getNumSymbols() != 0 ||
      map.getNumResults() != shape.size() ||
      !map.isProjectedPermutation(/*allowZeroInResults=*/false))
    return op->emitOpError("(C2) expects a projected permutation from ")
           << space.size() << " dimensions to " << shape.size()
           << ", but the map is "
           << AffineMapAttr::get(map);
  for (unsigned i = 0; i < shape.size(); ++i)
    if (int64_t size = space[map.getDimPosition(i)]; size != shape[i])
      return op->emitOpError("(C2) expects ")
             << size << " elements along dimension " << i << " of "
             << value.getType() << ", as the space has";
  return success();
}

/// (C3) argument types and yielded types are the element types.
static LogicalResult verifyScalars(ltc::MapOp op) {
  Block &body = op.getBody().front();
  if (body.getNumArguments() != op.getInputs().size())
    return op.emitOpError("(C3) expects one region argument per operand");
  for (auto [argument, input] : llvm::zip(body.getArguments(), op.getInputs()))
    if (argument.getType() != ltc::elementOf(input))
      return op.emitOpError("(C3) expects a region argument of type ")
             << ltc::elementOf(input) << ", but it is " << argument.getType();
  auto yield = dyn_cast<ltc::YieldOp>(body.getTerminator());
  if (!yield || yield.getValues().size() != op.getOutputs().size())
    return op.emitOpError("(C3) expects ltc.yield with one scalar per result");
  for (auto [value, output] : llvm::zip(yield.getValues(), op.getOutputs()))
    if (value.getType() != ltc::elementOf(output))
      return op.emitOpError("(C3) expects to yield ")
             << ltc::elementOf(output) << ", but yields " << value.getType();
  return success();
}

LogicalResult ltc::MapOp::verify() {
  if (getOutputs().empty())
    return emitOpError("(C1) expects at least one result");
  for (Value output : getOutputs())
    if (shapeOf(output) != getSpace())
      return emitOpError("(C1) expects results of one shape");
  if (getMaps().size() != getInputs().size())
    return emitOpError("(C2) expects one map per operand");
  for (unsigned i = 0; i < getInputs().size(); ++i)
    if (failed(verifyProjection(*this, getMap(i), getSpace(), getInputs()[i])))
      return failure();
  for (Operation &op : getBody().front()) {
    if (auto index = dyn_cast<IndexOp>(op))
      if (index.getDim() >= getSpace().size())
        return index.emitOpError("(C4) expects a dimension of the space");
    StringRef dialect = op.getName().getDialectNamespace();
    if (dialect != "arith" && dialect != "math" &&
        !isa<IndexOp, RandomOp, TrainingOp, YieldOp>(op))
      return op.emitOpError("(C4) expects only arith, math, ltc.index, "
                            "ltc.random, ltc.training and ltc.yield inside "
                            "ltc.map");
  }
  return verifyScalars(*this);
}

LogicalResult ltc::ReduceOp::verify() {
  ArrayRef<int64_t> dims = getDims(), shape = shapeOf(getInput());
  for (unsigned i = 0; i < dims.size(); ++i)
    if (dims[i] < 0 || dims[i] >= (int64_t)shape.size() ||
        (i > 0 && dims[i] <= dims[i - 1]))
      return emitOpError("(C1) expects distinct ascending dimensions of ")
             << getInput().getType();
  SmallVector<int64_t> rest;
  for (int64_t i = 0; i < (int64_t)shape.size(); ++i)
    if (!llvm::is_contained(dims, i))
      rest.push_back(shape[i]);
  auto expected = RankedTensorType::get(rest, elementOf(getInput()));
  if (getOutput().getType() != expected)
    return emitOpError("(C2) expects a result of type ") << expected;
  return success();
}
