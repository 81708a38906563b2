// SPDX-License-Identifier: Apache-2.0
// attention(q, key, v, keep(t, u) = ..., score(s, t, u) = ..., sink = ...,
// scale = ...): one op whose regions are the texts of keep and score.
#include "frontend/graph/Tracer.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

/// The call's arguments and dimensions. q is (b,t,g,r,k); r is null where q
/// has as many heads as key.
struct AttentionUse {
  Place place;
  NodePtr q, key, v;
  const Argument *keep = nullptr, *score = nullptr, *sink = nullptr;
  double scale = 0;
  NodePtr raw; ///< the score before its text; null without one
  Dim *b = nullptr, *t = nullptr, *u = nullptr, *g = nullptr, *r = nullptr,
      *k = nullptr, *c = nullptr, *one = nullptr;

  Dim *repeats() const { return r ? r : one; }
  /// The index space of extras: b, g, r, t, u.
  Dims letters() const { return {b, g, repeats(), t, u}; }
};

/// q, key and v in the op's order of dimensions.
static void arrange(AttentionUse &use, Emit &emit) {
  auto need = [&](bool holds) {
    if (!holds)
      refuse(use.place, "attention needs q[b, t, heads, k], key[b, t, heads, "
                        "k], v[b, t, heads, c] (heads of q may be a group of "
                        "key's), found " +
                            show("q", use.q->dims) + ", " +
                            show("key", use.key->dims) + ", " +
                            show("v", use.v->dims));
  };
  const Dims &q = use.q->dims, &key = use.key->dims, &v = use.v->dims;
  need(key.size() == 4 && v.size() == 4 && q.size() >= 4);
  need(contains(key, use.b) && contains(key, use.t) && contains(v, use.b) &&
       contains(v, use.t));
  use.k = key[3], use.g = key[2], use.c = v[3];
  need(contains(q, use.k) && contains(q, use.g) && contains(v, use.g));
  for (Dim *dim : q)
    if (dim != use.b && dim != use.t && dim != use.k && dim != use.g)
      use.r = dim;
  need(q.size() == (use.r ? 5u : 4u));
  Dims inner = {use.b, use.t, use.g, use.repeats(), use.k};
  if (!use.r) {
    use.q = emit.materialise(use.q, {use.b, use.t, use.g, use.k});
    use.q = emit.reshape(use.q, inner, use.place);
  }
  use.q = emit.materialise(use.q, inner);
  use.key = emit.materialise(use.key, {use.b, use.t, use.g, use.k});
  use.v = emit.materialise(use.v, {use.b, use.t, use.g, use.c});
}

/// The names by which a text calls its positions.
static void checkBinders(const Argument &argument, size_t count,
                         const std::string &form) {
  if (argument.binders.size() != count)
    refuse(argument.value->place,
           "attention's " + argument.keyword + " is written " + form);
}

NodePtr Tracer::attentionKeep(const Argument &keep, AttentionUse &use,
                              Scope &scope) {
  if (keep.bound)
    checkBinders(keep, 2, "keep(t, u) = ...");
  Scope inside;
  inside.parent = &scope;
  inside.function = scope.function;
  inside.dims[keep.bound ? keep.binders[0] : "t"] = use.t;
  inside.dims[keep.bound ? keep.binders[1] : "u"] = use.u;
  emit.pair = Emit::Pair{use.t, use.u, nullptr};
  Value value = evaluate(*keep.value, inside);
  emit.pair.reset();
  if (value.truth() && std::get<bool>(value.is))
    return nullptr;
  if (!value.node() || std::get<NodePtr>(value.is)->type != Type::Bool)
    refuse(use.place, "keep is a condition on indices and documents");
  return std::get<NodePtr>(value.is);
}

NodePtr Tracer::attentionScore(const Argument &score, AttentionUse &use,
                               Scope &scope) {
  checkBinders(score, 3, "score(s, t, u) = ..., with names of its own for the "
                         "score and the two positions");
  Scope inside;
  inside.parent = &scope;
  inside.function = scope.function;
  inside.dims[score.binders[1]] = use.t;
  inside.dims[score.binders[2]] = use.u;
  auto raw = use.raw = std::make_shared<Node>();
  raw->kind = Node::Bound;
  raw->dims = {use.b, use.t, use.g};
  if (use.r)
    raw->dims.push_back(use.r);
  raw->dims.push_back(use.u);
  raw->place = score.value->place;
  raw->name = score.binders[0];
  inside.names[score.binders[0]] = Value{raw};
  emit.pair = Emit::Pair{use.t, use.u, raw};
  NodePtr text = node(evaluate(*score.value, inside), score.value->place);
  if (text->type == Type::Bool)
    refuse(score.value->place, "a score is a number, not a condition");
  if (emit.pairwise(text))
    text = openGroups(text, raw->dims);
  text = emit.cast(text, Type::F32, score.value->place);
  emit.pair.reset();
  return text;
}

NodePtr Tracer::attentionSink(const Argument &sink, AttentionUse &use,
                              Scope &scope) {
  NodePtr x = node(evaluate(*sink.value, scope), sink.value->place);
  x = openGroups(emit.cast(x, Type::F32, sink.value->place), use.q->dims);
  Dims heads = use.r ? Dims{use.g, use.r} : Dims{use.g};
  for (Dim *dim : x->dims)
    if (!contains(heads, dim))
      refuse(sink.value->place, "attention's sink is one score per head, found " +
                                    show(x));
  x = emit.materialise(x, heads);
  return use.r ? x : emit.reshape(x, {use.g, use.one}, use.place);
}

/// c of an index t - u + c.
static std::optional<int64_t> distance(const NodePtr &node,
                                       const Emit::Pair &pair) {
  struct Linear {
    double t = 0, u = 0, constant = 0;
  };
  std::function<std::optional<Linear>(const NodePtr &)> read =
      [&](const NodePtr &n) -> std::optional<Linear> {
    if (n->kind == Node::Constant)
      return Linear{0, 0, n->number};
    if (n->kind == Node::Index && n->dims[0] == pair.t)
      return Linear{1, 0, 0};
    if (n->kind == Node::Index && n->dims[0] == pair.u)
      return Linear{0, 1, 0};
    if (n->kind != Node::Op || (n->op != "+" && n->op != "-"))
      return std::nullopt;
    auto a = read(n->inputs[0]), b = read(n->inputs[1]);
    if (!a || !b)
      return std::nullopt;
    double sign = n->op == "+" ? 1 : -1;
    return Linear{a->t + sign * b->t, a->u + sign * b->u,
                  a->constant + sign * b->constant};
  };
  std::optional<Linear> sum = read(node);
  if (!sum || sum->t != 1 || sum->u != -1)
    return std::nullopt;
  return int64_t(sum->constant);
}

/// table[index[t] - index[u] + n over distance] inside a score: read in the
/// tile, clamped to the table.
NodePtr Tracer::readByDistance(NodePtr table, const NodePtr &ids, Dim *over,
                               const Place &place) {
  std::optional<int64_t> offset = distance(ids, *emit.pair);
  if (!offset)
    refuse(place, "a score reads a table by a distance only, written "
                  "index[t] - index[u] + n; a bias by some function of the "
                  "distance is a table by distance, made before");
  if (emit.pairwise(table))
    refuse(place, "the table of a score cannot depend on the pair itself");
  if (emit.pair->score)
    table = openGroups(table, emit.pair->score->dims);
  table = std::make_shared<Node>(*emit.materialise(table));
  table->byDistance = Node::ByDistance{table->dims, over, *offset};
  Dims dims;
  for (Dim *dim : table->dims)
    if (dim != over)
      dims.push_back(dim);
  dims.push_back(emit.pair->t);
  dims.push_back(emit.pair->u);
  table->dims = dims;
  return table;
}

namespace {
/// What the regions read: one operand and map per leaf.
struct Extras {
  std::vector<NodePtr> leaves;
  SmallVector<mlir::Value> values;
  SmallVector<AffineMap> maps;

  void add(const NodePtr &leaf, const AttentionUse &use, MLIRContext *context) {
    Dims letters = use.letters();
    auto refuseLeaf = [&](const std::string &why) {
      refuse(leaf->place, "attention's texts may read values by b, heads, t or "
                          "u, but " +
                              show(leaf) + why);
    };
    if (leaf->type == Type::F64 || leaf->type == Type::I64)
      refuseLeaf(" is of 64 bits");
    if (!leaf->byDistance && contains(leaf->dims, use.t) &&
        contains(leaf->dims, use.u))
      refuseLeaf(" is stored for every pair of positions; write it in the "
                 "score, or as a table by distance");
    SmallVector<AffineExpr> picks;
    for (Dim *dim : leaf->byDistance ? leaf->byDistance->stored : leaf->dims) {
      if (leaf->byDistance && dim == leaf->byDistance->over) {
        picks.push_back(getAffineDimExpr(3, context) -
                        getAffineDimExpr(4, context) +
                        leaf->byDistance->offset);
        continue;
      }
      if (!contains(letters, dim))
        refuseLeaf(" has dimension " + dim->name);
      picks.push_back(getAffineDimExpr(
          unsigned(llvm::find(letters, dim) - letters.begin()), context));
    }
    leaves.push_back(leaf);
    values.push_back(leaf->value);
    maps.push_back(AffineMap::get(5, 0, picks, context));
  }
};
} // namespace

/// Fills one region: its own scalars, then one per extra.
static void fillRegion(Emit &emit, Region &region, const AttentionUse &use,
                       const Extras &extras, const NodePtr &text,
                       const NodePtr &raw, Location loc) {
  OpBuilder::InsertionGuard guard(emit.builder);
  Block *body = emit.builder.createBlock(&region);
  Emit::Scope scope;
  if (raw)
    scope.leaves[raw.get()] = body->addArgument(emit.builder.getF32Type(), loc);
  mlir::Type i32 = emit.builder.getI32Type();
  mlir::Value t = body->addArgument(i32, loc), u = body->addArgument(i32, loc);
  for (const NodePtr &leaf : extras.leaves)
    scope.leaves[leaf.get()] =
        body->addArgument(emit.element(leaf->type), loc);
  scope.index = [&](Location where, Dim *dim) -> mlir::Value {
    if (dim == use.t || dim == use.u)
      return dim == use.u ? u : t;
    Dims letters = use.letters();
    if (!contains(letters, dim))
      refuse(text->place, "attention's texts know index[t], index[u] and the "
                          "indices of b and heads, not index[" +
                              dim->name + "]");
    return IndexOp::create(emit.builder, where, i32,
                           llvm::find(letters, dim) - letters.begin());
  };
  YieldOp::create(emit.builder, loc, ValueRange{emit.emitScalar(text, scope)});
}

/// The head dimensions follow from q's and key's names.
Value Tracer::attention(const Expr &expr, Scope &scope) {
  AttentionUse use;
  use.place = expr.place;
  std::vector<NodePtr> operands;
  for (const Argument &argument : expr.arguments) {
    if (argument.keyword.empty()) {
      operands.push_back(node(evaluate(*argument.value, scope), expr.place));
      settle(operands.back(), false);
    } else if (argument.keyword == "keep") {
      use.keep = &argument;
    } else if (argument.keyword == "score") {
      use.score = &argument;
    } else if (argument.keyword == "sink") {
      use.sink = &argument;
    } else if (argument.keyword == "scale") {
      use.scale = number(*argument.value, scope, "attention's scale");
    } else {
      refuse(argument.value->place,
             "attention takes keep, score, sink and scale, not '" +
                 argument.keyword + "'");
    }
  }
  if (operands.size() != 3)
    refuse(expr.place, "attention takes q, key and v, then keep = ...");
  use.q = openGroups(operands[0], operands[1]->dims);
  use.key = operands[1], use.v = operands[2];
  use.b = lookupDim("b", scope), use.t = lookupDim("t", scope);
  use.one = dimNamed("(one)", 1);
  arrange(use, emit);
  use.u = dimNamed("u", use.t->size);
  if (use.scale == 0)
    use.scale = 1 / std::sqrt(double(use.k->size));
  NodePtr keep = use.keep ? attentionKeep(*use.keep, use, scope) : nullptr;
  NodePtr score = use.score ? attentionScore(*use.score, use, scope) : nullptr;
  NodePtr sink = use.sink ? attentionSink(*use.sink, use, scope) : nullptr;

  std::vector<NodePtr> leaves;
  if (keep)
    Emit::collectLeaves(keep, leaves);
  if (score)
    Emit::collectLeaves(score, leaves);
  OpBuilder &builder = emit.builder;
  Extras extras;
  for (const NodePtr &leaf : leaves)
    extras.add(leaf, use, builder.getContext());
  Location loc = emit.at(expr.place);
  Dims rows = {use.b, use.t, use.g, use.repeats()}, outDims = rows;
  outDims.push_back(use.c);
  auto op = AttentionOp::create(
      builder, loc, emit.tensor(Type::F32, outDims),
      emit.tensor(Type::F32, rows), use.q->value, use.key->value, use.v->value,
      sink ? sink->value : mlir::Value(), /*offset=*/mlir::Value(),
      extras.values,
      builder.getF64FloatAttr(use.scale),
      builder.getAffineMapArrayAttr(extras.maps));
  if (keep)
    fillRegion(emit, op.getKeep(), use, extras, keep, nullptr, loc);
  if (score)
    fillRegion(emit, op.getScore(), use, extras, score, use.raw, loc);
  // Close the group again: b, t, heads, c.
  Dims closed = {use.b, use.t};
  Dim *heads = nullptr;
  for (auto &[name, dim] : dimTable)
    if (use.r && dim->group == std::vector<Dim *>{use.g, use.r})
      heads = dim.get();
  if (heads)
    closed.push_back(heads);
  else
    for (Dim *dim : use.r ? Dims{use.g, use.r} : Dims{use.g})
      closed.push_back(dim);
  closed.push_back(use.c);
  NodePtr out = emit.leaf(op.getOutput(), outDims, Type::F32, expr.place);
  return Value{emit.reshape(out, closed, expr.place)};
}

} // namespace ltc::graph
