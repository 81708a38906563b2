// SPDX-License-Identifier: Apache-2.0
// uniform[..] and training. A number's key: the run's seed, the attempt, the
// call of the block, which of the block's random values it is, and its element:
// the row of the global batch and the position in it.
#include "frontend/graph/Tracer.h"

using namespace mlir;

namespace ltc::graph {

/// A number that the host gives: the seed, the attempt, the first row of the
/// micro batch; or a scalar, by its key, which has a dot.
NodePtr Tracer::hostNumber(const std::string &name) {
  OpBuilder &b = emit.builder;
  bool scalar = name.find('.') != std::string::npos;
  auto entry = [&](const char *key, const std::string &value) {
    return b.getNamedAttr(key, b.getStringAttr(value));
  };
  SmallVector<NamedAttribute> entries = {
      entry("class", scalar ? "scalar" : name)};
  if (scalar)
    entries.push_back(entry("key", name));
  NodePtr outside = outermost->argument(b.getDictionaryAttr(entries),
                                        scalar ? Type::F64 : Type::I64, {},
                                        model->place);
  return tracing ? hidden("host", name, outside) : outside;
}

/// Which call of a block this is, from 1; 0 outside of blocks.
NodePtr Tracer::callNumber() {
  NodePtr none = emit.cast(emit.constant(0, model->place), Type::I32,
                           model->place);
  return tracing ? hidden("call", "", none) : none;
}

/// An argument of the block that its text does not name.
NodePtr Tracer::hidden(const std::string &kind, const std::string &name,
                       const NodePtr &outside) {
  NodePtr &known = imported["(" + kind + " " + name + ")"];
  if (known)
    return known;
  known = current->argument(nullptr, outside->type, {}, outside->place);
  if (kind == "host")
    tracing->hosts.push_back(name);
  tracing->order.push_back(kind);
  return known;
}

/// True while training, false in evaluation and prediction.
std::optional<Value> Tracer::isTraining(const Place &place) {
  if (dropsTerms)
    return Value{false};
  if (!draws)
    return std::nullopt;
  if (emit.pair)
    refuse(place, "training is read outside of attention's score and keep: "
                  "give it a name before, as in on = training ? 1 : 0");
  NodePtr node = emit.op("training", {}, place);
  node->type = Type::Bool;
  return Value{node};
}

/// uniform[b, t, d]: a number in [0, 1) for each element.
Value Tracer::uniform(const Expr &expr, Scope &scope) {
  Dims dims;
  for (const BracketItem &item : expr.brackets) {
    Dims named;
    if (item.kind == BracketItem::Rest && !item.from.empty())
      named = needRest(item.from, scope, item.place);
    else if (item.value)
      named = {needDim(*item.value, scope)};
    else
      refuse(item.place, "uniform names the dimensions that it is to have: "
                         "uniform[b, t, d]");
    for (Dim *dim : named) {
      if (contains(dims, dim))
        refuse(item.place, "uniform has dimension " + dim->name + " twice");
      dims.push_back(dim);
    }
  }
  if (raggedIn(dims))
    refuse(expr.place, "a ragged dimension's rows have no fixed place: draw "
                       "random numbers before dispatch");
  if (dropsTerms) { // a prediction draws nothing: the mean
    NodePtr half = emit.cast(emit.constant(0.5, expr.place), Type::F32,
                             expr.place);
    half->dims = dims;
    return Value{half};
  }
  if (!draws || emit.pair)
    refuse(expr.place, "uniform stands in models, blocks, losses and functions "
                       "that they call, outside of attention's score and keep");
  Dims inRow;
  NodePtr row = emit.constant(0, expr.place);
  for (Dim *dim : dims) {
    if (dim == dimNamed("b", fixedDims.at("b")))
      row = emit.op("+", {emit.index(dim, expr.place), hostNumber("first_row")},
                    expr.place);
    else
      inRow.push_back(dim);
  }
  int64_t elements = 1;
  for (Dim *dim : inRow)
    if (elements *= dim->size; elements > INT32_MAX)
      refuse(expr.place, "uniform" + show("", dims) + " has more than 2^31 "
                         "elements a row");
  NodePtr made = emit.op(
      "uniform",
      {emit.position(inRow, expr.place), row, hostNumber("attempt"),
       callNumber(), hostNumber("seed"), emit.constant(uses++, expr.place)},
      expr.place);
  made->type = Type::F32;
  made->dims = dims;
  made->outer.reset();
  return Value{made};
}

} // namespace ltc::graph
