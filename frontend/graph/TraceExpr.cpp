// SPDX-License-Identifier: Apache-2.0
// Expressions: operators, reductions, brackets.
#include "frontend/graph/Tracer.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

double Tracer::number(const Expr &expr, Scope &scope, const std::string &what) {
  Value value = evaluate(expr, scope);
  if (!value.number())
    refuse(expr.place, what + " must be a number known when compiling");
  return std::get<double>(value.is);
}

Value Tracer::evaluate(const Expr &expr, Scope &scope) {
  switch (expr.kind) {
  case Expr::Number:
    return Value{expr.number};
  case Expr::String:
    return Value{expr.name};
  case Expr::List: {
    std::vector<Value> values;
    for (const ExprPtr &arg : expr.args)
      values.push_back(evaluate(*arg, scope));
    return Value{values};
  }
  case Expr::Name:
    return evaluateName(expr, scope);
  case Expr::Unary: {
    Value value = evaluate(*expr.args[0], scope);
    if (value.truth() && expr.name == "not")
      return Value{!std::get<bool>(value.is)};
    if (value.none() && expr.name == "not")
      return Value{true};
    if (value.number() && expr.name == "-")
      return Value{-std::get<double>(value.is)};
    return Value{emit.op(expr.name == "-" ? "neg" : "not",
                         {node(value, expr.place)}, expr.place)};
  }
  case Expr::Binary:
    return evaluateBinary(expr, scope);
  case Expr::Ternary:
    return evaluateTernary(expr, scope);
  case Expr::Reduce:
    return evaluateReduce(expr, scope);
  case Expr::Call:
    return evaluateCall(expr, scope);
  case Expr::Bracket:
    return evaluateBracket(expr, scope);
  }
  llvm_unreachable("covered switch");
}

Value Tracer::evaluateName(const Expr &expr, Scope &scope) {
  Scope *owner = nullptr;
  if (Value *value = lookup(expr.name, scope, &owner)) {
    if (value->collected())
      refuse(expr.place, "'" + expr.name + "' is collected over a loop: read "
                             "one of its values, " +
                             expr.name + "[i]");
    if (!owner && scalars.count(expr.name))
      return Value{hostNumber(scalars.at(expr.name).key)};
    noteKnown(expr.name, *value, owner);
    if (!value->node())
      return *value;
    return Value{import(expr.name, std::get<NodePtr>(value->is))};
  }
  if (expr.name == "true" || expr.name == "false")
    return Value{expr.name == "true"};
  if (expr.name == "none")
    return Value{None{}};
  if (expr.name == "pi")
    return Value{M_PI};
  if (expr.name == "training" && !scope.clause)
    if (std::optional<Value> is = isTraining(expr.place))
      return *is;
  if (expr.name == "half" || expr.name == "interleaved")
    return Value{expr.name};
  if (lookupDim(expr.name, scope))
    refuse(expr.place, "'" + expr.name + "' is a dimension; its size is size[" +
                           expr.name + "], its position index[" + expr.name +
                           "]");
  std::vector<std::string> names;
  for (Scope *s = &scope; s; s = s->parent)
    for (auto &[name, unused] : s->names)
      names.push_back(name);
  for (auto &[name, unused] : settings)
    names.push_back(name);
  std::string near = nearestName(expr.name, names);
  refuse(expr.place,
         "no value or setting is named '" + expr.name + "'" +
             (near.empty() ? "" : "; did you mean '" + near + "'?"));
}

static std::optional<Value> fold(const std::string &op, double a, double b) {
  if (op == "+")
    return Value{a + b};
  if (op == "-")
    return Value{a - b};
  if (op == "*")
    return Value{a * b};
  if (op == "/")
    return Value{a / b};
  if (op == "%")
    return Value{std::fmod(a, b)};
  if (op == "^")
    return Value{std::pow(a, b)};
  if (op == "<")
    return Value{a < b};
  if (op == "<=")
    return Value{a <= b};
  if (op == ">")
    return Value{a > b};
  if (op == ">=")
    return Value{a >= b};
  if (op == "==")
    return Value{a == b};
  if (op == "!=")
    return Value{a != b};
  return std::nullopt;
}

Value Tracer::apply(const std::string &op, const Value &a, const Value &b,
                    const Place &place) {
  if (a.number() && b.number()) {
    double left = std::get<double>(a.is), right = std::get<double>(b.is);
    if ((op == "/" || op == "%") && right == 0)
      refuse(place, "division by zero");
    if (auto folded = fold(op, left, right))
      return *folded;
  }
  auto known = [](const Value &value) {
    return value.truth() || value.none() || value.text();
  };
  if (known(a) && known(b) && (op == "==" || op == "!=")) {
    bool same = a.is.index() == b.is.index();
    if (same && a.truth())
      same = std::get<bool>(a.is) == std::get<bool>(b.is);
    if (same && a.text())
      same = std::get<std::string>(a.is) == std::get<std::string>(b.is);
    return Value{same == (op == "==")};
  }
  if ((a.none() || b.none()) && (op == "==" || op == "!="))
    return Value{(a.none() && b.none()) == (op == "==")};
  if (op == "%")
    refuse(place, "% works on numbers known when compiling");
  return Value{emit.op(op, {node(a, place), node(b, place)}, place)};
}

Value Tracer::evaluateBinary(const Expr &expr, Scope &scope) {
  const std::string &op = expr.name;
  Value a = evaluate(*expr.args[0], scope);
  if (op == "and" || op == "or") {
    // `window and ...`: none is false; the known side decides alone.
    auto truthOf = [&](const Value &value) -> std::optional<bool> {
      if (value.truth())
        return std::get<bool>(value.is);
      if (value.none())
        return false;
      return std::nullopt;
    };
    std::optional<bool> left = truthOf(a);
    if (left && *left == (op == "or"))
      return Value{*left};
    Value b = evaluate(*expr.args[1], scope);
    if (left)
      return b;
    if (std::optional<bool> right = truthOf(b))
      return *right == (op == "or") ? Value{*right} : a;
    return Value{
        emit.op(op, {node(a, expr.place), node(b, expr.place)}, expr.place)};
  }
  Value b = evaluate(*expr.args[1], scope);
  if (op == "@")
    return evaluateMatmul(expr, node(a, expr.place), node(b, expr.place),
                          scope);
  if (a.node() && b.node()) {
    NodePtr left = std::get<NodePtr>(a.is), right = std::get<NodePtr>(b.is);
    left = meetOwner(left, right->dims);
    right = meetOwner(right, left->dims);
    a = Value{openGroups(left, right->dims)};
    b = Value{openGroups(right, std::get<NodePtr>(a.is)->dims)};
  }
  return apply(op, a, b, expr.place);
}

/// heads opens to (kv group) where it meets one of them.
NodePtr Tracer::openGroups(NodePtr node, const Dims &other) {
  Dims opened;
  bool opens = false;
  for (Dim *dim : node->dims) {
    bool meets = false;
    for (Dim *part : dim->group)
      meets |= contains(other, part);
    opens |= meets;
    if (meets)
      opened.insert(opened.end(), dim->group.begin(), dim->group.end());
    else
      opened.push_back(dim);
  }
  if (!opens)
    return node;
  if (!emit.pairwise(node))
    return emit.reshape(node, opened, node->place);
  // Inside an attention: where the values are read.
  std::vector<NodePtr> inputs;
  for (const NodePtr &input : node->inputs)
    inputs.push_back(openGroups(input, other));
  NodePtr result = emit.op(node->op, inputs, node->place);
  result->type = node->type;
  return result;
}

/// The first operand of where: a comparison, not a number.
NodePtr Tracer::choice(const Value &value, const Place &place) {
  NodePtr condition = node(value, place);
  if (condition->type != Type::Bool)
    refuse(place, "a choice needs a condition, such as x > 0, found " +
                      show(condition));
  return condition;
}

Value Tracer::evaluateTernary(const Expr &expr, Scope &scope) {
  Value condition = evaluate(*expr.args[0], scope);
  if (!condition.node()) {
    bool yes = condition.truth() ? std::get<bool>(condition.is)
                                 : !condition.none();
    return evaluate(*expr.args[yes ? 1 : 2], scope);
  }
  return Value{emit.op("where",
                       {choice(condition, expr.place),
                        node(evaluate(*expr.args[1], scope), expr.place),
                        node(evaluate(*expr.args[2], scope), expr.place)},
                       expr.place)};
}

/// h @ w: the sum over the one declared dimension of w that h has.
Value Tracer::evaluateMatmul(const Expr &expr, NodePtr h, NodePtr w,
                             Scope &scope) {
  settle(h, false);
  if (!w->parameter)
    refuse(expr.place, "the right side of @ must be made of parameters and "
                       "settings; between values write sum[d] a * b");
  std::vector<Dims> entries = w->entries;
  settle(w, false);
  if (entries.empty())
    for (Dim *dim : w->dims)
      entries.push_back({dim});
  std::string both = show(h->name.empty() ? "left" : h->name, h->dims) +
                     " @ " + show(w->name.empty() ? "right" : w->name, w->dims);
  std::vector<Dims> common;
  for (const Dims &entry : entries) {
    bool all = true, any = false;
    for (Dim *dim : entry) {
      all &= contains(h->dims, dim);
      any |= contains(h->dims, dim);
    }
    if (any && !all)
      refuse(expr.place, both + ": only a part of a group of the right side "
                                "is on the left");
    if (all)
      common.push_back(entry);
  }
  if (expr.hasBrackets) {
    common.clear();
    Dims named;
    for (const BracketItem &item : expr.brackets)
      if (item.value)
        named.push_back(needDim(*item.value, scope));
    for (Dim *dim : named)
      if (!contains(h->dims, dim) || !contains(w->dims, dim))
        refuse(expr.place, both + ": " + dim->name + " is not on both sides");
    common.push_back(named);
  }
  if (common.size() > 1) {
    std::string readings;
    for (const Dims &entry : common)
      readings += (readings.empty() ? "@[" : ", @[") + entry[0]->name + "]";
    refuse(expr.place, both + ": several dimensions in common; say which: " +
                           readings);
  }
  if (common.empty()) {
    std::string why = ": no dimension in common";
    for (Dim *left : h->dims)
      for (Dim *right : w->dims)
        if (left->name == right->name && left->size != right->size)
          why = ": " + left->name + " is " + std::to_string(left->size) +
                " on the left and " + std::to_string(right->size) +
                " on the right";
    refuse(expr.place, both + why);
  }
  size_t owners = 0; // a row meets its owner's part: that is no sum
  if (Dim *rows = raggedIn(h->dims))
    owners = contains(w->dims, rows->ragged->owner);
  if (w->dims.size() == common[0].size() + owners)
    refuse(expr.place, both + ": no dimension of the right side remains; write "
                              "sum[...] left * right");
  return Value{emit.contract(h, w, common[0], expr.place)};
}

Value Tracer::evaluateReduce(const Expr &expr, Scope &scope) {
  if (expr.name == "count")
    refuse(expr.place, "count[..] stands in a term: sum[..] x / count[..] mask");
  if (expr.args.empty())
    refuse(expr.place, expr.name + "[..] needs something to reduce");
  NodePtr operand = node(evaluate(*expr.args[0], scope), expr.place);
  if (emit.pairwise(operand))
    refuse(expr.place, "cannot reduce inside attention's score and keep: they "
                       "are pointwise");
  Dims over;
  for (const BracketItem &item : expr.brackets) {
    if (item.kind == BracketItem::Rest && item.from.empty()) {
      over = operand->dims;
      break;
    }
    if (item.kind == BracketItem::Rest) {
      for (Dim *dim : needRest(item.from, scope, item.place))
        if (contains(operand->dims, dim))
          over.push_back(dim);
      continue;
    }
    if (!item.value)
      refuse(item.place, "expected the name of a dimension");
    Dim *dim = needDim(*item.value, scope);
    if (!contains(operand->dims, dim))
      refuse(item.place, "cannot reduce over " + dim->name + ": the operand is " +
                             show(operand));
    over.push_back(dim);
  }
  if (over.empty())
    return Value{operand};
  operand->outer.reset(); // wanted: directly under a reduction
  if (operand->type == Type::Bool)
    operand = emit.cast(operand, Type::F32, expr.place);
  if (expr.name == "max" || expr.name == "min")
    return Value{emit.reduce(expr.name == "max" ? ReduceKind::Max
                                                : ReduceKind::Min,
                             operand, over, expr.place)};
  NodePtr sum = emit.sum(operand, over, expr.place);
  if (expr.name == "sum")
    return Value{sum};
  double count = 1;
  for (Dim *dim : over)
    count *= double(dim->size);
  return Value{emit.op("*", {sum, emit.constant(1 / count, expr.place)},
                       expr.place)};
}

NodePtr Tracer::rename(NodePtr value, const BracketItem &item, Scope &scope) {
  Dim *from = needDim(item.from, scope, item.place);
  if (!contains(value->dims, from))
    refuse(item.place, "there is no dimension " + item.from + " in " +
                           show(value));
  // A new name in a function or clause is its own, whatever the model's are.
  bool local = scope.clause || (scope.function &&
                                scope.function->kind == Function::Plain);
  Dim *to = local ? ownDim(item.to, scope) : lookupDim(item.to, scope);
  if (to && contains(value->dims, to))
    refuse(item.place, "there is a dimension " + item.to + " already in " +
                           show(value));
  if (to && to->size != from->size)
    refuse(item.place, "dimension " + item.to + " has size " +
                           std::to_string(to->size) + ", " + item.from +
                           " has " + std::to_string(from->size));
  if (!to) {
    to = dimNamed(item.to, from->size);
    if (local)
      scope.dims[item.to] = to;
  }
  NodePtr tensor = std::make_shared<Node>(*emit.materialise(value));
  std::replace(tensor->dims.begin(), tensor->dims.end(), from, to);
  for (Dims &entry : tensor->entries)
    std::replace(entry.begin(), entry.end(), from, to);
  return tensor;
}

/// Behind brackets: a renaming, a gather, or dimensions as a check.
Value Tracer::evaluateBracket(const Expr &expr, Scope &scope) {
  const Expr &base = *expr.args[0];
  if (base.kind == Expr::Name &&
      (base.name == "index" || base.name == "size") &&
      expr.brackets.size() == 1 && expr.brackets[0].value) {
    Dim *dim = needDim(*expr.brackets[0].value, scope);
    if (base.name == "size")
      return Value{double(dim->size)};
    return Value{emit.index(dim, expr.place)};
  }
  Value *named = base.kind == Expr::Name ? lookup(base.name, scope) : nullptr;
  if (named && named->collected())
    return collectedValue(expr, *named->collected(), scope);
  if (base.kind == Expr::Name && base.name == "uniform" && !named)
    return uniform(expr, scope);
  NodePtr value = node(evaluate(base, scope), expr.place);
  for (const BracketItem &item : expr.brackets) {
    if (item.kind == BracketItem::Rest)
      continue;
    if (item.kind == BracketItem::Rename) {
      value = rename(value, item, scope);
      continue;
    }
    if (item.kind == BracketItem::Gather) {
      Dim *over = needDim(item.from, scope, item.place);
      if (!contains(value->dims, over))
        refuse(item.place, "there is no dimension " + item.from + " in " +
                               show(value));
      NodePtr ids = node(evaluate(*item.value, scope), item.place);
      if (ids->type != Type::I32)
        refuse(item.place, "a gather is by integers, such as tokens");
      if (emit.pairwise(ids)) {
        value = readByDistance(value, ids, over, item.place);
        continue;
      }
      value = emit.gather(value, ids, over, item.place);
      continue;
    }
    bool dimension = item.value->kind == Expr::Name &&
                     lookupDim(item.value->name, scope) &&
                     contains(value->dims, lookupDim(item.value->name, scope));
    if (!dimension)
      refuse(item.place, "no dimension of " + show(value) +
                             " is meant, and '" + base.name +
                             "' is not collected over a loop");
  }
  return Value{value};
}

} // namespace ltc::graph
