// SPDX-License-Identifier: Apache-2.0
// Packs blocks of a contraction's operands as words; see Contract.cpp.
#include "backends/cpu/target/Contract.h"

using namespace mlir;

namespace ltc::cpu {

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

void Contract::packPanel(Value n, Value packed, Value k0, Value kCount,
                         int64_t used) {
  bool ragged = plan_.n.size % kLanes != 0;
  emit.loop(emit.i64(0), kCount, 1, [&](Value k) {
    Value to =
        emit.at(packed, f32, emit.mul(k, vectors * kLanes));
    for (int64_t v = 0; v < used; ++v) {
      Value column = emit.add(n, v * kLanes);
      if (plan_.n.b == 1)
        prefetchAhead(bSide, column, emit.add(k0, k));
      Value mask;
      if (ragged)
        mask = emit.maskBelow(arith::SubIOp::create(
            emit, emit.getLoc(), emit.i64(plan_.n.size), column));
      emit.store(loadWords(bSide, column, emit.add(k0, k), kLanes, mask),
                 emit.at(to, f32, v * kLanes));
    }
  });
}

/// B stored [n][k]: 16 x 16 blocks are transposed in registers.
void Contract::packTransposed(Value n, Value packed, Value k0, Value kCount,
                              int64_t used) {
  auto block = [&](Value k, Value mask, int64_t v, Value kEnd) {
    SmallVector<Value> block;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      Value column = emit.min(emit.add(n, v * kLanes + lane),
                              emit.i64(plan_.n.size - 1));
      Value read = elements(bSide, column, emit.mul(emit.add(k0, k), pair),
                            true, kLanes * pair, mask);
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
      prefetchAhead(aSide, emit.add(m, i), emit.add(k0, k));
    for (int64_t i = 0; i < span;) {
      int64_t count = plan_.m.a == 1 ? std::min(rows, span - i) : 1;
      int64_t place = i / rows * rows * kBlock + i % rows;
      emit.store(loadWords(aSide, emit.add(m, i), emit.add(k0, k), count, {}),
                 emit.at(to, f32, emit.i64(place)));
      i += count;
    }
  });
}

/// Rows of an A that is made, as they would lie: [row][k], kBlock words apart.
void Contract::copyRows(Value m, int64_t span, Value k0, Value kCount) {
  Value first = emit.mul(k0, pair), count = emit.mul(kCount, pair);
  if (oddK())
    count = emit.min(count, arith::SubIOp::create(emit, emit.getLoc(),
                                                  emit.i64(plan_.kSize()),
                                                  first));
  Value rest = emit.rem(count, kLanes);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), count, rest);
  emit.loop(0, span, 1, [&](Value i) {
    Value row = emit.at(packedA, element, emit.mul(i, kBlock * pair));
    auto read = [&](Value k, Value mask) {
      return elements(aSide, emit.add(m, i), emit.add(first, k), true, kLanes,
                      mask);
    };
    emit.loop(emit.i64(0), whole, kLanes, [&](Value k) {
      emit.store(read(k, nullptr), emit.at(row, element, k));
    });
    if (plan_.kSize() % kLanes == 0 && kBlock * pair % kLanes == 0)
      return;
    Value mask = emit.maskBelow(rest);
    emit.storeMasked(read(whole, mask), emit.at(row, element, whole), mask);
  });
}

} // namespace ltc::cpu
