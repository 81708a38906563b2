// SPDX-License-Identifier: Apache-2.0
// Verifiers, folders, meaning and gradients of ltc.reshape, ltc.slice and
// ltc.join.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"

using namespace mlir;
using namespace ltc;

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

/// Splits both shapes into common factors, row-major from the left: 12 = 3 * 4
/// against 6 * 2 has none, and then the run of dimensions is one whole factor.
Factors ReshapeOp::factors() {
  Factors factors;
  ArrayRef<int64_t> from = shapeOf(getInput()), to = shapeOf(getOutput());
  std::vector<Factors::Dim> operand(from.size()), result(to.size());
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    size_t i0 = i, j0 = j;
    int64_t left = i < from.size() ? from[i++] : 1;
    int64_t right = j < to.size() ? to[j++] : 1;
    while (left != right)
      (left < right ? left *= from[i++] : right *= to[j++]);
    // One dimension on one side: the other side's dimensions are its factors.
    bool opens = i - i0 <= 1, closes = j - j0 <= 1;
    auto &many = opens ? result : operand;
    auto &one = opens ? operand : result;
    size_t begin = opens ? j0 : i0, end = opens ? j : i;
    Factors::Dim together;
    for (size_t n = begin; n < end; ++n) {
      int64_t size = opens ? to[n] : from[n];
      FactorKind kind =
          opens || closes ? FactorKind::Parallel : FactorKind::Whole;
      if (size == 1)
        continue;
      many[n] = {factors.add(size, kind)};
      together.push_back(many[n][0]);
    }
    size_t first = opens ? i0 : j0, last = opens ? i : j;
    if (first < last)
      one[first] = together;
  }
  factors.operands = {operand};
  factors.results = {result};
  return factors;
}

double ReshapeOp::flops() { return 0; }
bool ReshapeOp::cheapToRecompute() { return true; }

std::vector<HostTensor> ReshapeOp::evaluate(ArrayRef<const HostTensor *> in) {
  return {HostTensor(shapeOf(getOutput()).vec(), in[0]->data)};
}

FailureOr<SmallVector<Value>> ReshapeOp::gradient(OpBuilder &b,
                                                  ArrayRef<Value> dResults,
                                                  ArrayRef<bool> wanted) {
  Value dx;
  if (dResults[0] && wanted[0])
    dx = ReshapeOp::create(b, getLoc(), getInput().getType(), dResults[0]);
  return SmallVector<Value>{dx};
}

/// Every dimension but `whole` is parallel; `whole` has no common factor.
static Factors alongFactors(ArrayRef<int64_t> shape, int64_t whole,
                            unsigned operands) {
  Factors factors;
  std::vector<Factors::Dim> dims(shape.size());
  for (auto [i, size] : llvm::enumerate(shape))
    if (static_cast<int64_t>(i) != whole)
      dims[i] = {factors.add(size)};
  factors.operands.assign(operands, dims);
  factors.results = {dims};
  return factors;
}

Factors SliceOp::factors() {
  return alongFactors(shapeOf(getInput()), getDim(), 1);
}
double SliceOp::flops() { return 0; }
bool SliceOp::cheapToRecompute() { return true; }

std::vector<HostTensor> SliceOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  Strides strides = stridesOf(in[0]->shape);
  int64_t base = getOffset() * strides[getDim()], at = 0;
  forEachPoint(out.shape, [&](ArrayRef<int64_t> point) {
    out.data[at++] = in[0]->data[base + offsetAt(point, strides)];
  });
  return {out};
}

FailureOr<SmallVector<Value>> SliceOp::gradient(OpBuilder &b,
                                                ArrayRef<Value> dResults,
                                                ArrayRef<bool> wanted) {
  if (!dResults[0] || !wanted[0])
    return SmallVector<Value>{Value()};
  auto type = cast<RankedTensorType>(getInput().getType());
  int64_t size = shapeOf(getOutput())[getDim()], offset = getOffset();
  auto zeros = [&](int64_t count) {
    SmallVector<int64_t> shape(type.getShape());
    shape[getDim()] = count;
    return buildFill(b, getLoc(),
                     RankedTensorType::get(shape, type.getElementType()), 0);
  };
  SmallVector<Value> parts;
  if (offset > 0)
    parts.push_back(zeros(offset));
  parts.push_back(dResults[0]);
  if (int64_t rest = type.getShape()[getDim()] - offset - size)
    parts.push_back(zeros(rest));
  return SmallVector<Value>{
      JoinOp::create(b, getLoc(), type, parts, getDim())};
}

Factors JoinOp::factors() {
  return alongFactors(shapeOf(getOutput()), getDim(), getInputs().size());
}
double JoinOp::flops() { return 0; }
bool JoinOp::cheapToRecompute() { return true; }

std::vector<HostTensor> JoinOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  Strides strides = stridesOf(out.shape);
  int64_t base = 0;
  for (const HostTensor *part : in) {
    int64_t at = 0;
    forEachPoint(part->shape, [&](ArrayRef<int64_t> point) {
      out.data[base + offsetAt(point, strides)] = part->data[at++];
    });
    base += part->shape[getDim()] * strides[getDim()];
  }
  return {out};
}

FailureOr<SmallVector<Value>> JoinOp::gradient(OpBuilder &b,
                                               ArrayRef<Value> dResults,
                                               ArrayRef<bool> wanted) {
  SmallVector<Value> grads(getInputs().size());
  int64_t offset = 0;
  for (auto [i, input] : llvm::enumerate(getInputs())) {
    if (dResults[0] && wanted[i])
      grads[i] = SliceOp::create(b, getLoc(), input.getType(), dResults[0],
                                 getDim(), offset);
    offset += shapeOf(input)[getDim()];
  }
  return grads;
}
