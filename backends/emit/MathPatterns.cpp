// SPDX-License-Identifier: Apache-2.0
// Polynomials: Cephes (f32) and FreeBSD's msun (f64 log, sin, cos kernels);
// f64 exp is the Taylor series to degree 13 on |r| <= ln 2 / 2.
#include "backends/emit/MathPatterns.h"
#include "backends/emit/Emitter.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

using namespace mlir;

namespace ltc {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// ln 2 = kLn2High + kLn2Low; a multiple of kLn2High below 2^20 is exact.
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr double kInverseLn2 = 1.4426950408889634074;

Type withElement(Type type, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? Type(vector.clone(element)) : element;
}

/// Arithmetic on values of one float type, scalar or vector. Of a call's
/// arguments at most one may make an op: in which order C++ evaluates them is
/// the host compiler's choice, and a kernel's bytes must not be.
class Numbers {
public:
  Numbers(Emitter &emit, Type type) : emit(emit), type(type) {}

  Value constant(double number) {
    Type element = getElementTypeOrSelf(type);
    return splat(emit.getFloatAttr(element, number), type);
  }
  Value add(Value a, Value b) { return make<arith::AddFOp>(a, b); }
  Value sub(Value a, Value b) { return make<arith::SubFOp>(a, b); }
  Value mul(Value a, Value b) { return make<arith::MulFOp>(a, b); }
  Value div(Value a, Value b) { return make<arith::DivFOp>(a, b); }
  Value mul(Value a, double b) { return mul(a, constant(b)); }
  Value add(Value a, double b) { return add(a, constant(b)); }
  Value fma(Value a, Value b, Value c) {
    return math::FmaOp::create(emit, emit.getLoc(), a, b, c);
  }
  Value fma(Value a, double b, Value c) { return fma(a, constant(b), c); }
  Value round(Value a) {
    return math::RoundEvenOp::create(emit, emit.getLoc(), a);
  }
  Value floor(Value a) { return math::FloorOp::create(emit, emit.getLoc(), a); }
  Value abs(Value a) { return math::AbsFOp::create(emit, emit.getLoc(), a); }
  Value negate(Value a) {
    return arith::NegFOp::create(emit, emit.getLoc(), a);
  }
  Value is(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(emit, emit.getLoc(), predicate, a, b);
  }
  Value is(arith::CmpFPredicate predicate, Value a, double b) {
    return is(predicate, a, constant(b));
  }
  Value either(Value a, Value b) { return make<arith::OrIOp>(a, b); }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(emit, emit.getLoc(), condition, a, b);
  }
  Value select(Value condition, double a, Value b) {
    return select(condition, constant(a), b);
  }
  /// c0 x^n + c1 x^(n-1) + ... + cn.
  Value polynomial(Value x, ArrayRef<double> coefficients) {
    Value sum = constant(coefficients.front());
    for (double coefficient : coefficients.drop_front())
      sum = fma(sum, x, constant(coefficient));
    return sum;
  }
  /// 2^n of a whole n in the range of normal numbers.
  Value powerOfTwo(Value n) {
    bool wide = getElementTypeOrSelf(type).isF64();
    Value bits = arith::FPToSIOp::create(emit, emit.getLoc(), integers(), n);
    bits = make<arith::AddIOp>(bits, integer(wide ? 1023 : 127));
    return bitcast(make<arith::ShLIOp>(bits, integer(wide ? 52 : 23)), type);
  }
  Value integer(int64_t number) {
    Type element = getElementTypeOrSelf(integers());
    return splat(emit.getIntegerAttr(element, number), integers());
  }
  /// Integers of the numbers' width.
  Type integers() {
    Type element = getElementTypeOrSelf(type);
    return withElement(type,
                       emit.getIntegerType(element.getIntOrFloatBitWidth()));
  }
  Value bitcast(Value value, Type to) {
    return arith::BitcastOp::create(emit, emit.getLoc(), to, value);
  }
  template <typename Op> Value make(Value a, Value b) {
    return Op::create(emit, emit.getLoc(), a, b);
  }

  Emitter &emit;
  Type type;

private:
  Value splat(TypedAttr number, Type as) {
    if (auto vector = dyn_cast<VectorType>(as))
      return arith::ConstantOp::create(
          emit, emit.getLoc(),
          DenseElementsAttr::get(vector, Attribute(number)));
    return arith::ConstantOp::create(emit, emit.getLoc(), number);
  }
};

using Predicate = arith::CmpFPredicate;

/// exp(x + low), |low| far below x's ulp... or zero.
Value exp64(Numbers &f, Value x, Value low) {
  Value isNaN = f.is(Predicate::UNO, x, x);
  Value safe = f.select(isNaN, 0.0, x);
  Value huge = f.is(Predicate::OGT, safe, 710.0);
  safe = f.select(huge, 710.0, safe);
  Value tiny = f.is(Predicate::OLT, safe, -746.0);
  safe = f.select(tiny, -746.0, safe);
  Value n = f.round(f.mul(safe, kInverseLn2));
  Value r = f.fma(n, -kLn2High, safe);
  r = f.fma(n, -kLn2Low, r);
  if (low)
    r = f.add(r, f.select(f.either(huge, tiny), 0.0, low));
  double coefficients[14], factorial = 1;
  for (int i = 0; i <= 13; ++i) {
    factorial *= i ? i : 1;
    coefficients[13 - i] = 1 / factorial;
  }
  Value p = f.polynomial(r, coefficients);
  // 2^n in two factors: each is a normal number.
  Value half = f.floor(f.mul(n, 0.5));
  Value result = f.mul(p, f.powerOfTwo(half));
  result = f.mul(result, f.powerOfTwo(f.sub(n, half)));
  result = f.select(huge, f.select(f.is(Predicate::OGT, x, 709.79), kInfinity,
                                   result),
                    result);
  return f.select(isNaN, x, result);
}

/// x = m 2^k with m in [sqrt(1/2), sqrt(2)); x > 0 and finite.
void decompose(Numbers &f, Value x, Value &m, Value &k) {
  constexpr double kSmallest = 2.2250738585072014e-308;
  Value subnormal = f.is(Predicate::OLT, x, kSmallest);
  x = f.select(subnormal, f.mul(x, 18014398509481984.0), x); // 2^54
  Value bits = f.bitcast(x, f.integers());
  // Bits of sqrt(1/2) taken off: the exponent then steps where m does.
  constexpr int64_t kRootHalf = 0x3fe6a09e667f3bcd;
  Value above = f.make<arith::SubIOp>(bits, f.integer(kRootHalf));
  Value exponent = f.make<arith::ShRSIOp>(above, f.integer(52));
  Value mBits = f.make<arith::SubIOp>(
      bits, f.make<arith::ShLIOp>(exponent, f.integer(52)));
  m = f.bitcast(mBits, f.type);
  k = arith::SIToFPOp::create(f.emit, f.emit.getLoc(), f.type, exponent);
  k = f.add(k, f.select(subnormal, -54.0, f.constant(0)));
}

/// high + low = log(x), about 2^-60 relative, for finite x > 0.
void logPair(Numbers &f, Value x, Value &high, Value &low) {
  Value m, k;
  decompose(f, x, m, k);
  // log m = 2 atanh(s), s = g / (2 + g), g = m - 1; s = s0 + s1.
  Value g = f.add(m, -1.0);
  Value d = f.add(g, 2.0);
  Value dLow = f.sub(g, f.add(d, -2.0));
  Value s0 = f.div(g, d);
  Value rest = f.fma(f.negate(s0), d, g);
  rest = f.fma(f.negate(s0), dLow, rest);
  Value s1 = f.div(rest, d);
  Value z = f.mul(s0, s0);
  Value series = f.polynomial(
      z, {2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11,
          2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3});
  Value tail = f.mul(f.mul(s0, z), series);
  // k ln2High is exact; two exact sums, the small parts last.
  Value a = f.mul(k, kLn2High), b = f.mul(s0, 2.0);
  Value sum = f.add(a, b);
  Value back = f.sub(sum, a);
  Value lost = f.sub(a, f.sub(sum, back));
  lost = f.add(lost, f.sub(b, back));
  Value small = f.fma(s1, 2.0, tail);
  small = f.add(small, f.mul(k, kLn2Low));
  small = f.add(small, lost);
  high = f.add(sum, small);
  low = f.sub(small, f.sub(high, sum));
}

Value log64(Numbers &f, Value x) {
  Value positive = f.is(Predicate::OGT, x, 0.0);
  Value infinite = f.is(Predicate::OEQ, x, kInfinity);
  Value safe = f.select(positive, x, f.constant(1));
  safe = f.select(infinite, 1.0, safe);
  Value high, low;
  logPair(f, safe, high, low);
  Value zero = f.is(Predicate::OEQ, x, 0.0);
  Value result = f.select(infinite, kInfinity, high);
  result = f.select(positive, result, f.constant(kNaN));
  return f.select(zero, -kInfinity, result);
}

Value pow64(Numbers &f, Value x, Value y) {
  Value base = f.abs(x);
  Value zero = f.is(Predicate::OEQ, base, 0.0);
  Value infinite = f.is(Predicate::OEQ, base, kInfinity);
  Value safe = f.select(f.either(zero, infinite), 1.0, base);
  Value high, low;
  logPair(f, safe, high, low);
  Value product = f.mul(y, high);
  Value rest = f.fma(y, low, f.fma(y, high, f.negate(product)));
  // An infinite product has no rest.
  Value finite = f.is(Predicate::OLT, f.abs(product), kInfinity);
  Value result = exp64(f, product, f.select(finite, rest, f.constant(0)));
  Value up = f.is(Predicate::OGT, y, 0.0);
  Value nought = f.constant(0), endless = f.constant(kInfinity);
  result = f.select(zero, f.select(up, nought, endless), result);
  result = f.select(infinite, f.select(up, endless, nought), result);
  // A negative base takes whole powers only.
  Value half = f.mul(y, 0.5);
  Value odd = f.is(Predicate::ONE, f.floor(half), half);
  Value whole = f.is(Predicate::OEQ, f.floor(y), y);
  Value negative = f.is(Predicate::OLT, x, 0.0);
  Value turned = f.select(odd, f.negate(result), result);
  turned = f.select(whole, turned, f.constant(kNaN));
  result = f.select(negative, turned, result);
  result = f.select(f.is(Predicate::UNO, x, y), kNaN, result);
  Value one = f.is(Predicate::OEQ, y, 0.0);
  one = f.either(one, f.is(Predicate::OEQ, x, 1.0));
  return f.select(one, 1.0, result);
}

/// n = round(x 2/pi) and x - n pi/2, good up to |x| about 1e9.
void reduceAngle(Numbers &f, Value x, Value &n, Value &r) {
  n = f.round(f.mul(x, 0.63661977236758134308));
  r = f.fma(n, -1.5707963267948966192, x);
  r = f.fma(n, -6.123233995736766036e-17, r);
  r = f.fma(n, 1.4973849048591833e-33, r);
}

/// The quarter n (+ 1 for a cosine) picks sin or cos of r, and the sign.
Value byQuarter(Numbers &wide, Numbers &f, Value n, Value sin, Value cos,
                bool cosine) {
  if (cosine)
    n = wide.add(n, 1.0);
  Value half = wide.mul(n, 0.5), quarter = wide.mul(n, 0.25);
  Value odd = wide.is(Predicate::ONE, wide.floor(half), half);
  // n mod 4 is 2 or 3: the fraction of n / 4 is at least a half.
  Value fraction = wide.sub(quarter, wide.floor(quarter));
  Value turned = wide.is(Predicate::OGE, fraction, 0.5);
  Value picked = f.select(odd, cos, sin);
  return f.select(turned, f.negate(picked), picked);
}

Value angle64(Numbers &f, Value x, bool cosine) {
  Value n, r;
  reduceAngle(f, x, n, r);
  Value z = f.mul(r, r);
  Value s = f.polynomial(z, {1.58969099521155010221e-10,
                             -2.50507602534068634195e-08,
                             2.75573137070700676789e-06,
                             -1.98412698298579493134e-04,
                             8.33333333332248946124e-03,
                             -1.66666666666666324348e-01});
  Value sin = f.fma(f.mul(r, z), s, r);
  Value c = f.polynomial(z, {-1.13596475577881948265e-11,
                             2.08757232129817482790e-09,
                             -2.75573143513906633035e-07,
                             2.48015872894767294178e-05,
                             -1.38888888888741095749e-03,
                             4.16666666666666019037e-02});
  Value square = f.mul(z, z);
  Value cos = f.fma(square, c, f.fma(z, -0.5, f.constant(1)));
  return byQuarter(f, f, n, sin, cos, cosine);
}

/// The angle is reduced in f64, so that large ones keep their places.
Value angle32(Emitter &emit, Value x, bool cosine) {
  Location loc = emit.getLoc();
  Type wideType = withElement(x.getType(), emit.getF64Type());
  Numbers f(emit, x.getType()), wide(emit, wideType);
  Value n, rest;
  reduceAngle(wide, arith::ExtFOp::create(emit, loc, wideType, x), n, rest);
  Value r = arith::TruncFOp::create(emit, loc, x.getType(), rest);
  Value z = f.mul(r, r);
  Value s = f.polynomial(
      z, {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1});
  Value sin = f.fma(f.mul(r, z), s, r);
  Value c = f.polynomial(
      z, {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2});
  Value square = f.mul(z, z);
  Value cos = f.fma(square, c, f.fma(z, -0.5, f.constant(1)));
  return byQuarter(wide, f, n, sin, cos, cosine);
}

/// Continued fraction where 1 - 2 / (exp(2x) + 1) would cancel.
Value tanh64(Numbers &f, Value x) {
  Value square = f.mul(x, x), fraction = f.constant(19);
  for (double odd : {17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0})
    fraction = f.add(f.div(square, fraction), odd);
  Value near = f.div(x, fraction);
  Value size = f.abs(x);
  Value e = exp64(f, f.mul(size, 2.0), {});
  Value one = f.constant(1), two = f.constant(2);
  Value far = f.sub(one, f.div(two, f.add(e, 1.0)));
  Value below = f.is(Predicate::OLT, x, 0.0);
  far = f.select(below, f.negate(far), far);
  return f.select(f.is(Predicate::OLT, size, 0.5), near, far);
}

/// x, but not below `low` nor above `high`; NaN stays.
Value clamp(Numbers &f, Value x, double low, double high) {
  x = f.select(f.is(Predicate::OLT, x, low), low, x);
  return f.select(f.is(Predicate::OGT, x, high), high, x);
}

/// exp(r) 2^n by Cephes' polynomial for |r| <= ln 2 / 2. 2^n in two factors,
/// each a normal number; only the second product rounds.
Value scaledExp32(Numbers &f, Value r, Value n) {
  Value p = f.polynomial(
      r, {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
          4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f, 1.0f, 1.0f});
  Value half = f.floor(f.mul(n, 0.5));
  return f.mul(f.mul(p, f.powerOfTwo(half)), f.powerOfTwo(f.sub(n, half)));
}

/// Within 2 ulp; the bits of the CPU target's own form (BlockMath.cpp).
Value exp32(Numbers &f, Value x, bool base2) {
  Value isNaN = f.is(Predicate::UNO, x, x);
  Value safe = f.select(isNaN, 0.0, x);
  Value n, r;
  if (base2) {
    safe = clamp(f, safe, -151, 129);
    n = f.round(safe);
    r = f.mul(f.sub(safe, n), 0.693147180559945f);
  } else {
    // Beyond these bounds exp rounds to zero, to infinity.
    safe = clamp(f, safe, -104, 89);
    n = f.round(f.mul(safe, 1.44269504f));
    // x - n ln 2, ln 2 in two parts.
    r = f.fma(n, -0.693359375f, safe);
    r = f.fma(n, 2.12194440e-4f, r);
  }
  return f.select(isNaN, x, scaledExp32(f, r, n));
}

Value pow32(Emitter &emit, Value x, Value y) {
  Type wide = withElement(x.getType(), emit.getF64Type());
  Numbers f(emit, wide);
  Location loc = emit.getLoc();
  Value wideX = arith::ExtFOp::create(emit, loc, wide, x);
  Value wideY = arith::ExtFOp::create(emit, loc, wide, y);
  Value result = pow64(f, wideX, wideY);
  return arith::TruncFOp::create(emit, loc, x.getType(), result);
}

/// The value of `op`, or null where MLIR's own patterns do.
Value expandMath(Emitter &emit, Operation *op) {
  Value x = op->getOperand(0);
  Type element = getElementTypeOrSelf(x.getType());
  bool wide = element.isF64();
  if (!wide && !element.isF32())
    return {};
  Numbers f(emit, x.getType());
  if (isa<math::PowFOp>(op))
    return wide ? pow64(f, x, op->getOperand(1))
                : pow32(emit, x, op->getOperand(1));
  if (isa<math::SinOp, math::CosOp>(op)) {
    bool cosine = isa<math::CosOp>(op);
    return wide ? angle64(f, x, cosine) : angle32(emit, x, cosine);
  }
  if (isa<math::ExpOp, math::Exp2Op>(op) && !wide)
    return exp32(f, x, isa<math::Exp2Op>(op));
  if (!wide)
    return {};
  if (isa<math::ExpOp>(op))
    return exp64(f, x, {});
  if (isa<math::Exp2Op>(op)) // log 2 is not exact: 2^x is a power
    return pow64(f, f.constant(2), x);
  if (isa<math::LogOp>(op))
    return log64(f, x);
  if (isa<math::Log2Op>(op))
    return f.mul(log64(f, x), kInverseLn2);
  if (isa<math::TanhOp>(op))
    return tanh64(f, x);
  return {};
}

template <typename Op> struct Expand : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Emitter emit(op.getLoc(), rewriter);
    Value value = expandMath(emit, op);
    if (!value)
      return rewriter.notifyMatchFailure(op, "left to MLIR's polynomials");
    rewriter.replaceOp(op, value);
    return success();
  }
};

} // namespace

void populateMathPatterns(RewritePatternSet &patterns) {
  populateRandomPatterns(patterns);
  // Before MLIR's, whose benefit is 1.
  patterns.add<Expand<math::PowFOp>, Expand<math::SinOp>, Expand<math::CosOp>,
               Expand<math::ExpOp>, Expand<math::Exp2Op>, Expand<math::LogOp>,
               Expand<math::Log2Op>, Expand<math::TanhOp>>(
      patterns.getContext(), PatternBenefit(10));
}

} // namespace ltc
