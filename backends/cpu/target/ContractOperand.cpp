// SPDX-License-Identifier: Apache-2.0
// Elements of a contraction's operands: read where they lie, or made on the
// way by the maps that the kernel holds for them.
#include "backends/cpu/target/Contract.h"

using namespace mlir;

namespace ltc::cpu {

constexpr int64_t kAhead = 8; ///< k that packing prefetches, rows apart

/// Kernel arguments that are read at the point where `value` is made.
static void findSources(Value value, SmallVectorImpl<BlockArgument> &found) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return found.push_back(argument);
  auto map = value.getDefiningOp<MapOp>();
  for (auto [n, input] : llvm::enumerate(map.getInputs()))
    if (map.getMap(n).isIdentity())
      findSources(input, found);
}

Contract::Operand Contract::operandOf(bool isA) {
  Operand x;
  x.value = isA ? plan_.a : plan_.b;
  x.across = isA ? &plan_.m : &plan_.n;
  x.stride = isA ? &Axis::a : &Axis::b;
  x.dims = isA ? &Axis::aDims : &Axis::bDims;
  x.made = !isa<BlockArgument>(x.value);
  x.places = needsPlaces(x.value);
  findSources(x.value, x.sources);
  x.offset = emit.i64(isA ? plan_.aOffset : plan_.bOffset);
  for (auto [axis, at] : llvm::zip(plan_.outer, outerAt))
    x.offset = emit.add(x.offset, emit.mul(at, axis.*x.stride));
  if (!x.made)
    x.tile = emit.at(pointerOf(x.value), element, x.offset);
  return x;
}

/// Offset of element k of the sum, flattened, along k.
Value Contract::kOffset(const Operand &x, Value k) {
  Value offset = emit.i64(0);
  for (const Axis &axis : llvm::reverse(plan_.k)) {
    bool outermost = &axis == plan_.k.begin();
    Value here = outermost ? k : emit.rem(k, axis.size);
    offset = emit.add(offset, emit.mul(here, axis.*x.stride));
    k = outermost ? k : emit.div(k, axis.size);
  }
  return offset;
}

/// `position` along an axis as places in the dimensions of its operand. Where
/// only the element's number counts, the last of them takes it all.
void Contract::place(Indices &point, const Operand &x, const Axis &axis,
                     Value position, bool lanes) {
  ArrayRef<int64_t> dims = axis.*x.dims;
  if (!x.places)
    dims = dims.take_back(1);
  for (int64_t i = int64_t(dims.size()) - 1; i >= 0; --i) {
    int64_t size = shapeOf(x.value)[dims[i]];
    point[dims[i]] = {i ? emit.rem(position, size) : position, 0, lanes,
                      kInner};
    position = emit.div(position, size);
    lanes = false;
  }
}

/// What the kernel's maps make of `count` <= 16 elements; see elements().
Value Contract::made(const Operand &x, Value at, Value k, bool alongK,
                     int64_t count, Value mask) {
  Indices point(shapeOf(x.value).size());
  for (auto [axis, position] : llvm::zip(plan_.outer, outerAt))
    place(point, x, axis, position, false);
  place(point, x, *x.across, at, !alongK && count > 1);
  for (const Axis &axis : llvm::reverse(plan_.k)) {
    bool outermost = &axis == plan_.k.begin();
    place(point, x, axis, outermost ? k : emit.rem(k, axis.size),
          alongK && &axis == &plan_.k.back() && count > 1);
    k = outermost ? k : emit.div(k, axis.size);
  }
  points->enterInner(mask);
  if (count == 1)
    return points->evaluate(x.value, point);
  emit.width = count;
  Value value = points->evaluateLanes(x.value, point);
  emit.width = kLanes;
  if (!mask)
    return value;
  return arith::SelectOp::create(emit, emit.getLoc(), mask, value,
                                 emit.zero(value.getType()));
}

Value Contract::elements(const Operand &x, Value at, Value k, bool alongK,
                         int64_t count, Value mask) {
  Type bits = pair == 1 ? f32 : emit.getIntegerType(16);
  if (count > 1)
    bits = Emitter::lanes(bits, count);
  if (x.made && count > kLanes) { // of bf16, as two vectors
    SmallVector<int32_t> low, high, all;
    for (int32_t i = 0; i < int32_t(count); ++i) {
      (i < kLanes ? low : high).push_back(i);
      all.push_back(i);
    }
    auto half = [&](ArrayRef<int32_t> picks) {
      Value here = mask ? emit.shuffle(mask, mask, picks) : Value();
      return emit.bitcast(
          made(x, at, emit.add(k, picks[0]), alongK, kLanes, here),
          Emitter::lanes(emit.getIntegerType(16)));
    };
    Value first = half(low), second = half(high);
    return emit.shuffle(first, second, all);
  }
  if (x.made)
    return emit.bitcast(made(x, at, k, alongK, count, mask), bits);
  Value from = emit.at(
      x.tile, element,
      emit.add(kOffset(x, k), emit.mul(at, x.across->*x.stride)));
  if (count == 1)
    return emit.load(bits, from);
  int64_t along = alongK ? plan_.k.back().*x.stride : x.across->*x.stride;
  return emit.loadStrided(cast<VectorType>(bits), from, along, mask);
}

/// Words [count] across at word k; bf16 of two neighbouring k are interleaved.
Value Contract::loadWords(const Operand &x, Value at, Value k, int64_t count,
                          Value mask) {
  auto row = [&](Value element) {
    return elements(x, at, element, false, count, mask);
  };
  if (pair == 1)
    return row(k);
  Location loc = emit.getLoc();
  Value low = row(emit.mul(k, 2)), second = emit.add(emit.mul(k, 2), 1);
  Value last = emit.i64(plan_.kSize() - 1);
  Value high = row(oddK() ? emit.min(second, last) : second);
  if (oddK()) {
    Value some = arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::sle,
                                       second, last);
    high = arith::SelectOp::create(emit, loc, some, high,
                                   emit.zero(high.getType()));
  }
  if (count == 1) {
    Type i32 = emit.getI32Type();
    Value shift = arith::ConstantIntOp::create(emit, loc, 16, 32);
    return arith::OrIOp::create(
        emit, loc, arith::ExtUIOp::create(emit, loc, i32, low),
        arith::ShLIOp::create(emit, loc,
                              arith::ExtUIOp::create(emit, loc, i32, high),
                              shift));
  }
  SmallVector<int32_t> picks;
  for (int32_t i = 0; i < int32_t(count); ++i) {
    picks.push_back(i);
    picks.push_back(int32_t(count) + i);
  }
  return emit.bitcast(emit.shuffle(low, high, picks),
                      Emitter::lanes(f32, count));
}

void Contract::prefetchAhead(const Operand &x, Value at, Value k) {
  for (int64_t half = 0; half < pair; ++half) {
    int64_t ahead = kAhead * pair * (plan_.k.back().*x.stride);
    Value from = emit.add(kOffset(x, emit.add(emit.mul(k, pair), half)),
                          emit.mul(at, x.across->*x.stride));
    from = emit.add(emit.add(from, ahead), x.offset);
    for (BlockArgument source : x.sources)
      emit.prefetch(emit.at(pointerOf(source), elementOf(source), from));
  }
}

} // namespace ltc::cpu
