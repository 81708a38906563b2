// SPDX-License-Identifier: Apache-2.0
// Meaning, factors, cost and gradient of ltc.attention; letters: Attention.td.
#include "ir/interfaces/Points.h"
#include "ir/interfaces/ScalarProgram.h"
#include "ir/ops/ScalarGradient.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace ltc;

namespace {
/// A block that yields score(s) and its derivative at s = argument 0.
LogicalResult scoreWithSlope(Region &score, Region &out) {
  IRMapping mapping;
  score.cloneInto(&out, mapping);
  Block &body = out.front();
  auto yield = cast<YieldOp>(body.getTerminator());
  Value value = yield.getValues()[0];
  yield.erase();
  SmallVector<Operation *> ops;
  for (Operation &op : body)
    ops.push_back(&op);
  OpBuilder b(value.getContext());
  b.setInsertionPointToEnd(&body);
  Location loc = value.getLoc();
  Value one = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1));
  auto slope = differentiateScalars(b, ops, {{value, one}},
                                    {Value(body.getArgument(0))});
  if (failed(slope))
    return failure();
  Value flat = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  YieldOp::create(b, loc,
                  ValueRange{value, (*slope)[0] ? (*slope)[0] : flat});
  return success();
}

/// The operands, and the probabilities of one query (b, g, r, t) at a time.
template <typename Op> struct Reference {
  Op op;
  ArrayRef<const HostTensor *> in;
  ArrayRef<const HostTensor *> extras;
  int64_t queries, keys, groups, repeats, size, valueSize;
  Region slopeRegion;
  std::optional<ScalarProgram> keep, score;
  std::vector<Strides> strides;
  std::vector<double> weight, slope; ///< (u): probability, d score / d s
  double lse = 0;

  Reference(Op op, ArrayRef<const HostTensor *> in)
      : op(op), in(in), extras(in.take_back(op.getExtras().size())),
        queries(in[0]->shape[1]), keys(in[1]->shape[1]),
        groups(in[0]->shape[2]), repeats(in[0]->shape[3]),
        size(in[0]->shape[4]), valueSize(in[2]->shape[3]), weight(keys),
        slope(keys, 1) {
    if (!op.getKeep().empty())
      keep.emplace(op.getKeep().front());
    if (!op.getScore().empty() &&
        succeeded(scoreWithSlope(op.getScore(), slopeRegion)))
      score.emplace(slopeRegion.front());
    for (auto [map, extra] :
         llvm::zip(op.getExtraMaps().template getAsValueRange<AffineMapAttr>(),
                   op.getExtras()))
      strides.push_back(stridesThrough(map, shapeOf(extra)));
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
    int64_t point[] = {p[0], p[1], p[2], p[3], u};
    std::vector<double> arguments = {s, double(p[3]), double(u)};
    for (unsigned n = 0; n < extras.size(); ++n)
      arguments.push_back(extras[n]->data[offsetAt(point, strides[n])]);
    double kept = 1, scored[2] = {s, 1};
    if (keep)
      keep->run(arguments.data() + 1, point, &kept);
    if (score)
      score->run(arguments.data(), point, scored);
    slope[u] = scored[1];
    return kept != 0 ? scored[0] : -std::numeric_limits<double>::infinity();
  }

  void weigh(ArrayRef<int64_t> p) {
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t u = 0; u < keys; ++u)
      most = std::max(most, weight[u] = scoreAt(p, u));
    if (std::isinf(most)) {
      std::fill(weight.begin(), weight.end(), 0);
      lse = most;
      return;
    }
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
  void addExtras(ArrayAttr maps) {
    int64_t of[] = {0, 2, 3, 1, 5};
    for (AffineMap map : maps.getAsValueRange<AffineMapAttr>()) {
      std::vector<Factors::Dim> dims;
      for (unsigned i = 0; i < map.getNumResults(); ++i)
        dims.push_back({of[map.getDimPosition(i)]});
      factors.operands.push_back(dims);
    }
  }
};

/// Two contractions over every pair of query and key, kept or not.
double pairFlops(Value query, Value value) {
  ArrayRef<int64_t> q = shapeOf(query), v = shapeOf(value);
  return 2.0 * static_cast<double>(q[0] * q[1] * q[2] * q[3] * v[1]) *
         static_cast<double>(q[4] + v[3]);
}
} // namespace

std::vector<HostTensor> AttentionOp::evaluate(ArrayRef<const HostTensor *> in) {
  Reference<AttentionOp> ref(*this, in);
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
  Reference<AttentionGradOp> ref(*this, in);
  HostTensor dq(in[0]->shape), dk(in[1]->shape), dv(in[2]->shape);
  double scale = getScale().convertToDouble();
  int64_t size = ref.size, c = ref.valueSize;
  ref.forEachQuery([&](ArrayRef<int64_t> p) {
    int64_t q = ref.row(p);
    const double *dOut = &in[5]->data[q * c];
    double along = ref.dot(dOut, &in[3]->data[q * c], c);
    for (int64_t u = 0; u < ref.keys; ++u) {
      int64_t row = ref.keyRow(p, u);
      double w = ref.weight[u];
      double ds = w * (ref.dot(dOut, &in[2]->data[row * c], c) - along) *
                  (w == 0 ? 0 : ref.slope[u]) * scale;
      for (int64_t i = 0; i < c; ++i)
        dv.data[row * c + i] += w * dOut[i];
      for (int64_t i = 0; i < size; ++i) {
        dq.data[q * size + i] += ds * in[1]->data[row * size + i];
        dk.data[row * size + i] += ds * in[0]->data[q * size + i];
      }
    }
  });
  return {dq, dk, dv};
}

Factors AttentionOp::factors() {
  Letters letters(shapeOf(getQuery()), shapeOf(getValue()));
  letters.factors.operands = {letters.query, letters.key, letters.value};
  letters.addExtras(getExtraMaps());
  letters.factors.results = {letters.output, letters.lse};
  return letters.factors;
}

Factors AttentionGradOp::factors() {
  Letters letters(shapeOf(getQuery()), shapeOf(getValue()));
  // A part of the queries gives a part of the sums dKey and dValue.
  letters.factors.all[1].kind = FactorKind::Whole;
  letters.factors.operands = {letters.query,  letters.key, letters.value,
                              letters.output, letters.lse, letters.output};
  letters.addExtras(getExtraMaps());
  letters.factors.results = {letters.query, letters.key, letters.value};
  return letters.factors;
}

double AttentionOp::flops() { return pairFlops(getQuery(), getValue()); }
bool AttentionOp::cheapToRecompute() { return false; }
// Scores again, then dP, dV, dQ and dK.
double AttentionGradOp::flops() {
  return 2.5 * pairFlops(getQuery(), getValue());
}
bool AttentionGradOp::cheapToRecompute() { return false; }

FailureOr<SmallVector<Value>> AttentionOp::gradient(OpBuilder &b,
                                                    ArrayRef<Value> dResults,
                                                    ArrayRef<bool> wanted) {
  SmallVector<Value> grads(getNumOperands());
  if (dResults[1])
    return emitError("the log-sum-exp of attention has no gradient");
  for (unsigned i = 3; i < getNumOperands(); ++i)
    if (wanted[i] && !getScore().empty() &&
        !getScore().front().getArgument(i).use_empty())
      return emitError("a value that attention's score reads has no gradient "
                       "yet; stop_gradient(..) says that none should flow");
  if (!dResults[0] || !(wanted[0] || wanted[1] || wanted[2]))
    return grads;
  auto grad = AttentionGradOp::create(
      b, getLoc(),
      TypeRange{getQuery().getType(), getKey().getType(), getValue().getType()},
      getQuery(), getKey(), getValue(), getOutput(), getLse(), dResults[0],
      getExtras(), getScaleAttr(), getExtraMaps());
  IRMapping keepMapping, scoreMapping;
  getKeep().cloneInto(&grad.getKeep(), keepMapping);
  getScore().cloneInto(&grad.getScore(), scoreMapping);
  for (unsigned i = 0; i < 3; ++i)
    if (wanted[i])
      grads[i] = grad.getResult(i);
  return grads;
}

FailureOr<SmallVector<Value>>
AttentionGradOp::gradient(OpBuilder &, ArrayRef<Value>, ArrayRef<bool>) {
  return emitError("the gradient of attention's gradient is not known");
}
