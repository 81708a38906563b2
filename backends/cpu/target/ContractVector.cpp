// SPDX-License-Identifier: Apache-2.0
// A contraction with one row: each element of B is used once, so B is read
// where it lies and its bytes are the time. Every output is the same chain of
// multiply-adds as in a product of many rows.
#include "backends/cpu/target/Contract.h"

using namespace mlir;

namespace ltc::cpu {

bool Contract::isVector() const {
  return plan_.m.size == 1 && !plan_.ragged() && plan_.k.size() == 1 &&
         (pair == 1 || plan_.k[0].a == 1) &&
         (plan_.n.b == 1 || plan_.k[0].b == 1);
}

/// A's word k in all lanes; `half`: the last element of an odd k.
Value Contract::splatA(Value k, bool half) {
  if (aSide.made)
    return emit.splat(loadWords(aSide, emit.i64(0), k, 1, {}));
  Value from = emit.at(aSide.tile, element, emit.mul(k, pair * plan_.k[0].a));
  return pair == 1 ? emit.splat(emit.load(f32, from)) : loadA(from, 0, 0, half);
}

/// B stored [k][n]: a row of lanes for each word of k.
SmallVector<Value> Contract::sumOfRows(Value n, int64_t width) {
  SmallVector<Value> sums(llvm::divideCeil(width, kLanes),
                          emit.zero(Emitter::lanes(f32)));
  auto step = [&](Value k, ValueRange before, bool half) {
    SmallVector<Value> after;
    Value a = splatA(k, half);
    for (auto [v, sum] : llvm::enumerate(before)) {
      int64_t left = width - int64_t(v) * kLanes;
      Value column = emit.add(n, int64_t(v) * kLanes);
      prefetchAhead(bSide, column, k);
      Value words = loadWords(bSide, column, k, kLanes,
                              left < kLanes ? emit.mask(left) : Value());
      after.push_back(addProduct(a, words, sum));
    }
    return after;
  };
  int64_t whole = plan_.kSize() / pair;
  sums = emit.loop(
      emit.i64(0), emit.i64(whole), 1, sums,
      [&](Value k, ValueRange before) { return step(k, before, false); });
  return oddK() ? step(emit.i64(whole), sums, true) : sums;
}

/// B stored [n][k]: squares of 16 columns by 16 words, transposed in registers.
SmallVector<Value> Contract::sumOfColumns(Value n, int64_t width) {
  VectorType lanes = Emitter::lanes(f32);
  // `count` words from word k on, `used` elements in all.
  auto square = [&](Value k, ValueRange before, int64_t count,
                    int64_t used) {
    SmallVector<Value> after(before);
    Value mask;
    if (used < kLanes * pair)
      mask = emit.maskBelow(emit.i64(used), kLanes * pair);
    for (auto [v, sum] : llvm::enumerate(after)) {
      SmallVector<Value> rows(kLanes, emit.zero(lanes));
      for (int64_t i = 0; i < kLanes; ++i) {
        int64_t column = int64_t(v) * kLanes + i;
        if (column >= width)
          break;
        rows[i] = emit.bitcast(elements(bSide, emit.add(n, column),
                                        emit.mul(k, pair), true, kLanes * pair,
                                        mask),
                               lanes);
      }
      emit.transpose16(rows);
      for (int64_t i = 0; i < count; ++i)
        sum = addProduct(
            splatA(emit.add(k, i), used == i * pair + 1 && pair == 2),
            rows[i], sum);
    }
    return after;
  };
  SmallVector<Value> sums(llvm::divideCeil(width, kLanes), emit.zero(lanes));
  int64_t whole = plan_.kSize() / (kLanes * pair) * kLanes;
  int64_t rest = plan_.kSize() - whole * pair;
  if (whole)
    sums = emit.loop(emit.i64(0), emit.i64(whole), kLanes, sums,
                     [&](Value k, ValueRange before) {
                       return square(k, before, kLanes, kLanes * pair);
                     });
  return rest ? square(emit.i64(whole), sums, kWords() - whole, rest) : sums;
}

void Contract::emitVectorTile(Value nEnd) {
  overSteps(nBegin, nEnd, plan_.n.size, vectors * kLanes,
            [&](Value n, int64_t width) {
              finish(emit.i64(0), 1, n, width,
                     plan_.n.b == 1 ? sumOfRows(n, width)
                                    : sumOfColumns(n, width));
            });
}

} // namespace ltc::cpu
