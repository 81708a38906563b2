// SPDX-License-Identifier: Apache-2.0
// What looks along a dimension and stops at documents: shift, cumsum, scan.
#include "frontend/graph/Tracer.h"

using namespace mlir;

namespace ltc::graph {

/// The document of each position along `along`, `along` last; null where this
/// text sees none.
NodePtr Tracer::documentAlong(Dim *along, Scope &scope) {
  Value *value = lookup("document", scope);
  if (!value || !value->node())
    return nullptr;
  NodePtr document = import("document", std::get<NodePtr>(value->is));
  if (!contains(document->dims, along))
    return nullptr;
  Dims order;
  for (Dim *dim : document->dims)
    if (dim != along)
      order.push_back(dim);
  order.push_back(along);
  return emit.materialise(document, order);
}

/// `dims` with the document's first.
static Dims documentFirst(const NodePtr &document, const Dims &dims) {
  Dims order = document ? document->dims : Dims();
  for (Dim *dim : dims)
    if (!contains(order, dim))
      order.push_back(dim);
  return order;
}

/// shift[t](x, n): x at t - n.
Value Tracer::shift(const Expr &expr, Scope &scope) {
  if (expr.brackets.size() != 1 || !expr.brackets[0].value ||
      expr.arguments.size() != 2)
    refuse(expr.place, "a shift is written shift[t](x, n): x at t - n");
  Dim *along = needDim(*expr.brackets[0].value, scope);
  NodePtr x = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  double by = number(*expr.arguments[1].value, scope, "a shift's distance");
  settle(x, false);
  if (!contains(x->dims, along))
    refuse(expr.place, "there is no dimension " + along->name + " in " +
                           show(x));
  NodePtr document = documentAlong(along, scope);
  x = emit.materialise(x, documentFirst(document, x->dims));
  return Value{emit.shift(x, document, along, int64_t(by), expr.place)};
}

/// cumsum[t](x); scan[t](a, b): y at t is a * (y at t - 1) + b.
Value Tracer::scan(const Expr &expr, Scope &scope) {
  bool sum = expr.name == "cumsum";
  if (expr.brackets.size() != 1 || !expr.brackets[0].value ||
      expr.arguments.size() != (sum ? 1 : 2))
    refuse(expr.place,
           sum ? "a running sum is written cumsum[t](x)"
               : "a recurrence is written scan[t](a, b): y at t is a * (y at "
                 "t - 1) + b");
  Dim *along = needDim(*expr.brackets[0].value, scope);
  std::vector<NodePtr> inputs;
  for (const Argument &argument : expr.arguments) {
    if (!argument.keyword.empty())
      refuse(expr.place, "'" + expr.name + "' takes no argument named " +
                             argument.keyword);
    NodePtr x = node(evaluate(*argument.value, scope), expr.place);
    inputs.push_back(emit.cast(x, Type::F32, expr.place));
  }
  if (!sum) {
    inputs[0] = openGroups(meetOwner(inputs[0], inputs[1]->dims),
                           inputs[1]->dims);
    inputs[1] = openGroups(meetOwner(inputs[1], inputs[0]->dims),
                           inputs[0]->dims);
  }
  // Operands meet as those of + do: one has all the dimensions.
  NodePtr met = sum ? inputs[0] : emit.op("+", inputs, expr.place);
  refuseOuter(met);
  if (!contains(met->dims, along))
    refuse(expr.place, "there is no dimension " + along->name + " in " +
                           show(met));
  NodePtr document = documentAlong(along, scope);
  Dims order = documentFirst(document, met->dims);
  for (NodePtr &x : inputs)
    x = emit.materialise(x, order);
  return Value{emit.scan(inputs.back(), sum ? nullptr : inputs[0], document,
                         along, expr.place)};
}

} // namespace ltc::graph
