// SPDX-License-Identifier: Apache-2.0
// Verifiers, meaning and gradients of ltc.top_k, ltc.route, ltc.dispatch and
// ltc.combine; labels: Routing.td.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace ltc;

static int64_t countOf(Value value) {
  return ShapedType::getNumElements(ltc::shapeOf(value));
}

static int64_t sizeOf(ArrayRef<int64_t> shape) {
  return ShapedType::getNumElements(shape);
}

LogicalResult ltc::TopKOp::verify() {
  ArrayRef<int64_t> from = shapeOf(getInput()), to = shapeOf(getValues());
  if (from.empty() || to.size() != from.size() ||
      from.drop_back() != to.drop_back() || to.back() > from.back() ||
      shapeOf(getChoice()) != to ||
      elementOf(getValues()) != elementOf(getInput()))
    return emitOpError("(C1) expects results like ")
           << getInput().getType() << " but for a last dimension of at most "
           << (from.empty() ? 0 : from.back()) << ", found "
           << getValues().getType() << " and " << getChoice().getType();
  if (!elementOf(getChoice()).isInteger(32))
    return emitOpError("(C2) expects an i32 choice");
  return success();
}

LogicalResult ltc::RouteOp::verify() {
  int64_t slots = countOf(getChoice());
  if (shapeOf(getPlace()) != shapeOf(getChoice()) ||
      shapeOf(getSlot()) != ArrayRef<int64_t>(slots) ||
      shapeOf(getGroup()) != ArrayRef<int64_t>(slots))
    return emitOpError("(C1) expects a place of choice's shape, and a slot and "
                       "a group of ")
           << slots << " elements";
  for (Value value : {getChoice(), getSlot(), getPlace(), getGroup(),
                      getOffsets()})
    if (!elementOf(value).isInteger(32))
      return emitOpError("(C2) expects i32, found ") << value.getType();
  if (shapeOf(getOffsets()).size() != 1 || countOf(getOffsets()) < 2)
    return emitOpError("(C3) expects offsets of at least two elements");
  return success();
}

/// `rows` is the sorted side, `whole` the other.
static LogicalResult verifyRows(Operation *op, Value whole, Value rows,
                                Value slot, Value place, int64_t each) {
  ArrayRef<int64_t> lead = ltc::shapeOf(place);
  if (ltc::shapeOf(slot) != ArrayRef<int64_t>(countOf(place)) ||
      !ltc::elementOf(slot).isInteger(32) ||
      !ltc::elementOf(place).isInteger(32))
    return op->emitOpError("(C1) expects slot and place in i32, of one size");
  if (each != 1 && (lead.empty() || each != lead.back()))
    return op->emitOpError("(C2) expects each to be 1 or place's last "
                           "dimension, found ")
           << each;
  if (each != 1)
    lead = lead.drop_back();
  ArrayRef<int64_t> from = ltc::shapeOf(whole), to = ltc::shapeOf(rows);
  if (from.take_front(lead.size()) != lead || to.empty() ||
      to.front() != countOf(slot) ||
      from.drop_front(std::min(lead.size(), from.size())) != to.drop_front() ||
      ltc::elementOf(whole) != ltc::elementOf(rows))
    return op->emitOpError("(C3) expects the dimensions of ")
           << place.getType() << " and then those of a row, found "
           << whole.getType() << " and " << rows.getType();
  return success();
}

LogicalResult ltc::DispatchOp::verify() {
  return verifyRows(*this, getInput(), getOutput(), getSlot(), getPlace(),
                    getEach());
}

LogicalResult ltc::CombineOp::verify() {
  return verifyRows(*this, getOutput(), getInput(), getSlot(), getPlace(),
                    getEach());
}

static std::vector<Factors::Dim> dimsOf(Factors &factors, Value value,
                                        FactorKind kind) {
  std::vector<Factors::Dim> dims;
  for (int64_t size : shapeOf(value))
    dims.push_back({factors.add(size, kind)});
  return dims;
}

Factors TopKOp::factors() {
  Factors factors;
  std::vector<Factors::Dim> from, to;
  for (int64_t size : shapeOf(getInput()).drop_back())
    from.push_back({factors.add(size)});
  to = from;
  from.push_back({factors.add(shapeOf(getInput()).back(), FactorKind::Whole)});
  to.push_back({factors.add(shapeOf(getValues()).back(), FactorKind::Whole)});
  factors.operands = {from};
  factors.results = {to, to};
  return factors;
}

/// Where a row goes depends on all slots: nothing may be split.
Factors RouteOp::factors() {
  Factors factors;
  auto choice = dimsOf(factors, getChoice(), FactorKind::Whole);
  auto rows = dimsOf(factors, getSlot(), FactorKind::Whole);
  factors.operands = {choice};
  factors.results = {rows, choice, rows,
                     dimsOf(factors, getOffsets(), FactorKind::Whole)};
  return factors;
}

/// Only what a row holds may be split.
static Factors rowFactors(Value whole, Value rows, Value place, int64_t each,
                          bool sorts) {
  Factors factors;
  auto lead = dimsOf(factors, place, FactorKind::Whole);
  std::vector<Factors::Dim> slot{
      {factors.add(countOf(place), FactorKind::Whole)}};
  std::vector<Factors::Dim> from(lead.begin(), lead.end() - (each != 1)),
      to = slot;
  for (int64_t size : shapeOf(rows).drop_front()) {
    from.push_back({factors.add(size)});
    to.push_back(from.back());
  }
  factors.operands = {sorts ? from : to, slot, lead};
  factors.results = {sorts ? to : from};
  return factors;
}

Factors DispatchOp::factors() {
  return rowFactors(getInput(), getOutput(), getPlace(), getEach(), true);
}
Factors CombineOp::factors() {
  return rowFactors(getOutput(), getInput(), getPlace(), getEach(), false);
}

double TopKOp::flops() { return 0; } // comparisons
bool TopKOp::cheapToRecompute() { return false; }
double RouteOp::flops() { return 0; }
bool RouteOp::cheapToRecompute() { return false; }
double DispatchOp::flops() { return 0; }
bool DispatchOp::cheapToRecompute() { return true; }
double CombineOp::flops() {
  return getEach() == 1 ? 0 : double(countOf(getInput()));
}
bool CombineOp::cheapToRecompute() { return true; }

std::vector<HostTensor> TopKOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor values(shapeOf(getValues()).vec());
  HostTensor choice(values.shape);
  int64_t n = in[0]->shape.back(), count = values.shape.back();
  for (int64_t row = 0; row < sizeOf(values.shape) / count; ++row) {
    const double *x = in[0]->data.data() + row * n;
    std::vector<bool> taken(n, false);
    for (int64_t j = 0; j < count; ++j) {
      int64_t best = -1;
      for (int64_t i = 0; i < n; ++i)
        if (!taken[i] && !std::isnan(x[i]) && (best < 0 || x[i] > x[best]))
          best = i;
      values.data[row * count + j] =
          best < 0 ? std::numeric_limits<double>::quiet_NaN() : x[best];
      choice.data[row * count + j] = double(best < 0 ? j : best);
      if (best >= 0)
        taken[best] = true;
    }
  }
  return {values, choice};
}

std::vector<HostTensor> RouteOp::evaluate(ArrayRef<const HostTensor *> in) {
  int64_t groups = countOf(getOffsets()) - 1, slots = in[0]->size();
  HostTensor slot({slots}), place(in[0]->shape), group({slots}),
      offsets({groups + 1});
  int64_t row = 0;
  for (int64_t g = 0; g < groups; ++g) {
    offsets.data[g] = double(row);
    for (int64_t s = 0; s < slots; ++s) {
      double chosen = std::clamp(in[0]->data[s], 0.0, double(groups - 1));
      if (chosen != double(g))
        continue;
      slot.data[row] = double(s);
      group.data[row] = chosen;
      place.data[s] = double(row++);
    }
  }
  offsets.data[groups] = double(row);
  return {slot, place, group, offsets};
}

std::vector<HostTensor> DispatchOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  int64_t width = out.size() / out.shape[0];
  for (int64_t r = 0; r < out.shape[0]; ++r)
    std::copy_n(in[0]->data.begin() +
                    int64_t(in[1]->data[r]) / int64_t(getEach()) * width,
                width, out.data.begin() + r * width);
  return {out};
}

std::vector<HostTensor> CombineOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  int64_t width = in[0]->size() / in[0]->shape[0], each = getEach();
  for (int64_t s = 0; s < in[2]->size(); ++s)
    for (int64_t i = 0; i < width; ++i)
      out.data[s / each * width + i] +=
          in[0]->data[int64_t(in[2]->data[s]) * width + i];
  return {out};
}

/// dx[.., e] = sum over j of where(choice[.., j] == e, dvalues[.., j], 0).
FailureOr<SmallVector<Value>> TopKOp::gradient(OpBuilder &b,
                                               ArrayRef<Value> dResults,
                                               ArrayRef<bool> wanted) {
  if (!dResults[0] || !wanted[0])
    return SmallVector<Value>{Value()};
  Location loc = getLoc();
  unsigned rank = shapeOf(getInput()).size();
  SmallVector<int64_t> space(shapeOf(getInput())), pick;
  space.push_back(shapeOf(getValues()).back());
  for (unsigned i = 0; i + 1 < rank; ++i)
    pick.push_back(i);
  pick.push_back(rank);
  AffineMap read = projection(b.getContext(), rank + 1, pick);
  Type element = elementOf(getInput());
  Value spread =
      buildMap(b, loc, RankedTensorType::get(space, element),
               {getChoice(), dResults[0]}, {read, read},
               [&](OpBuilder &b, ValueRange x) {
                 Value here = IndexOp::create(b, loc, b.getI32Type(), rank - 1);
                 Value same = arith::CmpIOp::create(
                     b, loc, arith::CmpIPredicate::eq, x[0], here);
                 Value zero = arith::ConstantOp::create(
                     b, loc, b.getFloatAttr(element, 0));
                 return SmallVector<Value>{
                     arith::SelectOp::create(b, loc, same, x[1], zero)};
               })
          .getResult(0);
  return SmallVector<Value>{buildSum(b, loc, spread, int64_t(rank))};
}

FailureOr<SmallVector<Value>> RouteOp::gradient(OpBuilder &, ArrayRef<Value>,
                                                ArrayRef<bool>) {
  return SmallVector<Value>{Value()}; // integers
}

FailureOr<SmallVector<Value>> DispatchOp::gradient(OpBuilder &b,
                                                   ArrayRef<Value> dResults,
                                                   ArrayRef<bool> wanted) {
  SmallVector<Value> grads(3);
  if (dResults[0] && wanted[0])
    grads[0] = CombineOp::create(b, getLoc(), getInput().getType(), dResults[0],
                                 getSlot(), getPlace(), getEach());
  return grads;
}

FailureOr<SmallVector<Value>> CombineOp::gradient(OpBuilder &b,
                                                  ArrayRef<Value> dResults,
                                                  ArrayRef<bool> wanted) {
  SmallVector<Value> grads(3);
  if (dResults[0] && wanted[0])
    grads[0] = DispatchOp::create(b, getLoc(), getInput().getType(),
                                  dResults[0], getSlot(), getPlace(),
                                  getEach());
  return grads;
}
