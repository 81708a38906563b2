// SPDX-License-Identifier: Apache-2.0
// Ragged dimensions: top_k, dispatch, combine and products by owner.
#include "frontend/graph/Emit.h"

using namespace mlir;

namespace ltc::graph {

Dim *raggedIn(const Dims &dims) {
  auto found = llvm::find_if(dims, [](Dim *dim) { return bool(dim->ragged); });
  return found == dims.end() ? nullptr : *found;
}

std::pair<NodePtr, NodePtr> Emit::topK(NodePtr node, Dim *along, Dim *top,
                                       Place place) {
  Dims order;
  for (Dim *dim : node->dims)
    if (dim != along)
      order.push_back(dim);
  Dims out = order;
  order.push_back(along);
  out.push_back(top);
  node = materialise(node, order);
  auto op = TopKOp::create(builder, at(place), tensor(node->type, out),
                           tensor(Type::I32, out), node->value);
  return {leaf(op.getValues(), out, node->type, place),
          leaf(op.getChoice(), out, Type::I32, place)};
}

std::shared_ptr<Ragged> Emit::route(NodePtr choice, Dim *owner, Place place) {
  choice = materialise(choice);
  auto shape = tensor(Type::I32, choice->dims);
  auto flat = [&](int64_t size) {
    return RankedTensorType::get({size}, builder.getI32Type());
  };
  auto rows = flat(shape.getNumElements());
  auto op = RouteOp::create(builder, at(place), rows, shape, rows,
                            flat(owner->size + 1), choice->value);
  return std::make_shared<Ragged>(Ragged{owner, choice->dims, op.getSlot(),
                                         op.getPlace(), op.getGroup(),
                                         op.getOffsets()});
}

NodePtr Emit::dispatch(NodePtr node, Dim *rows, int64_t each, Place place) {
  const Ragged &ragged = *rows->ragged;
  Dims order(ragged.slots.begin(), ragged.slots.end() - (each != 1));
  Dims out = {rows};
  if (each == 1 && !contains(node->dims, ragged.slots.back()))
    order.pop_back(); // one slot a token
  for (Dim *dim : node->dims)
    if (!contains(order, dim)) {
      order.push_back(dim);
      out.push_back(dim);
    }
  node = materialise(node, order);
  mlir::Value input = node->value;
  // One slot a token, which the value does not name: the same elements.
  if (each == 1 && !contains(order, ragged.slots.back())) {
    Dims with = order;
    with.insert(with.begin() + int64_t(ragged.slots.size()) - 1,
                ragged.slots.back());
    input = reshape(node, with, place)->value;
  }
  auto op = DispatchOp::create(builder, at(place), tensor(node->type, out),
                               input, ragged.slot, ragged.place, each);
  return leaf(op.getOutput(), out, node->type, place);
}

/// Adds what a token's slots hold.
NodePtr Emit::combine(NodePtr node, Dim *rows, Place place) {
  const Ragged &ragged = *rows->ragged;
  Dims order = {rows}, out(ragged.slots.begin(), ragged.slots.end() - 1);
  for (Dim *dim : node->dims)
    if (dim != rows) {
      order.push_back(dim);
      out.push_back(dim);
    }
  node = materialise(node, order);
  int64_t each = ragged.slots.back()->size;
  Dims made = out;
  if (each == 1)
    made.insert(made.begin() + int64_t(ragged.slots.size()) - 1,
                ragged.slots.back());
  auto op = CombineOp::create(builder, at(place), tensor(node->type, made),
                              node->value, ragged.slot, ragged.place, each);
  NodePtr result = leaf(op.getOutput(), made, node->type, place);
  return each == 1 ? reshape(result, out, place) : result;
}

/// Rows of a, each with its owner's part of b, over what else they share.
NodePtr Emit::groupedContract(NodePtr a, NodePtr b, Dim *rows, Place place) {
  Dim *owner = rows->ragged->owner;
  Dims labels, out;
  auto numbers = [&](const Dims &dims) {
    SmallVector<int64_t> result;
    for (Dim *dim : dims) {
      if (!contains(labels, dim))
        labels.push_back(dim);
      result.push_back(llvm::find(labels, dim) - labels.begin());
    }
    return result;
  };
  for (Dim *dim : a->dims)
    if (!contains(b->dims, dim))
      out.push_back(dim);
  for (Dim *dim : b->dims)
    if (!contains(a->dims, dim) && dim != owner)
      out.push_back(dim);
  auto left = numbers(a->dims), right = numbers(b->dims);
  auto op = GroupedContractOp::create(
      builder, at(place), tensor(Type::F32, out), a->value, b->value,
      rows->ragged->offsets, numbers({rows})[0], numbers({owner})[0], left,
      right, numbers(out));
  return leaf(op.getOutput(), out, Type::F32, place);
}

} // namespace ltc::graph
