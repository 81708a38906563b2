// SPDX-License-Identifier: Apache-2.0
// Values collected over a loop (skips[i] = x), and what a block reads of the
// text around it.
#include "frontend/graph/Tracer.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

/// The number between the brackets of skips[i]; null where they name
/// dimensions. A loop's index alone is no dimension.
const Expr *Tracer::elementOf(const Stmt::Target &target, Scope &scope,
                              Expr &index) {
  if (target.element)
    return target.element.get();
  bool alone = target.dims && target.dims->size() == 1 &&
               target.dims->front().kind == DimSpec::Name;
  if (!alone || !scope.loops.count(target.dims->front().name))
    return nullptr;
  index.kind = Expr::Name;
  index.name = target.dims->front().name;
  index.place = target.dims->front().place;
  return &index;
}

int64_t Tracer::elementNumber(const Expr &expr, Scope &scope) {
  double at = number(expr, scope, "the number of a collected value");
  if (at < 0 || at != std::floor(at) || at > 1e9)
    refuse(expr.place, "the number of a collected value is " +
                           knownText(Value{at}) +
                           "; it must be whole and at least 0");
  return int64_t(at);
}

/// skips[i] = x
void Tracer::collect(const Stmt::Target &target, const Expr &element,
                     Value value, Scope &scope) {
  int64_t at = elementNumber(element, scope);
  if (value.node()) {
    NodePtr node = std::get<NodePtr>(value.is);
    settle(node, false);
    value = Value{node};
  }
  auto found = scope.names.find(target.name);
  if (found != scope.names.end() && !found->second.collected())
    refuse(target.place, "'" + target.name + "' is a value already; collect "
                             "under a name of its own");
  Value &items = scope.names[target.name];
  if (!items.collected())
    items.is = std::make_shared<Collected>();
  (*items.collected())[at] = std::move(value);
}

/// skips[layers - 1 - i]
Value Tracer::collectedValue(const Expr &expr, const Collected &items,
                             Scope &scope) {
  const std::string &name = expr.args[0]->name;
  bool single = expr.brackets.size() == 1 &&
                expr.brackets[0].kind == BracketItem::Value;
  if (!single)
    refuse(expr.place, "one of the values collected as '" + name +
                           "' is read by its number: " + name + "[i]");
  int64_t at = elementNumber(*expr.brackets[0].value, scope);
  auto found = items.find(at);
  if (found == items.end()) {
    std::string there;
    for (auto &[known, value] : items)
      there += (there.empty() ? "" : ", ") + std::to_string(known);
    refuse(expr.place, name + "[" + std::to_string(at) +
                           "] is read before it is collected; so far there "
                           "are: " +
                           there);
  }
  const Value &value = found->second;
  if (value.node() && isForeign(std::get<NodePtr>(value.is)))
    refuse(expr.place, "a block does not see what is collected around it: "
                       "pass " +
                           name + "[..] as an argument");
  return value;
}

std::string knownText(const Value &value) {
  if (value.number()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", std::get<double>(value.is));
    return text;
  }
  if (value.truth())
    return std::get<bool>(value.is) ? "true" : "false";
  if (value.node())
    return "a tensor";
  return value.text() ? std::get<std::string>(value.is) : "none";
}

/// A block reads a number or a word of the text around it: compiled in.
void Tracer::noteKnown(const std::string &name, const Value &value,
                       const Scope *owner) {
  if (!tracing || value.node())
    return;
  for (const Scope *s = aroundBlock; s; s = s->parent)
    if (s == owner)
      tracing->known.emplace(name, knownText(value));
}

/// What a block's function has compiled in must be so in its other calls too.
void Tracer::checkKnown(const BlockTrace &trace, const std::string &block,
                        Scope &scope, const Place &place) {
  for (auto &[name, text] : trace.known) {
    Value *value = lookup(name, scope);
    std::string now = value ? knownText(*value) : "no longer there";
    if (now != text)
      refuse(place, "the block '" + block + "' reads '" + name +
                        "', which was " + text +
                        " in an earlier call and is " + now +
                        " here; pass it as an argument");
  }
  for (auto &[name, dims] : trace.captures) {
    Value *value = lookup(name, scope);
    if (!value || !value->node() ||
        std::get<NodePtr>(value->is)->dims != dims)
      refuse(place, "the block '" + block + "' reads '" + name +
                        "', which had other dimensions in an earlier call; "
                        "pass it as an argument");
  }
}

} // namespace ltc::graph
