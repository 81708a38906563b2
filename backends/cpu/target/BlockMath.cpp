// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/target/BlockMath.h"

using namespace mlir;

namespace ltc::cpu {

/// Accumulators that fit the 32 vector registers beside one vector of b each
/// and a broadcast element of a.
constexpr int64_t kAccumulators = 24, kMaxVectors = 4, kMaxRows = 8;

Value Scratch::take(int64_t elements) {
  Value piece = emit.at(base, emit.getI8Type(), emit.i64(used));
  used += int64_t(llvm::alignTo(elements * 4, 64));
  return piece;
}

Value loadWide(Emitter &emit, Type element, Value pointer, Value mask) {
  VectorType lanes = Emitter::lanes(element);
  Value read = mask ? emit.loadMasked(lanes, pointer, mask)
                    : emit.load(lanes, pointer);
  if (element.isF32())
    return read;
  return arith::ExtFOp::create(emit, emit.getLoc(),
                               Emitter::lanes(emit.getF32Type()), read);
}
Value narrowTo(Emitter &emit, Type element, Value lanes) {
  if (element.isF32())
    return lanes;
  return arith::TruncFOp::create(emit, emit.getLoc(), Emitter::lanes(element),
                                 lanes);
}

Value lanesOf(Emitter &emit, float value) {
  return arith::ConstantOp::create(
      emit, emit.getLoc(),
      DenseElementsAttr::get(Emitter::lanes(emit.getF32Type()), value));
}
Value fma(Emitter &emit, Value a, Value b, Value c) {
  return math::FmaOp::create(emit, emit.getLoc(), a, b, c);
}

/// One register tile: rows [row, row + rows) by `vectors` from `from`.
static void emitTile(Emitter &emit, const BlockProduct &product, Value row,
                     int64_t rows, int64_t from, int64_t vectors,
                     const FinishLanes &finish) {
  Type f32 = emit.getF32Type();
  VectorType lanes = Emitter::lanes(f32);
  SmallVector<Value> aRows;
  for (int64_t i = 0; i < rows; ++i) {
    Value at = emit.add(row, i);
    if (product.lastRow)
      at = emit.min(at, product.lastRow);
    aRows.push_back(emit.at(product.a, f32, emit.mul(at, product.aRow)));
  }
  SmallVector<Value> zeros(rows * vectors, emit.zero(lanes));
  auto step = [&](Value e, ValueRange sums) {
    Value b = emit.at(product.b, f32, emit.mul(e, product.bRow));
    Value offset = emit.mul(e, product.aStep);
    SmallVector<Value> bs, next;
    for (int64_t v = 0; v < vectors; ++v)
      bs.push_back(emit.load(lanes, emit.at(b, f32, (from + v) * kLanes)));
    for (int64_t i = 0; i < rows; ++i) {
      Value a = emit.splat(emit.load(f32, emit.at(aRows[i], f32, offset)));
      for (int64_t v = 0; v < vectors; ++v)
        next.push_back(fma(emit, a, bs[v], sums[i * vectors + v]));
    }
    return next;
  };
  SmallVector<Value> sums =
      emit.loop(emit.i64(0), product.depth, 1, zeros, step);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t v = 0; v < vectors; ++v)
      finish(emit.add(row, i), from + v, sums[i * vectors + v]);
}

void emitProduct(Emitter &emit, const BlockProduct &product,
                 const FinishLanes &finish) {
  int64_t groups = llvm::divideCeil(product.vectors, kMaxVectors), from = 0;
  for (int64_t group = 0; group < groups; ++group) {
    int64_t vectors = llvm::divideCeil(product.vectors - from, groups - group);
    int64_t rows = std::min(kMaxRows, kAccumulators / vectors);
    int64_t whole = product.rows / rows * rows;
    if (whole)
      emit.loop(0, whole, rows, [&](Value row) {
        emitTile(emit, product, row, rows, from, vectors, finish);
      });
    if (whole < product.rows)
      emitTile(emit, product, emit.i64(whole), product.rows - whole, from,
               vectors, finish);
    from += vectors;
  }
}

/// exp(r) 2^n by Cephes' polynomial for |r| <= ln 2 / 2.
static Value scaledExp(Emitter &emit, Value r, Value n) {
  Location loc = emit.getLoc();
  Value p = lanesOf(emit, 1.9875691500e-4f);
  for (float coefficient :
       {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
        5.0000001201e-1f, 1.0f, 1.0f})
    p = fma(emit, p, r, lanesOf(emit, coefficient));
  Type i16 = emit.getIntegerType(16);
  Value all = arith::ConstantIntOp::create(emit, loc, i16, -1);
  Value current = arith::ConstantIntOp::create(emit, loc, emit.getI32Type(), 4);
  return LLVM::CallIntrinsicOp::create(
             emit, loc, r.getType(),
             emit.getStringAttr("llvm.x86.avx512.mask.scalef.ps.512"),
             ValueRange{p, n, p, all, current})
      .getResult(0);
}

/// x, but not below `low` nor above `high`; NaN stays.
static Value clamp(Emitter &emit, Value x, float low, float high) {
  Location loc = emit.getLoc();
  Value least = lanesOf(emit, low), most = lanesOf(emit, high);
  Value below =
      arith::CmpFOp::create(emit, loc, arith::CmpFPredicate::OLT, x, least);
  x = arith::SelectOp::create(emit, loc, below, least, x);
  Value above =
      arith::CmpFOp::create(emit, loc, arith::CmpFPredicate::OGT, x, most);
  return arith::SelectOp::create(emit, loc, above, most, x);
}

Value emitExp(Emitter &emit, Value x) {
  // Beyond these bounds exp rounds to zero, to infinity.
  x = clamp(emit, x, -104.0f, 89.0f);
  Value n = math::RoundEvenOp::create(
      emit, emit.getLoc(),
      arith::MulFOp::create(emit, emit.getLoc(), x,
                            lanesOf(emit, 1.44269504f)));
  // x - n ln 2, ln 2 in two parts.
  Value r = fma(emit, n, lanesOf(emit, -0.693359375f), x);
  r = fma(emit, n, lanesOf(emit, 2.12194440e-4f), r);
  return scaledExp(emit, r, n);
}

Value emitExp2(Emitter &emit, Value x) {
  x = clamp(emit, x, -151.0f, 129.0f);
  Value n = math::RoundEvenOp::create(emit, emit.getLoc(), x);
  Value rest = arith::SubFOp::create(emit, emit.getLoc(), x, n);
  Value r = arith::MulFOp::create(emit, emit.getLoc(), rest,
                                  lanesOf(emit, 0.693147180559945f));
  return scaledExp(emit, r, n);
}

namespace {

template <typename Op> struct ExpandExp : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Emitter emit(op.getLoc(), rewriter);
    Value x = op.getOperand();
    auto vector = dyn_cast<VectorType>(x.getType());
    if (!getElementTypeOrSelf(x.getType()).isF32() ||
        (vector && vector != Emitter::lanes(emit.getF32Type())))
      return rewriter.notifyMatchFailure(op, "not 16 lanes of f32");
    Value lanes = vector ? x : emit.splat(x);
    lanes = std::is_same_v<Op, math::Exp2Op> ? emitExp2(emit, lanes)
                                             : emitExp(emit, lanes);
    rewriter.replaceOp(op, vector ? lanes : emit.extract(lanes, 0));
    return success();
  }
};

} // namespace

void populateExpPatterns(RewritePatternSet &patterns) {
  patterns.add<ExpandExp<math::ExpOp>, ExpandExp<math::Exp2Op>>(
      patterns.getContext(), PatternBenefit(20));
}

Value inlineScalar(Emitter &emit, Operation *op, ArrayRef<Value> operands) {
  auto isLanes = [](Value v) { return isa<VectorType>(v.getType()); };
  bool lanes = llvm::any_of(operands, isLanes);
  OperationState state(op->getLoc(), op->getName());
  for (Value operand : operands)
    state.operands.push_back(lanes && !isLanes(operand) ? emit.splat(operand)
                                                        : operand);
  Type type = op->getResult(0).getType();
  state.types.push_back(lanes ? Emitter::lanes(type) : type);
  state.attributes = op->getAttrs();
  state.propertiesAttr = op->getPropertiesAsAttribute();
  return emit.create(state)->getResult(0);
}

} // namespace ltc::cpu
