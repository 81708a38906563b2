// SPDX-License-Identifier: Apache-2.0
// Packs blocks of a contraction's operands as words; see Contract.cpp.
#include "backends/cpu/target/Contract.h"

using namespace mlir;

namespace ltc::cpu {

constexpr int64_t kAhead = 8; ///< k that packing prefetches, rows apart

/// Panels of B for columns [n0, nEnd): [panel][k][16 * vectors].
void Contract::packColumns(Value k0, Value kCount, Value n0, Value nEnd) {
  int64_t step = vectors * kLanes;
  overSteps(n0, nEnd, plan_.n.size, step, [&](Value n, int64_t width) {
    Value from = arith::SubIOp::create(emit, emit.getLoc(), n, n0);
    Value packed = emit.at(packedB, f32, emit.mul(from, kBlock));
    int64_t used = llvm::divideCeil(width, kLanes);
    if (plan_.n.b != 1 && plan_.k.size() == 1 && plan_.k[0].b == 1)
      return packTransposed(n, packed, k0, kCount, used);
    packPanel(n, packed, k0, kCount, used);
  });
}

/// Address of B[n, k] for a flattened k.
static Value kOffset(Emitter &emit, ArrayRef<Axis> axes, Value k,
                     int64_t Axis::*stride) {
  Value offset = emit.i64(0);
  for (const Axis &axis : llvm::reverse(axes)) {
    bool outermost = &axis == axes.begin();
    Value here = outermost ? k : emit.rem(k, axis.size);
    offset = emit.add(offset, emit.mul(here, axis.*stride));
    k = outermost ? k : emit.div(k, axis.size);
  }
  return offset;
}

/// One vector of words, or one word: element (k, i) lies at k * stride + i *
/// along; bf16 of two neighbouring k are interleaved.
Value Contract::loadWords(Value base, Value offset, Value k,
                          int64_t Axis::*stride, int64_t along, int64_t count,
                          Value mask) {
  auto row = [&](Value at) -> Value {
    Value from = emit.at(base, element,
                         emit.add(kOffset(emit, plan_.k, at, stride), offset));
    Type bits = pair == 1 ? f32 : emit.getIntegerType(16);
    if (count == 1)
      return emit.load(bits, from);
    return emit.loadStrided(Emitter::lanes(bits, count), from, along, mask);
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

void Contract::prefetchAhead(Value base, Value offset, Value k,
                             int64_t Axis::*stride) {
  for (int64_t half = 0; half < pair; ++half) {
    Value at = emit.add(emit.mul(k, pair), half);
    int64_t ahead = kAhead * pair * (plan_.k.back().*stride);
    Value from = emit.add(kOffset(emit, plan_.k, at, stride), offset);
    emit.prefetch(emit.at(base, element, emit.add(from, ahead)));
  }
}

void Contract::packPanel(Value n, Value packed, Value k0, Value kCount,
                         int64_t used) {
  bool ragged = plan_.n.size % kLanes != 0;
  emit.loop(emit.i64(0), kCount, 1, [&](Value k) {
    Value to =
        emit.at(packed, f32, emit.mul(k, vectors * kLanes));
    for (int64_t v = 0; v < used; ++v) {
      Value column = emit.add(n, v * kLanes);
      if (plan_.n.b == 1)
        prefetchAhead(bTile, column, emit.add(k0, k), &Axis::b);
      Value mask;
      if (ragged)
        mask = emit.maskBelow(arith::SubIOp::create(
            emit, emit.getLoc(), emit.i64(plan_.n.size), column));
      emit.store(loadWords(bTile, emit.mul(column, plan_.n.b),
                           emit.add(k0, k), &Axis::b, plan_.n.b, kLanes, mask),
                 emit.at(to, f32, v * kLanes));
    }
  });
}

/// B stored [n][k]: 16 x 16 blocks are transposed in registers.
void Contract::packTransposed(Value n, Value packed, Value k0, Value kCount,
                              int64_t used) {
  Type bits = pair == 1 ? f32 : emit.getIntegerType(16);
  VectorType lanes = Emitter::lanes(bits, kLanes * pair);
  auto block = [&](Value k, Value mask, int64_t v, Value kEnd) {
    SmallVector<Value> block;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      Value column = emit.min(emit.add(n, v * kLanes + lane),
                              emit.i64(plan_.n.size - 1));
      Value from =
          emit.at(bTile, element,
                  emit.add(emit.mul(column, plan_.n.b),
                           emit.mul(emit.add(k0, k), pair)));
      Value read = mask ? emit.loadMasked(lanes, from, mask)
                        : emit.load(lanes, from);
      block.push_back(emit.bitcast(read, Emitter::lanes(f32)));
    }
    emit.transpose16(block);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      Value to = emit.at(packed, f32,
                         emit.add(emit.mul(emit.add(k, lane),
                                           vectors * kLanes),
                                  v * kLanes));
      if (!mask) {
        emit.store(block[lane], to);
        continue;
      }
      Value inside = arith::CmpIOp::create(emit, emit.getLoc(),
                                           arith::CmpIPredicate::slt,
                                           emit.add(k, lane), kEnd);
      emit.ifThen(inside, [&] { emit.store(block[lane], to); });
    }
  };
  // Whole vectors of elements; the rest, in elements, is masked.
  Value count = emit.mul(kCount, pair);
  if (oddK())
    count = emit.min(count, arith::SubIOp::create(emit, emit.getLoc(),
                                                  emit.i64(plan_.kSize()),
                                                  emit.mul(k0, pair)));
  Value rest = emit.rem(count, kLanes * pair);
  Value whole = emit.mul(emit.div(count, kLanes * pair), kLanes);
  for (int64_t v = 0; v < used; ++v) {
    emit.loop(emit.i64(0), whole, kLanes,
              [&](Value k) { block(k, nullptr, v, kCount); });
    if (!plan_.sumsRows && plan_.kSize() % (kLanes * pair) == 0 &&
        kBlock % kLanes == 0)
      continue;
    Value some = arith::CmpIOp::create(emit, emit.getLoc(),
                                       arith::CmpIPredicate::sgt, rest,
                                       emit.i64(0));
    emit.ifThen(some, [&] {
      block(whole, emit.maskBelow(rest, kLanes * pair), v, kCount);
    });
  }
}

/// Strips [strip][k][rows] of A where A is not contiguous along k.
void Contract::packRows(Value m, int64_t span, Value k0, Value kCount) {
  emit.loop(emit.i64(0), kCount, 1, [&](Value k) {
    Value to = emit.at(packedA, f32, emit.mul(k, rows));
    for (int64_t i = 0; plan_.m.a == 1 && i < span; i += kLanes)
      prefetchAhead(aTile, emit.add(m, i), emit.add(k0, k), &Axis::a);
    for (int64_t i = 0; i < span;) {
      int64_t count = plan_.m.a == 1 ? std::min(rows, span - i) : 1;
      int64_t place = i / rows * rows * kBlock + i % rows;
      emit.store(loadWords(aTile, emit.mul(emit.add(m, i), plan_.m.a),
                           emit.add(k0, k), &Axis::a, plan_.m.a, count, {}),
                 emit.at(to, f32, emit.i64(place)));
      i += count;
    }
  });
}

} // namespace ltc::cpu
