// SPDX-License-Identifier: Apache-2.0
// Meaning, factors, cost and gradient of ltc.attention; letters: Attention.td.
#include "ir/interfaces/Points.h"
#include "ir/interfaces/ScalarProgram.h"
#include "ir/ops/Attention.h"
#include "ir/ops/Build.h"
#include "ir/ops/ScalarGradient.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace ltc;

LogicalResult ltc::scoreWithSlopes(Region &score, ArrayRef<unsigned> by,
                                   Region &out) {
  IRMapping mapping;
  score.cloneInto(&out, mapping);
  Block &body = out.front();
  auto yield = cast<YieldOp>(body.getTerminator());
  SmallVector<Value> yielded = {yield.getValues()[0]}, wanted;
  yield.erase();
  SmallVector<Operation *> ops;
  for (Operation &op : body)
    ops.push_back(&op);
  for (unsigned argument : by)
    wanted.push_back(body.getArgument(argument));
  OpBuilder b(score.getContext());
  b.setInsertionPointToEnd(&body);
  Location loc = yielded[0].getLoc();
  Value one = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1));
  auto slopes = differentiateScalars(b, ops, {{yielded[0], one}}, wanted);
  if (failed(slopes))
    return failure();
  Value flat = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  for (Value slope : *slopes)
    yielded.push_back(slope ? slope : flat);
  YieldOp::create(b, loc, yielded);
  eraseDeadScalars(body);
  return success();
}

namespace {
/// The operands, and the probabilities of one query (b, g, r, t) at a time.
template <typename Op> struct Reference {
  Op op;
  ArrayRef<const HostTensor *> in;
  ArrayRef<const HostTensor *> extras;
  int64_t queries, keys, groups, repeats, size, valueSize;
  Region slopeRegion;
  std::optional<ScalarProgram> keep, score;
  std::vector<AffineMap> maps;
  const HostTensor *sink = nullptr;
  int64_t offset = 0; ///< of the first query's position
  std::vector<double> weight; ///< (u): probability
  /// (u)(j): derivative of the score by s, then by the extras of extraGrads.
  std::vector<std::vector<double>> slope;
  double lse = 0;

  Reference(Op op, ArrayRef<const HostTensor *> in, ArrayRef<int64_t> grads)
      : op(op), in(in), extras(in.take_back(op.getExtras().size())),
        queries(in[0]->shape[1]), keys(in[1]->shape[1]),
        groups(in[0]->shape[2]), repeats(in[0]->shape[3]),
        size(in[0]->shape[4]), valueSize(in[2]->shape[3]), weight(keys),
        slope(keys, std::vector<double>(1 + grads.size(), 1)) {
    if (!op.getKeep().empty())
      keep.emplace(op.getKeep().front());
    SmallVector<unsigned> by = {0};
    for (int64_t n : grads)
      by.push_back(3 + n);
    if (!op.getScore().empty() &&
        succeeded(scoreWithSlopes(op.getScore(), by, slopeRegion)))
      score.emplace(slopeRegion.front());
    for (AffineMap map :
         op.getExtraMaps().template getAsValueRange<AffineMapAttr>())
      maps.push_back(map);
  }

  /// Where in extra n the point (b, g, r, position of t, u) reads;
  /// `gradient`: in its gradient, which begins with (b, g).
  int64_t extraOffset(unsigned n, ArrayRef<int64_t> point, bool gradient) {
    int64_t at = gradient ? point[0] * groups + point[1] : 0;
    for (auto [index, size] :
         llvm::zip(maps[n].getResults(), extras[n]->shape)) {
      auto dim = dyn_cast<AffineDimExpr>(index);
      if (gradient && dim && dim.getPosition() < 2)
        continue;
      int64_t place = dim ? point[dim.getPosition()]
                          : point[3] - point[4] + *distanceOffset(index);
      if (dim && dim.getPosition() == 3)
        place -= offset;
      at = at * size + std::clamp<int64_t>(place, 0, size - 1);
    }
    return at;
  }

  int64_t batches() { return in[0]->shape[0]; }
  /// Offset of query row p = (b, g, r, t) in a (b,t,g,r,..) tensor.
  int64_t row(ArrayRef<int64_t> p) {
    return ((p[0] * queries + p[3]) * groups + p[1]) * repeats + p[2];
  }
  /// Offset of key or value row (b, u, g).
  int64_t keyRow(ArrayRef<int64_t> p, int64_t u) {
    return (p[0] * keys + u) * groups + p[1];
  }
  double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += x[i] * y[i];
    return sum;
  }

  /// Score of (p, u) after the regions; -inf where it is not kept.
  double scoreAt(ArrayRef<int64_t> p, int64_t u) {
    double s = op.getScale().convertToDouble() *
               dot(&in[0]->data[row(p) * size],
                   &in[1]->data[keyRow(p, u) * size], size);
    int64_t point[] = {p[0], p[1], p[2], p[3] + offset, u};
    std::vector<double> arguments = {s, double(point[3]), double(u)};
    for (unsigned n = 0; n < extras.size(); ++n)
      arguments.push_back(extras[n]->data[extraOffset(n, point, false)]);
    double kept = 1;
    std::vector<double> scored(1 + slope[u].size(), s);
    if (keep)
      keep->run(arguments.data() + 1, point, &kept);
    if (score) {
      score->run(arguments.data(), point, scored.data());
      slope[u].assign(scored.begin() + 1, scored.end());
    }
    return kept != 0 ? scored[0] : -std::numeric_limits<double>::infinity();
  }

  void weigh(ArrayRef<int64_t> p) {
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    double joins = -std::numeric_limits<double>::infinity();
    if (sink)
      most = joins = sink->data[p[1] * repeats + p[2]];
    for (int64_t u = 0; u < keys; ++u)
      most = std::max(most, weight[u] = scoreAt(p, u));
    if (std::isinf(most)) {
      std::fill(weight.begin(), weight.end(), 0);
      lse = most;
      return;
    }
    sum = std::exp(joins - most);
    for (double &w : weight)
      sum += (w = std::exp(w - most));
    for (double &w : weight)
      w /= sum;
    lse = most + std::log(sum);
  }

  template <typename Fn> void forEachQuery(Fn fn) {
    forEachPoint({batches(), groups, repeats, queries},
                 [&](ArrayRef<int64_t> p) {
                   weigh(p);
                   fn(p);
                 });
  }
};

/// q (b,t,g,r,k)  key (b,u,g,k)  value (b,u,g,c)  out (b,t,g,r,c)
/// lse (b,t,g,r)
struct Letters {
  Factors factors;
  std::vector<Factors::Dim> query, key, value, output, lse;
  explicit Letters(ArrayRef<int64_t> q, ArrayRef<int64_t> v) {
    int64_t b = factors.add(q[0]), t = factors.add(q[1], FactorKind::Parallel),
            g = factors.add(q[2]), r = factors.add(q[3]),
            k = factors.add(q[4], FactorKind::Whole),
            u = factors.add(v[1], FactorKind::Whole),
            c = factors.add(v[3], FactorKind::Whole);
    query = {{b}, {t}, {g}, {r}, {k}};
    key = {{b}, {u}, {g}, {k}};
    value = {{b}, {u}, {g}, {c}};
    output = {{b}, {t}, {g}, {r}, {c}};
    lse = {{b}, {t}, {g}, {r}};
  }
  /// Extras: maps from (b,g,r,t,u).
  void addExtras(ArrayAttr maps, OperandRange extras) {
    for (auto [map, extra] :
         llvm::zip(maps.getAsValueRange<AffineMapAttr>(), extras)) {
      std::vector<Factors::Dim> dims;
      for (auto [index, size] : llvm::zip(map.getResults(), shapeOf(extra)))
        dims.push_back({factorOf(index, size)});
      factors.operands.push_back(dims);
    }
  }
  /// A distance is a factor of its own.
  int64_t factorOf(AffineExpr index, int64_t size) {
    int64_t of[] = {0, 2, 3, 1, 5};
    if (auto dim = dyn_cast<AffineDimExpr>(index))
      return of[dim.getPosition()];
    return factors.add(size, FactorKind::Whole);
  }
  /// Of the gradient of an extra: (b, g), then its other dimensions.
  std::vector<Factors::Dim> extraGrad(AffineMap map, Value extra) {
    std::vector<Factors::Dim> dims = {{0}, {2}};
    for (auto [index, size] : llvm::zip(map.getResults(), shapeOf(extra))) {
      auto dim = dyn_cast<AffineDimExpr>(index);
      if (!dim || dim.getPosition() > 1)
        dims.push_back({factorOf(index, size)});
    }
    return dims;
  }
};

/// Two contractions over the pairs of query and key that keep's bounds allow.
template <typename Op> double pairFlops(Op op) {
  ArrayRef<int64_t> q = shapeOf(op.getQuery()), v = shapeOf(op.getValue());
  double pairs = keepBounds(op.getKeep()).pairs(q[1], v[1]);
  return 2.0 * pairs * static_cast<double>(q[0] * q[2] * q[3]) *
         static_cast<double>(q[4] + v[3]);
}
} // namespace

std::vector<HostTensor> AttentionOp::evaluate(ArrayRef<const HostTensor *> in) {
  Reference<AttentionOp> ref(*this, in, {});
  if (getSink())
    ref.sink = in[3];
  if (getOffset())
    ref.offset = int64_t(in[getSink() ? 4 : 3]->data[0]);
  HostTensor out(shapeOf(getOutput()).vec()), lse(shapeOf(getLse()).vec());
  ref.forEachQuery([&](ArrayRef<int64_t> p) {
    lse.data[ref.row(p)] = ref.lse;
    for (int64_t u = 0; u < ref.keys; ++u)
      for (int64_t c = 0; c < ref.valueSize; ++c)
        out.data[ref.row(p) * ref.valueSize + c] +=
            ref.weight[u] * in[2]->data[ref.keyRow(p, u) * ref.valueSize + c];
  });
  for (double &x : out.data)
    x = roundedTo(elementOf(getOutput()), x);
  return {out, lse};
}

std::vector<HostTensor>
AttentionGradOp::evaluate(ArrayRef<const HostTensor *> in) {
  ArrayRef<int64_t> grads = getExtraGrads();
  Reference<AttentionGradOp> ref(*this, in, grads);
  std::vector<HostTensor> dExtras;
  for (Value result : getDExtras())
    dExtras.emplace_back(shapeOf(result).vec());
  HostTensor dq(in[0]->shape), dk(in[1]->shape), dv(in[2]->shape);
  double scale = getScale().convertToDouble();
  int64_t size = ref.size, c = ref.valueSize;
  ref.forEachQuery([&](ArrayRef<int64_t> p) {
    int64_t q = ref.row(p);
    const double *dOut = &in[5]->data[q * c];
    double along = ref.dot(dOut, &in[3]->data[q * c], c);
    // The forward's lse counts a sink, which is no operand here.
    double left = std::isinf(ref.lse) ? 0 : std::exp(ref.lse - in[4]->data[q]);
    for (int64_t u = 0; u < ref.keys; ++u) {
      int64_t row = ref.keyRow(p, u);
      double w = left * ref.weight[u];
      if (w == 0)
        continue;
      double dScore = w * (ref.dot(dOut, &in[2]->data[row * c], c) - along);
      double ds = dScore * ref.slope[u][0] * scale;
      int64_t point[] = {p[0], p[1], p[2], p[3], u};
      for (auto [j, n] : llvm::enumerate(grads))
        dExtras[j].data[ref.extraOffset(n, point, true)] +=
            dScore * ref.slope[u][1 + j];
      for (int64_t i = 0; i < c; ++i)
        dv.data[row * c + i] += w * dOut[i];
      for (int64_t i = 0; i < size; ++i) {
        dq.data[q * size + i] += ds * in[1]->data[row * size + i];
        dk.data[row * size + i] += ds * in[0]->data[q * size + i];
      }
    }
  });
  std::vector<HostTensor> results = {dq, dk, dv};
  results.insert(results.end(), dExtras.begin(), dExtras.end());
  return results;
}

Factors AttentionOp::factors() {
  Letters letters(shapeOf(getQuery()), shapeOf(getValue()));
  letters.factors.operands = {letters.query, letters.key, letters.value};
  if (getSink())
    letters.factors.operands.push_back({letters.query[2], letters.query[3]});
  if (getOffset())
    letters.factors.operands.push_back({});
  letters.addExtras(getExtraMaps(), getExtras());
  letters.factors.results = {letters.output, letters.lse};
  return letters.factors;
}

Factors AttentionGradOp::factors() {
  Letters letters(shapeOf(getQuery()), shapeOf(getValue()));
  // A part of the queries gives a part of the sums dKey and dValue.
  letters.factors.all[1].kind = FactorKind::Whole;
  letters.factors.operands = {letters.query,  letters.key, letters.value,
                              letters.output, letters.lse, letters.output};
  letters.addExtras(getExtraMaps(), getExtras());
  letters.factors.results = {letters.query, letters.key, letters.value};
  for (int64_t n : getExtraGrads())
    letters.factors.results.push_back(letters.extraGrad(
        cast<AffineMapAttr>(getExtraMaps()[n]).getValue(), getExtras()[n]));
  return letters.factors;
}

double AttentionOp::flops() { return pairFlops(*this); }
bool AttentionOp::cheapToRecompute() { return false; }
// Scores again, then dP, dV, dQ and dK.
double AttentionGradOp::flops() {
  return 2.5 * pairFlops(*this);
}
bool AttentionGradOp::cheapToRecompute() { return false; }

/// Of a sink: -exp(sink - lse) dOut . out, summed over b and t.
static Value sinkGradient(OpBuilder &b, AttentionOp op, Value dOutput) {
  Location loc = op.getLoc();
  MLIRContext *context = b.getContext();
  AffineMap all = b.getMultiDimIdentityMap(5),
            row = b.getMultiDimIdentityMap(4);
  Value products =
      buildMap(b, loc, op.getOutput().getType(), {dOutput, op.getOutput()},
               {all, all},
               [&](OpBuilder &b, ValueRange x) {
                 return SmallVector<Value>{
                     arith::MulFOp::create(b, loc, x[0], x[1])};
               })
          .getResult(0);
  Value delta = buildSum(b, loc, products, {4});
  Value shares =
      buildMap(b, loc, op.getLse().getType(),
               {op.getSink(), op.getLse(), delta},
               {projection(context, 4, {2, 3}), row, row},
               [&](OpBuilder &b, ValueRange x) {
                 Value share = math::ExpOp::create(
                     b, loc, arith::SubFOp::create(b, loc, x[0], x[1]));
                 Value product = arith::MulFOp::create(b, loc, share, x[2]);
                 return SmallVector<Value>{
                     arith::NegFOp::create(b, loc, product)};
               })
          .getResult(0);
  return buildSum(b, loc, shares, {0, 1});
}

/// From (b, g, ..) to the extra: sums what it lacks, then reorders.
static Value extraGradient(OpBuilder &b, Location loc, Value grad,
                           AffineMap map, Type type) {
  SmallVector<int64_t> order, lacked;
  int64_t next = 2;
  for (AffineExpr index : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(index);
    order.push_back(dim && dim.getPosition() < 2 ? int64_t(dim.getPosition())
                                                 : next++);
  }
  for (int64_t dim : {0, 1})
    if (!llvm::is_contained(order, dim))
      lacked.push_back(dim);
  grad = buildSum(b, loc, grad, lacked);
  for (int64_t &dim : order)
    dim -= llvm::count_if(lacked, [&](int64_t gone) { return gone < dim; });
  // The inverse: result i of the map is where dimension i of grad is.
  SmallVector<int64_t> places(order.size());
  for (auto [i, dim] : llvm::enumerate(order))
    places[dim] = int64_t(i);
  return buildCopy(b, loc, cast<RankedTensorType>(type), grad,
                   projection(b.getContext(), order.size(), places));
}

FailureOr<SmallVector<Value>> AttentionOp::gradient(OpBuilder &b,
                                                    ArrayRef<Value> dResults,
                                                    ArrayRef<bool> wanted) {
  SmallVector<Value> grads(getNumOperands());
  if (dResults[1])
    return emitError("the log-sum-exp of attention has no gradient");
  if (getOffset())
    return emitError("attention to a cache has no gradient");
  if (!dResults[0])
    return grads;
  if (getSink() && wanted[3])
    grads[3] = sinkGradient(b, *this, dResults[0]);
  unsigned first = getSink() ? 4 : 3;
  SmallVector<int64_t> extraGrads;
  SmallVector<Type> types = {getQuery().getType(), getKey().getType(),
                             getValue().getType()};
  ArrayRef<int64_t> key = shapeOf(getKey());
  for (auto [n, extra] : llvm::enumerate(getExtras()))
    if (wanted[first + n] && elementOf(extra).isF32() && !getScore().empty() &&
        !getScore().front().getArgument(3 + n).use_empty()) {
      extraGrads.push_back(int64_t(n));
      auto map = cast<AffineMapAttr>(getExtraMaps()[n]).getValue();
      types.push_back(RankedTensorType::get(
          extraGradShape(map, key[0], key[2], shapeOf(extra)),
          b.getF32Type()));
    }
  if (!(wanted[0] || wanted[1] || wanted[2]) && extraGrads.empty())
    return grads;
  Region slopes; // says by which op a score has no gradient
  SmallVector<unsigned> by = {0};
  for (int64_t n : extraGrads)
    by.push_back(3 + n);
  if (!getScore().empty() && failed(scoreWithSlopes(getScore(), by, slopes)))
    return failure();
  auto grad = AttentionGradOp::create(
      b, getLoc(), types, getQuery(), getKey(), getValue(), getOutput(),
      getLse(), dResults[0], getExtras(), getScaleAttr(), getExtraMaps(),
      b.getDenseI64ArrayAttr(extraGrads));
  IRMapping keepMapping, scoreMapping;
  getKeep().cloneInto(&grad.getKeep(), keepMapping);
  getScore().cloneInto(&grad.getScore(), scoreMapping);
  for (unsigned i = 0; i < 3; ++i)
    if (wanted[i])
      grads[i] = grad.getResult(i);
  for (auto [j, n] : llvm::enumerate(extraGrads))
    grads[first + n] = extraGradient(
        b, getLoc(), grad.getDExtras()[j],
        cast<AffineMapAttr>(getExtraMaps()[n]).getValue(),
        getExtras()[n].getType());
  return grads;
}

FailureOr<SmallVector<Value>>
AttentionGradOp::gradient(OpBuilder &, ArrayRef<Value>, ArrayRef<bool>) {
  return emitError("the gradient of attention's gradient is not known");
}
