// SPDX-License-Identifier: Apache-2.0
// Nodes to ltc ops.
#pragma once
#include "frontend/graph/Values.h"
#include "ir/ops/Ops.h"
#include "mlir/IR/Builders.h"
#include <map>

namespace ltc::graph {

class Emit {
public:
  explicit Emit(mlir::OpBuilder &builder) : builder(builder) {}

  mlir::Location at(const Place &place);
  mlir::Type element(Type type);
  mlir::RankedTensorType tensor(Type type, const Dims &dims);

  NodePtr leaf(mlir::Value value, Dims dims, Type type, Place place);
  NodePtr constant(double number, Place place);
  NodePtr index(Dim *dim, Place place);
  /// The element's number in row-major order of `dims`.
  NodePtr position(const Dims &dims, Place place);
  /// An elementwise operation; dimensions are united, types promoted.
  NodePtr op(std::string name, std::vector<NodePtr> inputs, Place place);
  NodePtr cast(NodePtr node, Type type, Place place);

  /// The query's and the key's position while an attention's texts are read.
  /// What has both stays lazy: it is computed inside the tile.
  struct Pair {
    Dim *t = nullptr, *u = nullptr;
    NodePtr score; ///< null inside keep
  };
  std::optional<Pair> pair;
  bool pairwise(const NodePtr &node) const {
    return pair && contains(node->dims, pair->t) &&
           contains(node->dims, pair->u);
  }

  /// The node as a tensor: itself if it is one, else one ltc.map. `order`
  /// gives the dimensions' order; empty: the node's own.
  NodePtr materialise(NodePtr node, Dims order = {});
  NodePtr reduce(ReduceKind kind, NodePtr node, const Dims &over, Place place);
  /// sum[over] of a product, as a contraction if it is one.
  NodePtr sum(NodePtr node, const Dims &over, Place place);
  NodePtr contract(NodePtr a, NodePtr b, const Dims &over, Place place);
  NodePtr gather(NodePtr table, NodePtr ids, Dim *over, Place place);
  NodePtr slice(NodePtr node, Dim *along, int64_t offset, Dim *piece,
                Place place);
  NodePtr join(std::vector<NodePtr> nodes, const Dims &pieces, Dim *whole,
               Place place);
  NodePtr reshape(NodePtr node, Dims dims, Place place);
  NodePtr shift(NodePtr node, NodePtr document, Dim *along, int64_t offset,
                Place place);
  /// y = decay * (y one before) + node; `decay` null: a running sum. Operands
  /// are tensors of the same dimensions, the document's first.
  NodePtr scan(NodePtr node, NodePtr decay, NodePtr document, Dim *along,
               Place place);

  /// weight, choice = top_k: the largest along `along`, in dimension `top`.
  std::pair<NodePtr, NodePtr> topK(NodePtr node, Dim *along, Dim *top,
                                   Place place);
  /// Sorts the slots of `choice` by its value: what a ragged dimension needs.
  std::shared_ptr<Ragged> route(NodePtr choice, Dim *owner, Place place);
  /// A row of `rows` for each slot. `each`: the slots that share a value.
  NodePtr dispatch(NodePtr node, Dim *rows, int64_t each, Place place);
  NodePtr combine(NodePtr node, Dim *rows, Place place);

  /// Emits the scalar value of `node` inside a region.
  using Leaves = std::map<const Node *, mlir::Value>;
  struct Scope {
    Leaves leaves;                                        ///< region arguments
    std::function<mlir::Value(mlir::Location, Dim *)> index; ///< i32 position
    std::map<const Node *, mlir::Value> done;
  };
  mlir::Value emitScalar(const NodePtr &node, Scope &scope);
  /// Leaves under `node` in order of first use.
  static void collectLeaves(const NodePtr &node, std::vector<NodePtr> &leaves);

  mlir::OpBuilder &builder;
  bool float32 = false; ///< inside f32(..): contractions keep out of policies

private:
  NodePtr groupedContract(NodePtr a, NodePtr b, Dim *rows, Place place);
  mlir::Value emitOp(const Node &node, llvm::SmallVector<mlir::Value> in,
                     mlir::Location loc);
  mlir::Value emitUniform(llvm::ArrayRef<mlir::Value> words,
                          mlir::Location loc);
  mlir::Value emitPower(const Node &node, mlir::Value base,
                        mlir::Location loc, Scope &scope);
  mlir::Value convert(mlir::Value value, Type to, mlir::Location loc);
};

} // namespace ltc::graph
