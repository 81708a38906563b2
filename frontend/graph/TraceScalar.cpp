// SPDX-License-Identifier: Apache-2.0
// Assertions, and the bounds that they give to settings which the program
// reads: `assert dropout < 1`, checked now and whenever the number is set.
#include "frontend/graph/Tracer.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SaveAndRestore.h"
#include <cstdio>

using namespace mlir;

namespace ltc::graph {

/// Where `expr` reads a setting of the program's, or null.
const Expr *Tracer::scalarIn(const Expr &expr) const {
  if (expr.kind == Expr::Name && scalars.count(expr.name))
    return &expr;
  for (const ExprPtr &part : expr.args)
    if (const Expr *found = scalarIn(*part))
      return found;
  for (const Argument &argument : expr.arguments)
    if (const Expr *found = scalarIn(*argument.value))
      return found;
  return nullptr;
}

void Tracer::checkAssertion(const Stmt &stmt, Scope &scope) {
  {
    // Of settings that may change, the number they have now.
    llvm::SaveAndRestore now(scalars, {});
    Value condition = evaluate(*stmt.value, scope);
    if (!condition.truth())
      refuse(stmt.place, "'assert' needs a condition on settings and sizes");
    if (!std::get<bool>(condition.is))
      refuse(stmt.place,
             (stmt.text.empty() ? "this assertion does not hold" : stmt.text) +
                 valuesIn(*stmt.value, scope));
  }
  boundScalars(*stmt.value, scope);
}

static std::string mirrored(const std::string &relation) {
  std::string other = relation;
  other[0] = relation[0] == '<' ? '>' : '<';
  return other;
}

void Tracer::boundScalars(const Expr &condition, Scope &scope) {
  if (!scalarIn(condition))
    return;
  auto of = [&](size_t i) -> const Expr & { return *condition.args[i]; };
  auto isScalar = [&](const Expr &expr) {
    return expr.kind == Expr::Name && scalars.count(expr.name);
  };
  auto saysNone = [&](const Expr &expr) {
    return expr.kind == Expr::Binary && expr.name == "==" &&
           isScalar(*expr.args[0]) && expr.args[1]->kind == Expr::Name &&
           expr.args[1]->name == "none";
  };
  bool binary = condition.kind == Expr::Binary;
  if (binary && condition.name == "and") {
    boundScalars(of(0), scope);
    return boundScalars(of(1), scope);
  }
  if (binary && condition.name == "or" && saysNone(of(0)))
    return boundScalars(of(1), scope);
  bool compares = binary && llvm::is_contained({"<", "<=", ">", ">="},
                                               condition.name);
  bool first = compares && isScalar(of(0));
  if (!compares || scalarIn(of(first ? 1 : 0)) || !isScalar(of(first ? 0 : 1)))
    refuse(condition.place,
           "'" + scalarIn(condition)->name + "' is a scalar: an assertion "
               "bounds it by a number, as in " +
               scalarIn(condition)->name + " < 1, joined by 'and'");
  char limit[32];
  std::snprintf(limit, sizeof limit, "%.17g",
                number(of(first ? 1 : 0), scope, "the bound"));
  std::string bound =
      (first ? condition.name : mirrored(condition.name)) + " " + limit;
  std::string &bounds = scalars.at(of(first ? 0 : 1).name).check;
  if (!StringRef(bounds).contains(bound))
    bounds += (bounds.empty() ? "" : ", ") + bound;
}

} // namespace ltc::graph
