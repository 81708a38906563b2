// SPDX-License-Identifier: Apache-2.0
// Meaning, factors and cost of ltc.map, ltc.reduce and ltc.stop_gradient.
#include "ir/interfaces/Points.h"
#include "ir/interfaces/ScalarProgram.h"
#include "ir/ops/Ops.h"
#include <limits>

using namespace mlir;
using namespace ltc;

std::vector<HostTensor> MapOp::evaluate(ArrayRef<const HostTensor *> in) {
  ScalarProgram body(getBody().front());
  std::vector<HostTensor> out(getNumResults(), HostTensor(getSpace().vec()));
  std::vector<Strides> strides;
  for (unsigned n = 0; n < in.size(); ++n)
    strides.push_back(stridesThrough(getMap(n), shapeOf(getInputs()[n])));
  std::vector<double> x(in.size()), y(out.size());
  int64_t at = 0;
  forEachPoint(getSpace(), [&](ArrayRef<int64_t> point) {
    for (unsigned n = 0; n < in.size(); ++n)
      x[n] = in[n]->data[offsetAt(point, strides[n])];
    body.run(x.data(), point.data(), y.data());
    for (unsigned j = 0; j < out.size(); ++j)
      out[j].data[at] = y[j];
    ++at;
  });
  return out;
}

Factors MapOp::factors() {
  Factors factors;
  for (int64_t size : getSpace())
    factors.add(size);
  for (unsigned n = 0; n < getInputs().size(); ++n) {
    std::vector<Factors::Dim> dims;
    for (unsigned i = 0; i < getMap(n).getNumResults(); ++i)
      dims.push_back({getMap(n).getDimPosition(i)});
    factors.operands.push_back(dims);
  }
  std::vector<Factors::Dim> own;
  for (int64_t i = 0; i < static_cast<int64_t>(getSpace().size()); ++i)
    own.push_back({i});
  factors.results.assign(getNumResults(), own);
  return factors;
}

double MapOp::flops() {
  int64_t each = 0;
  for (Operation &op : getBody().front().without_terminator())
    if (op.getNumOperands() && isa<FloatType>(op.getResult(0).getType()))
      ++each;
  return static_cast<double>(each * ShapedType::getNumElements(getSpace()));
}

bool MapOp::cheapToRecompute() { return true; }

std::vector<HostTensor> ReduceOp::evaluate(ArrayRef<const HostTensor *> in) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double start = getKind() == ReduceKind::Sum   ? 0
                 : getKind() == ReduceKind::Max ? -infinity
                                                : infinity;
  HostTensor out(shapeOf(getOutput()).vec(), start);
  ArrayRef<int64_t> shape = shapeOf(getInput());
  Strides own = stridesOf(out.shape), strides(shape.size(), 0);
  for (int64_t i = 0, j = 0; i < static_cast<int64_t>(shape.size()); ++i)
    if (!llvm::is_contained(getDims(), i))
      strides[i] = own[j++];
  int64_t at = 0;
  forEachPoint(shape, [&](ArrayRef<int64_t> point) {
    double &y = out.data[offsetAt(point, strides)], x = in[0]->data[at++];
    if (getKind() == ReduceKind::Sum)
      y += x;
    else if (getKind() == ReduceKind::Max ? !(x <= y) : !(x >= y))
      y = x;
  });
  return {out};
}

Factors ReduceOp::factors() {
  Factors factors;
  std::vector<Factors::Dim> operand, result;
  for (auto [i, size] : llvm::enumerate(shapeOf(getInput()))) {
    bool reduced = llvm::is_contained(getDims(), static_cast<int64_t>(i));
    int64_t factor = factors.add(
        size, reduced ? FactorKind::Reduced : FactorKind::Parallel);
    operand.push_back({factor});
    if (!reduced)
      result.push_back({factor});
  }
  factors.operands = {operand};
  factors.results = {result};
  return factors;
}

double ReduceOp::flops() {
  return static_cast<double>(ShapedType::getNumElements(shapeOf(getInput())));
}

// A pass over a large operand for a small result: keeping it is nearly free.
bool ReduceOp::cheapToRecompute() { return false; }

std::vector<HostTensor>
StopGradientOp::evaluate(ArrayRef<const HostTensor *> in) {
  return {*in[0]};
}

Factors StopGradientOp::factors() {
  Factors factors;
  std::vector<Factors::Dim> dims;
  for (int64_t size : shapeOf(getInput()))
    dims.push_back({factors.add(size)});
  factors.operands = factors.results = {dims};
  return factors;
}

double StopGradientOp::flops() { return 0; }
bool StopGradientOp::cheapToRecompute() { return true; }

FailureOr<SmallVector<Value>>
StopGradientOp::gradient(OpBuilder &, ArrayRef<Value>, ArrayRef<bool>) {
  return SmallVector<Value>{Value()};
}
