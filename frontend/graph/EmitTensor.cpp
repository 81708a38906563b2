// SPDX-License-Identifier: Apache-2.0
// The ops that are not elementwise.
#include "frontend/graph/Emit.h"
#include "frontend/graph/Lexer.h"

using namespace mlir;

namespace ltc::graph {

static Dims without(const Dims &dims, const Dims &removed) {
  Dims rest;
  for (Dim *dim : dims)
    if (!contains(removed, dim))
      rest.push_back(dim);
  return rest;
}

NodePtr Emit::reduce(ReduceKind kind, NodePtr node, const Dims &over,
                     Place place) {
  // Reduced dimensions go last, a row reduction for every target, unless they
  // lead in what is read: then nothing is permuted.
  Dims rest = without(node->dims, over), order = rest;
  order.insert(order.end(), over.begin(), over.end());
  std::vector<NodePtr> leaves;
  collectLeaves(node, leaves);
  bool leading =
      Dims(node->dims.begin(), node->dims.begin() + over.size()) == over &&
      llvm::any_of(leaves, [&](const NodePtr &leaf) {
        return leaf->dims == node->dims;
      });
  NodePtr x = materialise(node, leading ? Dims() : order);
  SmallVector<int64_t> dims;
  for (auto [n, dim] : llvm::enumerate(x->dims))
    if (contains(over, dim))
      dims.push_back(n);
  auto op = ReduceOp::create(builder, at(place), tensor(x->type, rest),
                             x->value, kind, dims);
  return leaf(op.getOutput(), rest, x->type, place);
}

/// The factors of a tree of products; numbers and scalars apart.
static void factorsOf(const NodePtr &node, std::vector<NodePtr> &tensors,
                      std::vector<NodePtr> &scalars) {
  if (node->kind == Node::Op && node->op == "*" && node->type == Type::F32) {
    factorsOf(node->inputs[0], tensors, scalars);
    factorsOf(node->inputs[1], tensors, scalars);
    return;
  }
  (node->dims.empty() ? scalars : tensors).push_back(node);
}

NodePtr Emit::sum(NodePtr node, const Dims &over, Place place) {
  std::vector<NodePtr> tensors, scalars;
  factorsOf(node, tensors, scalars);
  bool contraction = tensors.size() == 2 && !over.empty();
  if (contraction) {
    for (Dim *dim : over)
      contraction &= contains(tensors[0]->dims, dim) &&
                     contains(tensors[1]->dims, dim);
    contraction &= !without(tensors[0]->dims, tensors[1]->dims).empty() &&
                   !without(tensors[1]->dims, tensors[0]->dims).empty();
    contraction &= tensors[0]->type == Type::F32 && tensors[1]->type == Type::F32;
  }
  if (!contraction)
    return reduce(ReduceKind::Sum, node, over, place);
  NodePtr result = contract(tensors[0], tensors[1], over, place);
  for (const NodePtr &scalar : scalars)
    result = op("*", {result, scalar}, place);
  return result;
}

NodePtr Emit::contract(NodePtr a, NodePtr b, const Dims &over, Place place) {
  a = materialise(a);
  b = materialise(b);
  if (Dim *rows = raggedIn(a->dims))
    if (contains(b->dims, rows->ragged->owner))
      return groupedContract(a, b, rows, place);
  Dims labels, out;
  auto label = [&](Dim *dim) {
    if (!contains(labels, dim))
      labels.push_back(dim);
    return int64_t(llvm::find(labels, dim) - labels.begin());
  };
  // Shared dimensions first, then each side's own.
  for (Dim *dim : a->dims)
    if (contains(b->dims, dim) && !contains(over, dim))
      out.push_back(dim);
  for (Dim *dim : a->dims)
    if (!contains(b->dims, dim))
      out.push_back(dim);
  for (Dim *dim : b->dims)
    if (!contains(a->dims, dim))
      out.push_back(dim);
  auto numbers = [&](const Dims &dims) {
    SmallVector<int64_t> result;
    for (Dim *dim : dims)
      result.push_back(label(dim));
    return result;
  };
  SmallVector<int64_t> left = numbers(a->dims), right = numbers(b->dims);
  auto op = ContractOp::create(builder, at(place), tensor(Type::F32, out),
                               a->value, b->value, left, right, numbers(out),
                               float32);
  return leaf(op.getOutput(), out, Type::F32, place);
}

NodePtr Emit::gather(NodePtr table, NodePtr ids, Dim *over, Place place) {
  ids = materialise(ids);
  bool aligned = llvm::any_of(
      ids->dims, [&](Dim *dim) { return contains(table->dims, dim); });
  if (aligned) {
    NodePtr hit = op("==", {index(over, place), ids}, place);
    NodePtr picked = op("where", {hit, table, constant(0, place)}, place);
    return reduce(ReduceKind::Sum, picked, {over}, place);
  }
  Dims order = {over}, rest = without(table->dims, {over});
  order.insert(order.end(), rest.begin(), rest.end());
  table = materialise(table, order);
  Dims out = ids->dims;
  out.insert(out.end(), rest.begin(), rest.end());
  auto op = GatherOp::create(builder, at(place), tensor(table->type, out),
                             table->value, ids->value);
  return leaf(op.getOutput(), out, table->type, place);
}

NodePtr Emit::slice(NodePtr node, Dim *along, int64_t offset, Dim *piece,
                    Place place) {
  node = materialise(node);
  Dims out = node->dims;
  int64_t dim = llvm::find(out, along) - out.begin();
  out[dim] = piece;
  auto op = SliceOp::create(builder, at(place), tensor(node->type, out),
                            node->value, dim, offset);
  return leaf(op.getOutput(), out, node->type, place);
}

NodePtr Emit::join(std::vector<NodePtr> nodes, const Dims &pieces, Dim *whole,
                   Place place) {
  Dims out;
  SmallVector<mlir::Value> values;
  int64_t along = 0;
  for (auto [n, node] : llvm::enumerate(nodes)) {
    Dims order = out; // the first part's order
    if (n)
      order[along] = pieces[n];
    node = materialise(node, order);
    if (!n) {
      out = node->dims;
      along = llvm::find(out, pieces[0]) - out.begin();
    }
    values.push_back(node->value);
  }
  out[along] = whole;
  auto op = JoinOp::create(builder, at(place), tensor(nodes[0]->type, out),
                           values, along);
  return leaf(op.getOutput(), out, nodes[0]->type, place);
}

NodePtr Emit::reshape(NodePtr node, Dims dims, Place place) {
  node = materialise(node);
  auto op = ReshapeOp::create(builder, at(place), tensor(node->type, dims),
                              node->value);
  return leaf(op.getOutput(), dims, node->type, place);
}

NodePtr Emit::shift(NodePtr node, NodePtr document, Dim *along, int64_t offset,
                    Place place) {
  node = materialise(node);
  int64_t dim = llvm::find(node->dims, along) - node->dims.begin();
  auto op = ShiftOp::create(builder, at(place), tensor(node->type, node->dims),
                            node->value, document ? document->value : nullptr,
                            dim, offset);
  return leaf(op.getOutput(), node->dims, node->type, place);
}

NodePtr Emit::scan(NodePtr node, NodePtr decay, NodePtr document, Dim *along,
                   Place place) {
  auto value = [](const NodePtr &x) { return x ? x->value : mlir::Value(); };
  int64_t dim = llvm::find(node->dims, along) - node->dims.begin();
  auto op = ScanOp::create(builder, at(place), node->value.getType(),
                           node->value, value(decay), value(document), dim,
                           /*reverse=*/false);
  return leaf(op.getOutput(), node->dims, node->type, place);
}

} // namespace ltc::graph
