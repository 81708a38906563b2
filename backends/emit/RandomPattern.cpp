// SPDX-License-Identifier: Apache-2.0
// ltc.random as arithmetic: words of 32 bits in lanes of 64, whose products
// are one instruction.
#include "backends/emit/Emitter.h"
#include "backends/emit/MathPatterns.h"
#include "ir/interfaces/Philox.h"
#include "ir/ops/Ops.h"

using namespace mlir;

namespace ltc {
namespace {

struct Words {
  Emitter &emit;
  Type type; ///< i64 or lanes of it

  Value constant(uint64_t word) {
    Attribute value = emit.getI64IntegerAttr(int64_t(word));
    if (auto vector = dyn_cast<VectorType>(type))
      value = SplatElementsAttr::get(vector, value);
    return arith::ConstantOp::create(emit, emit.getLoc(), type,
                                     cast<TypedAttr>(value));
  }
  template <typename Op> Value make(Value a, Value b) {
    return Op::create(emit, emit.getLoc(), a, b);
  }
  Value low(Value a) {
    return make<arith::AndIOp>(a, constant(0xffffffff));
  }
  Value high(Value a) { return make<arith::ShRUIOp>(a, constant(32)); }
  Value mix(Value a, Value b, Value c) {
    return make<arith::XOrIOp>(make<arith::XOrIOp>(a, b), c);
  }
};

struct ExpandRandom : OpRewritePattern<RandomOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RandomOp op,
                                PatternRewriter &rewriter) const override {
    Emitter emit(op.getLoc(), rewriter);
    Words w{emit, op.getLow().getType()};
    Value c[4] = {w.low(op.getLow()), w.high(op.getLow()), w.low(op.getHigh()),
                  w.high(op.getHigh())};
    Value key[2] = {w.low(op.getKey()), w.high(op.getKey())};
    for (int round = 0; round < kPhiloxRounds; ++round) {
      Value p = w.make<arith::MulIOp>(c[0], w.constant(kPhiloxMultiply[0]));
      Value q = w.make<arith::MulIOp>(c[2], w.constant(kPhiloxMultiply[1]));
      Value first = w.mix(w.high(q), c[1], key[0]);
      Value third = w.mix(w.high(p), c[3], key[1]);
      c[0] = first, c[1] = w.low(q), c[2] = third, c[3] = w.low(p);
      for (int i = 0; i < 2; ++i)
        key[i] = w.low(
            w.make<arith::AddIOp>(key[i], w.constant(kPhiloxWeyl[i])));
    }
    rewriter.replaceOpWithNewOp<arith::TruncIOp>(op, op.getBits().getType(),
                                                 c[0]);
    return success();
  }
};

} // namespace

void populateRandomPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpandRandom>(patterns.getContext());
}

} // namespace ltc
