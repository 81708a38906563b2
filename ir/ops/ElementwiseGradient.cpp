// SPDX-License-Identifier: Apache-2.0
// Gradients of ltc.map and ltc.reduce.
#include "ir/ops/Build.h"
#include "ir/ops/ScalarGradient.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace ltc;

namespace {
/// The map that is being built: every operand of the forward map, then the
/// gradients of its results, on the forward's space.
struct MapGradient {
  MapOp forward;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<unsigned> seeded;  ///< results with a gradient
  SmallVector<unsigned> wanted;  ///< operands to differentiate
};

/// Builds the body: the forward's expression, then its gradients.
FailureOr<SmallVector<Value>> fillBody(OpBuilder &b, MapGradient &g,
                                       Block &body) {
  IRMapping mapping;
  Block &old = g.forward.getBody().front();
  unsigned count = old.getNumArguments();
  for (unsigned i = 0; i < count; ++i)
    mapping.map(old.getArgument(i), body.getArgument(i));
  SmallVector<Operation *> ops;
  for (Operation &op : old.without_terminator())
    ops.push_back(b.clone(op, mapping));
  auto yield = cast<YieldOp>(old.getTerminator());
  SmallVector<std::pair<Value, Value>> seeds;
  for (auto [n, j] : llvm::enumerate(g.seeded))
    seeds.push_back({mapping.lookupOrDefault(yield.getValues()[j]),
                     body.getArgument(count + n)});
  SmallVector<Value> wanted;
  for (unsigned i : g.wanted)
    wanted.push_back(body.getArgument(i));
  return differentiateScalars(b, ops, seeds, wanted);
}

/// Erases arguments of the body that nothing reads.
void dropUnusedInputs(Block &body, MapGradient &g) {
  for (unsigned i = body.getNumArguments(); i-- > 0;)
    if (body.getArgument(i).use_empty()) {
      body.eraseArgument(i);
      g.inputs.erase(g.inputs.begin() + i);
      g.maps.erase(g.maps.begin() + i);
    }
}

/// From the space to the operand: sums what was broadcast, then reorders.
Value toOperand(OpBuilder &b, Location loc, Value value, AffineMap map,
                RankedTensorType type) {
  SmallVector<int64_t> kept;
  for (unsigned i = 0; i < map.getNumResults(); ++i)
    kept.push_back(map.getDimPosition(i));
  value = buildSum(b, loc, value, otherDims(map.getNumDims(), kept));
  // `value` has the kept dimensions in the space's order.
  SmallVector<int64_t> sorted(kept), order(kept.size());
  llvm::sort(sorted);
  for (auto [i, dim] : llvm::enumerate(sorted))
    order[i] = llvm::find(kept, dim) - kept.begin();
  return buildCopy(b, loc, type, value,
                   projection(b.getContext(), kept.size(), order));
}
} // namespace

/// Result type of a gradient: the operand's element on the forward's space.
static RankedTensorType onSpace(MapOp map, Value operand) {
  return RankedTensorType::get(map.getSpace(), elementOf(operand));
}

/// The gradient map, in a detached block until its operands are known.
static FailureOr<SmallVector<Value>> buildGradientMap(OpBuilder &b,
                                                      MapGradient &g) {
  Location loc = g.forward.getLoc();
  auto region = std::make_unique<Region>();
  SmallVector<Type> elements;
  for (Value input : g.inputs)
    elements.push_back(elementOf(input));
  OpBuilder inner(b.getContext());
  Block *body =
      inner.createBlock(region.get(), {}, elements,
                        SmallVector<Location>(elements.size(), loc));
  FailureOr<SmallVector<Value>> grads = fillBody(inner, g, *body);
  if (failed(grads))
    return failure();
  SmallVector<Value> yielded, results(g.wanted.size());
  SmallVector<Type> types;
  SmallVector<unsigned> slots;
  unsigned count = g.forward.getInputs().size();
  for (auto [n, grad] : llvm::enumerate(*grads)) {
    if (!grad)
      continue;
    // A gradient that merely passes through needs no map.
    auto argument = dyn_cast<BlockArgument>(grad);
    if (argument && argument.getArgNumber() >= count) {
      results[n] = g.inputs[argument.getArgNumber()];
      continue;
    }
    slots.push_back(n);
    yielded.push_back(grad);
    types.push_back(onSpace(g.forward, g.forward.getInputs()[g.wanted[n]]));
  }
  if (yielded.empty())
    return results;
  YieldOp::create(inner, loc, yielded);
  eraseDeadScalars(*body);
  dropUnusedInputs(*body, g);
  auto map = MapOp::create(b, loc, types, g.inputs,
                           b.getAffineMapArrayAttr(g.maps));
  map.getBody().takeBody(*region);
  for (auto [n, slot] : llvm::enumerate(slots))
    results[slot] = map.getResult(n);
  return results;
}

FailureOr<SmallVector<Value>> MapOp::gradient(OpBuilder &b,
                                              ArrayRef<Value> dResults,
                                              ArrayRef<bool> wanted) {
  MapGradient g{*this, SmallVector<Value>(getInputs()), {}, {}, {}};
  for (unsigned i = 0; i < getInputs().size(); ++i) {
    g.maps.push_back(getMap(i));
    if (wanted[i])
      g.wanted.push_back(i);
  }
  for (unsigned j = 0; j < dResults.size(); ++j)
    if (dResults[j]) {
      g.seeded.push_back(j);
      g.inputs.push_back(dResults[j]);
      g.maps.push_back(b.getMultiDimIdentityMap(getSpace().size()));
    }
  FailureOr<SmallVector<Value>> grads = buildGradientMap(b, g);
  if (failed(grads))
    return failure();
  SmallVector<Value> results(getInputs().size());
  for (auto [n, i] : llvm::enumerate(g.wanted))
    if (Value grad = (*grads)[n])
      results[i] = toOperand(b, getLoc(), grad, getMap(i),
                             cast<RankedTensorType>(getInputs()[i].getType()));
  return results;
}

/// max, min: dy in equal parts to the elements that are the extremum.
static Value extremumGradient(OpBuilder &b, ReduceOp op, Value dy,
                              AffineMap same, AffineMap rest) {
  Location loc = op.getLoc();
  Type type = op.getInput().getType();
  Type element = elementOf(op.getInput());
  auto number = [&](OpBuilder &b, double x) -> Value {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(element, x));
  };
  auto hit = [&](OpBuilder &b, Value x, Value y) -> Value {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, x, y);
  };
  Value hits =
      buildMap(b, loc, type, {op.getInput(), op.getOutput()}, {same, rest},
               [&](OpBuilder &b, ValueRange x) {
                 return SmallVector<Value>{arith::SelectOp::create(
                     b, loc, hit(b, x[0], x[1]), number(b, 1), number(b, 0))};
               })
          .getResult(0);
  Value count = buildSum(b, loc, hits, op.getDims());
  return buildMap(b, loc, type, {op.getInput(), op.getOutput(), dy, count},
                  {same, rest, rest, rest},
                  [&](OpBuilder &b, ValueRange x) {
                    Value part = arith::DivFOp::create(b, loc, x[2], x[3]);
                    return SmallVector<Value>{arith::SelectOp::create(
                        b, loc, hit(b, x[0], x[1]), part, number(b, 0))};
                  })
      .getResult(0);
}

FailureOr<SmallVector<Value>> ReduceOp::gradient(OpBuilder &b,
                                                 ArrayRef<Value> dResults,
                                                 ArrayRef<bool> wanted) {
  auto type = cast<RankedTensorType>(getInput().getType());
  if (!dResults[0] || !wanted[0])
    return SmallVector<Value>{Value()};
  AffineMap same = b.getMultiDimIdentityMap(type.getRank());
  AffineMap rest = projection(b.getContext(), type.getRank(),
                              otherDims(type.getRank(), getDims()));
  if (getKind() == ReduceKind::Sum)
    return SmallVector<Value>{
        buildCopy(b, getLoc(), type, dResults[0], rest)};
  return SmallVector<Value>{
      extremumGradient(b, *this, dResults[0], same, rest)};
}
