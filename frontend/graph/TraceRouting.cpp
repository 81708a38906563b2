// SPDX-License-Identifier: Apache-2.0
// Rule 8: ragged dimensions. dispatch sorts tokens by the owner they chose;
// values keep that dimension until combine; it does not leave its block.
#include "frontend/graph/Tracer.h"

using namespace mlir;

namespace ltc::graph {

/// weight, choice = top_k[experts](p, top).
Value Tracer::topK(const Expr &expr, Scope &scope) {
  if (expr.brackets.size() != 1 || !expr.brackets[0].value ||
      expr.arguments.size() != 2)
    refuse(expr.place, "top_k is written weight, choice = top_k[experts](p, "
                       "top): a dimension, a value that has it, and the "
                       "dimension of the results");
  Dim *along = needDim(*expr.brackets[0].value, scope);
  NodePtr x = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  Dim *top = needDim(*expr.arguments[1].value, scope);
  settle(x, false);
  if (!contains(x->dims, along))
    refuse(expr.place, "there is no dimension " + along->name + " in " +
                           show(x));
  if (x->type != Type::F32)
    refuse(expr.place, "top_k takes the largest of float32 values");
  if (contains(x->dims, top))
    refuse(expr.place, "there is a dimension " + top->name + " already in " +
                           show(x));
  if (top->size > along->size)
    refuse(expr.place, "top_k takes " + top->name + " = " +
                           std::to_string(top->size) + " of only " +
                           along->name + " = " + std::to_string(along->size));
  auto [weight, choice] = emit.topK(x, along, top, expr.place);
  return Value{std::vector<Value>{Value{weight}, Value{choice}}};
}

/// dispatch(x[b, t, d], choice[b, t, top] over experts): y[experts: n, d].
Value Tracer::dispatch(const Expr &expr, Scope &scope) {
  if (expr.arguments.size() != 2 || expr.arguments[1].over.empty())
    refuse(expr.place,
           "dispatch is written dispatch(x, choice over experts)");
  NodePtr x = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  NodePtr choice = node(evaluate(*expr.arguments[1].value, scope), expr.place);
  Dim *owner = needDim(expr.arguments[1].over, scope,
                       expr.arguments[1].value->place);
  settle(x, false);
  settle(choice, false);
  if (choice->type != Type::I32 || choice->dims.size() < 2)
    refuse(expr.place, "dispatch is by integers with a last dimension for the "
                       "choices of a token, as top_k makes them, found " +
                           show(choice));
  if (raggedIn(x->dims) || raggedIn(choice->dims))
    refuse(expr.place, "what dispatch takes is ragged already: " + show(x) +
                           ", " + show(choice));
  Dim *slots = choice->dims.back();
  for (Dim *dim : choice->dims)
    if (dim != slots && !contains(x->dims, dim))
      refuse(expr.place, show(x) + " lacks the dimension " + dim->name +
                             " of " + show(choice));
  if (contains(x->dims, owner) || contains(choice->dims, owner))
    refuse(expr.place, "dispatch sorts by " + owner->name +
                           ", which its operands must not have: " + show(x));
  auto &rows = raggedDims[{choice->value.getAsOpaquePointer(), owner}];
  if (!rows) {
    int64_t total = 1;
    for (Dim *dim : choice->dims)
      total *= dim->size;
    rows = std::make_unique<Dim>(Dim{owner->name + ": n", total, {}, {}, {}});
    rows->ragged = emit.route(choice, owner, expr.place);
  }
  bool all = contains(x->dims, slots);
  return Value{
      emit.dispatch(x, rows.get(), all ? 1 : slots->size, expr.place)};
}

/// combine(y[experts: n, d]): x[b, t, d], a token's rows added up.
Value Tracer::combine(const Expr &expr, Scope &scope) {
  if (expr.arguments.size() != 1)
    refuse(expr.place, "combine takes one value, made from what dispatch made");
  NodePtr y = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  settle(y, false);
  Dim *rows = raggedIn(y->dims);
  if (!rows)
    refuse(expr.place, "combine takes a value with a ragged dimension, as "
                       "dispatch makes it, found " +
                           show(y));
  if (y->type != Type::F32)
    refuse(expr.place, "combine adds float32 values");
  return Value{emit.combine(y, rows, expr.place)};
}

/// bias[experts, ffn] beside y[experts: n, ffn]: each row's owner's.
NodePtr Tracer::meetOwner(NodePtr node, const Dims &other) {
  Dim *rows = raggedIn(other);
  if (!rows || !contains(node->dims, rows->ragged->owner) ||
      contains(node->dims, rows))
    return node;
  NodePtr owners = emit.leaf(rows->ragged->group, {rows}, Type::I32,
                             node->place);
  return emit.gather(node, owners, rows->ragged->owner, node->place);
}

/// How a ragged dimension is sorted is known in the block that sorted it.
void Tracer::staysInBlock(const Dims &dims, const Place &place) {
  if (Dim *rows = raggedIn(dims))
    refuse(place, "a value with the ragged dimension " + rows->name +
                      " does not leave its block: combine it there");
}

} // namespace ltc::graph
