// SPDX-License-Identifier: Apache-2.0
#include "backends/emit/PointEmitter.h"
#include <numeric>

using namespace mlir;

namespace ltc {

Value combine(Emitter &emit, ReduceKind kind, Value a, Value b) {
  Location loc = emit.getLoc();
  bool real = isa<FloatType>(getElementTypeOrSelf(a.getType()));
  switch (kind) {
  case ReduceKind::Sum:
    if (!real)
      return arith::AddIOp::create(emit, loc, a, b);
    return arith::AddFOp::create(emit, loc, a, b);
  case ReduceKind::Max:
    if (!real)
      return arith::MaxSIOp::create(emit, loc, a, b);
    return arith::MaximumFOp::create(emit, loc, a, b);
  case ReduceKind::Min:
    if (!real)
      return arith::MinSIOp::create(emit, loc, a, b);
    return arith::MinimumFOp::create(emit, loc, a, b);
  }
  llvm_unreachable("covered switch");
}

Value identity(Emitter &emit, ReduceKind kind, Type type) {
  Type element = getElementTypeOrSelf(type);
  Attribute value;
  if (auto real = dyn_cast<FloatType>(element)) {
    const llvm::fltSemantics &format = real.getFloatSemantics();
    APFloat number = kind == ReduceKind::Sum
                         ? APFloat::getZero(format)
                         : APFloat::getInf(format, kind == ReduceKind::Max);
    value = FloatAttr::get(element, number);
  } else {
    unsigned bits = element.getIntOrFloatBitWidth();
    APInt number = kind == ReduceKind::Sum   ? APInt(bits, 0)
                   : kind == ReduceKind::Max ? APInt::getSignedMinValue(bits)
                                             : APInt::getSignedMaxValue(bits);
    value = IntegerAttr::get(element, number);
  }
  if (auto vector = dyn_cast<VectorType>(type))
    value = DenseElementsAttr::get(vector, value);
  return arith::ConstantOp::create(emit, emit.getLoc(),
                                   cast<TypedAttr>(value));
}

void PointEmitter::enter(Level level, Operation *anchor) {
  anchors[level] = anchor;
  for (int l = level; l <= kInner; ++l)
    known[l].clear();
}
void PointEmitter::enterInner(Value mask) {
  known[kInner].clear();
  laneMask = mask;
}
void PointEmitter::bind(Value tensor, Value scalarOrVector, Level level) {
  bound[tensor] = {scalarOrVector, level};
}

PointEmitter::Point
PointEmitter::emitAt(Level level, llvm::function_ref<Value()> build) {
  OpBuilder::InsertionGuard guard(emit);
  if (level < kInner && anchors[level])
    emit.setInsertionPoint(anchors[level]);
  return {build(), level};
}
PointEmitter::Point PointEmitter::give(std::string why, Type element) {
  if (problem.empty())
    problem = std::move(why);
  return emitAt(kOnce, [&] { return emit.zero(element); });
}

Value PointEmitter::evaluate(Value tensor, const Indices &at) {
  return compute(tensor, at).value;
}
Value PointEmitter::evaluateLanes(Value tensor, const Indices &at) {
  Value value = evaluate(tensor, at);
  return isa<VectorType>(value.getType()) ? value : emit.splat(value);
}

PointEmitter::Point PointEmitter::compute(Value tensor, const Indices &at) {
  if (auto found = bound.find(tensor); found != bound.end())
    return found->second;
  for (auto &level : known)
    for (Known &entry : level)
      if (entry.tensor == tensor && entry.at == at &&
          (entry.mask == laneMask || entry.point.level < kInner))
        return entry.point;
  Point point = computeNew(tensor, at);
  known[point.level].push_back({tensor, at, laneMask, point});
  return point;
}

PointEmitter::Point PointEmitter::computeNew(Value tensor, const Indices &at) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    return load(argument, type, at);
  Operation *op = tensor.getDefiningOp();
  if (auto map = dyn_cast<MapOp>(op))
    return computeMap(map, cast<OpResult>(tensor).getResultNumber(), at);
  if (auto slice = dyn_cast<SliceOp>(op)) {
    Indices inside = at;
    inside[slice.getDim()].offset += slice.getOffset();
    return compute(slice.getInput(), inside);
  }
  if (auto join = dyn_cast<JoinOp>(op))
    return computeJoin(join, at);
  if (auto reshape = dyn_cast<ReshapeOp>(op))
    return computeReshape(reshape, at);
  if (auto shift = dyn_cast<ShiftOp>(op))
    return computeShift(shift, at);
  if (auto gather = dyn_cast<GatherOp>(op))
    return computeGather(gather, at);
  return give("reads " + op->getName().getStringRef().str() +
                  " where it is not known at a point",
              type.getElementType());
}

PointEmitter::Address PointEmitter::address(Value pointer,
                                            RankedTensorType type,
                                            const Indices &at) {
  Address result;
  int64_t stride = 1, constant = 0;
  int64_t unit =
      std::max<int64_t>(1, alignment / bytesOf(type.getElementType()));
  SmallVector<std::pair<Value, int64_t>> terms;
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    const Index &index = at[dim];
    constant += index.offset * stride;
    if (index.base) {
      terms.push_back({index.base, stride});
      // A base in the lanes' dimension is a multiple of their number.
      unit = std::gcd(unit, index.lanes ? stride * emit.width : stride);
    }
    if (index.lanes)
      result.laneStride = stride;
    if (index.base || index.lanes)
      result.level = std::max(result.level, index.level);
    stride *= type.getDimSize(dim);
  }
  result.pointer =
      emitAt(result.level, [&] {
        Value offset = emit.i64(constant);
        for (auto [base, factor] : terms)
          offset = emit.add(emit.mul(base, factor), offset);
        return emit.at(pointer, type.getElementType(), offset);
      }).value;
  result.alignment = std::gcd(unit, constant);
  return result;
}

PointEmitter::Point PointEmitter::load(BlockArgument argument,
                                       RankedTensorType type,
                                       const Indices &at) {
  Address from = address(pointers[argument.getArgNumber()], type, at);
  Type element = type.getElementType();
  return emitAt(from.level, [&]() -> Value {
    if (!from.laneStride)
      return emit.load(element, from.pointer);
    if (from.laneStride == 1 && !laneMask)
      return emit.load(emit.wide(element), from.pointer, from.alignment);
    return emit.loadStrided(emit.wide(element), from.pointer, from.laneStride,
                            laneMask);
  });
}
void PointEmitter::store(Value value, const Address &to) {
  if (!to.laneStride)
    return emit.store(value, to.pointer);
  if (!isa<VectorType>(value.getType()))
    value = emit.splat(value);
  assert(to.laneStride == 1 && "results are stored along their last dimension");
  if (laneMask)
    return emit.storeMasked(value, to.pointer, laneMask);
  emit.store(value, to.pointer, to.alignment);
}

Value PointEmitter::first(const Index &index) {
  return emit.add(index.base ? index.base : emit.i64(0), index.offset);
}
Value PointEmitter::position(const Index &index) {
  Value scalar = first(index);
  if (!index.lanes)
    return scalar;
  return arith::AddIOp::create(emit, emit.getLoc(), emit.splat(scalar),
                               emit.iota());
}
PointEmitter::Point PointEmitter::indexPoint(const Index &index) {
  Level level = index.base || index.lanes ? index.level : kOnce;
  return emitAt(level, [&]() -> Value {
    Value wide = position(index);
    Type narrow = emit.getI32Type();
    if (index.lanes)
      narrow = emit.wide(narrow);
    return arith::TruncIOp::create(emit, emit.getLoc(), narrow, wide);
  });
}

PointEmitter::Point PointEmitter::computeMap(MapOp map, unsigned result,
                                             const Indices &at) {
  Block &body = map.getBody().front();
  llvm::DenseMap<Value, Point> points;
  for (auto [n, input] : llvm::enumerate(map.getInputs())) {
    AffineMap projection = map.getMap(n);
    Indices inside;
    for (unsigned i = 0; i < projection.getNumResults(); ++i)
      inside.push_back(at[projection.getDimPosition(i)]);
    points[body.getArgument(n)] = compute(input, inside);
  }
  for (Operation &op : body.without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(op)) {
      points[op.getResult(0)] = indexPoint(at[index.getDim()]);
      continue;
    }
    SmallVector<Point> operands;
    for (Value operand : op.getOperands())
      operands.push_back(points.lookup(operand));
    points[op.getResult(0)] = inlineOp(&op, operands);
  }
  // Every result of a map is known once one is.
  for (auto [n, value] : llvm::enumerate(body.getTerminator()->getOperands()))
    if (n != result) {
      Point point = points.lookup(value);
      known[point.level].push_back({map.getResult(n), at, laneMask, point});
    }
  return points.lookup(body.getTerminator()->getOperand(result));
}

PointEmitter::Point PointEmitter::inlineOp(Operation *op,
                                           ArrayRef<Point> operands) {
  Level level = kOnce;
  bool vector = false;
  for (const Point &operand : operands) {
    level = std::max(level, operand.level);
    vector |= isa<VectorType>(operand.value.getType());
  }
  return emitAt(level, [&]() -> Value {
    OperationState state(op->getLoc(), op->getName());
    for (const Point &operand : operands)
      state.operands.push_back(
          vector && !isa<VectorType>(operand.value.getType())
              ? emit.splat(operand.value)
              : operand.value);
    Type type = op->getResult(0).getType();
    state.types.push_back(vector ? emit.wide(type) : type);
    state.attributes = op->getAttrs();
    state.propertiesAttr = op->getPropertiesAsAttribute();
    return emit.create(state)->getResult(0);
  });
}

/// Lane by lane, each as a point of its own.
PointEmitter::Point PointEmitter::computeByLane(Value tensor,
                                                const Indices &at) {
  Level level = kOnce;
  SmallVector<Value> lanes;
  for (int64_t lane = 0; lane < emit.width; ++lane) {
    Indices one = at;
    for (Index &index : one)
      if (index.lanes) {
        index.lanes = false;
        index.offset += lane;
      }
    Point point = compute(tensor, one);
    level = std::max(level, point.level);
    lanes.push_back(point.value);
  }
  return emitAt(level, [&] { return emit.pack(lanes); });
}

/// True if the lanes of `index` lie between the same two of a dimension's
/// borders, which are sums of `sizes`.
bool PointEmitter::lanesStayTogether(const Index &index,
                                     ArrayRef<int64_t> sizes) {
  return index.offset % emit.width == 0 &&
         llvm::all_of(sizes,
                      [&](int64_t at) { return at % emit.width == 0; });
}

/// The part that holds `index` and its lanes, moved to its own count; null if
/// that is not known here.
static Value partOf(JoinOp join, int64_t width, Index &index) {
  if (index.base)
    return {};
  int64_t last = index.offset + (index.lanes ? width : 1);
  for (Value input : join.getInputs()) {
    int64_t size = shapeOf(input)[join.getDim()];
    if (index.offset >= 0 && last <= size)
      return input;
    index.offset -= size;
    last -= size;
  }
  return {};
}

PointEmitter::Point PointEmitter::computeJoin(JoinOp join, const Indices &at) {
  Indices moved = at;
  if (Value part = partOf(join, emit.width, moved[join.getDim()]))
    return compute(part, moved);
  const Index &index = at[join.getDim()];
  bool together = !index.lanes;
  if (index.lanes && !emit.masksMemory) {
    SmallVector<int64_t> sizes;
    for (Value input : join.getInputs())
      sizes.push_back(shapeOf(input)[join.getDim()]);
    together = lanesStayTogether(index, sizes);
    if (!together)
      return computeByLane(join.getOutput(), at);
  }
  Type element = cast<RankedTensorType>(join.getType()).getElementType();
  Level level = index.base || index.lanes ? index.level : kOnce;
  Value outerMask = laneMask;
  Point picked;
  int64_t begin = 0;
  for (Value input : join.getInputs()) {
    int64_t size = shapeOf(input)[join.getDim()], end = begin + size;
    Indices inside = at;
    inside[join.getDim()].offset -= begin;
    Value in = emitAt(level, [&]() -> Value {
                 Value i = together ? first(index) : position(index);
                 auto bound = [&](int64_t limit) {
                   Value value = emit.i64(limit);
                   return together ? value : emit.splat(value);
                 };
                 Value low = arith::CmpIOp::create(emit, emit.getLoc(),
                                                   arith::CmpIPredicate::sge, i,
                                                   bound(begin));
                 Value high = arith::CmpIOp::create(
                     emit, emit.getLoc(), arith::CmpIPredicate::slt, i,
                     bound(end));
                 return arith::AndIOp::create(emit, emit.getLoc(), low, high);
               }).value;
    if (!together) {
      laneMask = outerMask ? Value(arith::AndIOp::create(emit, emit.getLoc(),
                                                         in, outerMask))
                           : in;
    } else {
      // Outside of this part its first elements are read.
      Point clamped = emitAt(level, [&]() -> Value {
        Value i = emit.add(first(index), -begin);
        return arith::SelectOp::create(emit, emit.getLoc(), in, i,
                                       emit.i64(0));
      });
      inside[join.getDim()] = {clamped.value, 0, index.lanes, level};
    }
    Point part = compute(input, inside);
    laneMask = outerMask;
    Level both =
        std::max({level, part.level, picked.value ? picked.level : kOnce});
    picked = emitAt(both, [&]() -> Value {
      Value otherwise = picked.value ? picked.value : emit.zero(element);
      Value mine = part.value;
      bool vector = isa<VectorType>(in.getType()) ||
                    isa<VectorType>(mine.getType()) ||
                    isa<VectorType>(otherwise.getType());
      auto widen = [&](Value v) {
        return vector && !isa<VectorType>(v.getType()) ? emit.splat(v) : v;
      };
      return arith::SelectOp::create(emit, emit.getLoc(), widen(in),
                                     widen(mine), widen(otherwise));
    });
    begin = end;
  }
  return picked;
}

/// The indices of `from` at those of `to`, which only splits its dimensions and
/// adds ones; nothing where lanes lie in a part.
std::optional<Indices> PointEmitter::beforeSplit(ArrayRef<int64_t> from,
                                                 ArrayRef<int64_t> to,
                                                 const Indices &at) {
  Indices before;
  size_t next = 0;
  for (int64_t size : from) {
    for (; size != 1 && next < to.size() && to[next] == 1; ++next)
      if (at[next].lanes)
        return std::nullopt;
    if (next < to.size() && to[next] == size) {
      before.push_back(at[next++]);
      continue;
    }
    size_t begin = next;
    int64_t product = 1;
    Level level = kOnce;
    for (; next < to.size() && product < size; product *= to[next++]) {
      if (at[next].lanes)
        return std::nullopt;
      level = std::max(level, at[next].level);
    }
    if (product != size)
      return std::nullopt;
    Value whole = emitAt(level, [&] {
                    Value sum = emit.i64(0);
                    for (size_t dim = begin; dim < next; ++dim)
                      sum = emit.add(emit.mul(sum, to[dim]), first(at[dim]));
                    return sum;
                  }).value;
    before.push_back({whole, 0, false, level});
  }
  for (; next < to.size(); ++next)
    if (to[next] != 1 || at[next].lanes)
      return std::nullopt;
  return before;
}

PointEmitter::Point PointEmitter::computeReshape(ReshapeOp reshape,
                                                 const Indices &at) {
  auto from = cast<RankedTensorType>(reshape.getInput().getType());
  auto to = cast<RankedTensorType>(reshape.getType());
  if (auto argument = dyn_cast<BlockArgument>(reshape.getInput()))
    return load(argument, to, at);
  if (auto before = beforeSplit(from.getShape(), to.getShape(), at))
    return compute(reshape.getInput(), *before);
  auto rows = [](RankedTensorType type) {
    return type.getRank() ? type.getShape().back() : 1;
  };
  bool lanesStay = to.getRank() && from.getRank() &&
                   (rows(from) == rows(to) ||
                    (rows(from) % emit.width == 0 &&
                     rows(to) % emit.width == 0));
  bool lanes = to.getRank() && at.back().lanes;
  bool anyLanes =
      llvm::any_of(at, [](const Index &index) { return index.lanes; });
  if (!emit.masksMemory && anyLanes &&
      !(lanes && lanesStay && lanesStayTogether(at.back(), {})))
    return computeByLane(reshape.getOutput(), at);
  if (lanes && !lanesStay)
    return give("reads a regrouped value across its innermost dimension",
                to.getElementType());
  Level level = kOnce;
  for (const Index &index : at)
    if (index.base || index.lanes)
      level = std::max(level, index.level);
  Value linear = emitAt(level, [&]() -> Value {
                   Value sum = emit.i64(0);
                   int64_t stride = 1;
                   for (int64_t dim = to.getRank() - 1; dim >= 0; --dim) {
                     Index plain = at[dim];
                     plain.lanes = false;
                     sum = emit.add(sum, emit.mul(position(plain), stride));
                     stride *= to.getDimSize(dim);
                   }
                   return sum;
                 }).value;
  Indices inside(from.getRank());
  emitAt(level, [&]() -> Value {
    for (int64_t dim = from.getRank() - 1; dim >= 0; --dim) {
      inside[dim] = {dim ? emit.rem(linear, from.getDimSize(dim)) : linear, 0,
                     lanes && dim == from.getRank() - 1, level};
      linear = emit.div(linear, from.getDimSize(dim));
    }
    return linear;
  });
  return compute(reshape.getInput(), inside);
}

/// x at t - offset: 0 where that leaves the sequence or the document.
PointEmitter::Point PointEmitter::computeShift(ShiftOp shift,
                                               const Indices &at) {
  int64_t dim = shift.getDim(), size = shapeOf(shift.getInput())[dim];
  Indices source = at;
  source[dim].offset -= shift.getOffset();
  const Index index = source[dim];
  if (index.lanes && !emit.masksMemory)
    return computeByLane(shift.getOutput(), at);
  Level level = index.base || index.lanes ? index.level : kOnce;
  auto limit = [&](int64_t value) {
    return index.lanes ? emit.splat(emit.i64(value)) : emit.i64(value);
  };
  Value inside =
      emitAt(level, [&]() -> Value {
        Value i = position(index);
        Value low = arith::CmpIOp::create(
            emit, emit.getLoc(), arith::CmpIPredicate::sge, i, limit(0));
        Value high = arith::CmpIOp::create(
            emit, emit.getLoc(), arith::CmpIPredicate::slt, i, limit(size));
        return arith::AndIOp::create(emit, emit.getLoc(), low, high);
      }).value;
  Value outerMask = laneMask;
  if (index.lanes) {
    laneMask = outerMask ? Value(arith::AndIOp::create(emit, emit.getLoc(),
                                                       inside, outerMask))
                         : inside;
  } else {
    Value clamped = emitAt(level, [&]() -> Value {
                      return arith::SelectOp::create(emit, emit.getLoc(),
                                                     inside, position(index),
                                                     emit.i64(0));
                    }).value;
    source[dim] = {clamped, 0, false, level};
  }
  if (Value document = shift.getDocument()) {
    Indices there(source.begin(), source.begin() + dim + 1);
    Point theirs = compute(document, there);
    laneMask = outerMask;
    Point ours = compute(document, Indices(at.begin(), at.begin() + dim + 1));
    level = std::max({level, ours.level, theirs.level});
    inside = emitAt(level, [&]() -> Value {
               Value same = arith::CmpIOp::create(emit, emit.getLoc(),
                                                  arith::CmpIPredicate::eq,
                                                  ours.value, theirs.value);
               return arith::AndIOp::create(emit, emit.getLoc(), inside, same);
             }).value;
    if (index.lanes)
      laneMask = outerMask ? Value(arith::AndIOp::create(emit, emit.getLoc(),
                                                         inside, outerMask))
                           : inside;
  }
  Point value = compute(shift.getInput(), source);
  laneMask = outerMask;
  level = std::max(level, value.level);
  return emitAt(level, [&]() -> Value {
    Value zero = emit.zero(value.value.getType());
    bool vector = isa<VectorType>(zero.getType());
    Value keep = vector && !isa<VectorType>(inside.getType())
                     ? emit.splat(inside)
                     : inside;
    return arith::SelectOp::create(emit, emit.getLoc(), keep, value.value,
                                   zero);
  });
}

PointEmitter::Point PointEmitter::computeGather(GatherOp gather,
                                                const Indices &at) {
  size_t idRank = shapeOf(gather.getIds()).size();
  Point id = compute(gather.getIds(), Indices(at.begin(), at.begin() + idRank));
  if (isa<VectorType>(id.value.getType()) && !emit.masksMemory)
    return computeByLane(gather.getOutput(), at);
  if (isa<VectorType>(id.value.getType()))
    return give("gathers single elements; only rows are supported",
                elementOf(gather.getOutput()));
  Value row = emitAt(id.level, [&]() -> Value {
                return arith::ExtSIOp::create(emit, emit.getLoc(),
                                              emit.getI64Type(), id.value);
              }).value;
  Indices inside{{row, 0, false, id.level}};
  inside.append(at.begin() + idRank, at.end());
  return compute(gather.getTable(), inside);
}

} // namespace ltc
