// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/ChooseFirst.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace ltc {
namespace {

/// The ops of sum(where(cond, contract, 0)), and what is known of them.
struct Chosen {
  ReduceOp sum;
  MapOp where;
  ContractOp product;
  unsigned input;   ///< of `where`: the product
  unsigned side;    ///< of `product`: the operand with the summed labels
  SmallVector<int64_t> place; ///< of each product dim in that operand, or -1
};

/// Dimensions of the space that the condition reads.
llvm::DenseSet<int64_t> readDims(MapOp map, unsigned except) {
  llvm::DenseSet<int64_t> dims;
  for (IndexOp index : map.getBody().getOps<IndexOp>())
    dims.insert(index.getDim());
  for (unsigned n = 0; n < map.getInputs().size(); ++n)
    for (unsigned i = 0; n != except && i < map.getMap(n).getNumResults(); ++i)
      dims.insert(map.getMap(n).getDimPosition(i));
  return dims;
}

/// The operand that `where` chooses or leaves at zero; read nowhere else.
std::optional<unsigned> chosenInput(MapOp map) {
  Block &body = map.getBody().front();
  auto select =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::SelectOp>();
  if (map.getNumResults() != 1 || !select ||
      !matchPattern(select.getFalseValue(), m_AnyZeroFloat()))
    return std::nullopt;
  auto argument = dyn_cast<BlockArgument>(select.getTrueValue());
  if (!argument || !argument.hasOneUse() ||
      !map.getMap(argument.getArgNumber()).isIdentity())
    return std::nullopt;
  return argument.getArgNumber();
}

std::optional<Chosen> match(ReduceOp sum) {
  auto where = sum.getInput().getDefiningOp<MapOp>();
  if (sum.getKind() != ReduceKind::Sum || !where || !where->hasOneUse())
    return std::nullopt;
  auto input = chosenInput(where);
  if (!input)
    return std::nullopt;
  auto product = where.getInputs()[*input].getDefiningOp<ContractOp>();
  if (!product || !product->hasOneUse())
    return std::nullopt;
  llvm::DenseSet<int64_t> needed = readDims(where, *input);
  needed.insert(sum.getDims().begin(), sum.getDims().end());
  for (unsigned side = 0; side < 2; ++side) {
    ArrayRef<int64_t> own = side ? product.getRhsDims() : product.getLhsDims();
    ArrayRef<int64_t> other =
        side ? product.getLhsDims() : product.getRhsDims();
    Chosen chosen{sum, where, product, *input, side, {}};
    for (int64_t label : product.getOutDims()) {
      auto at = llvm::find(own, label);
      bool alone = at != own.end() && !llvm::is_contained(other, label);
      chosen.place.push_back(alone ? at - own.begin() : -1);
    }
    if (llvm::all_of(needed, [&](int64_t d) { return chosen.place[d] >= 0; }))
      return chosen;
  }
  return std::nullopt;
}

/// where(cond, operand, 0) on the operand's own space.
Value chooseOperand(OpBuilder &b, Chosen &c, Value operand) {
  unsigned rank = shapeOf(operand).size();
  SmallVector<Value> inputs(c.where.getInputs());
  SmallVector<AffineMap> maps;
  inputs[c.input] = operand;
  for (unsigned n = 0; n < inputs.size(); ++n) {
    SmallVector<int64_t> dims;
    AffineMap old = c.where.getMap(n);
    for (unsigned i = 0; n != c.input && i < old.getNumResults(); ++i)
      dims.push_back(c.place[old.getDimPosition(i)]);
    maps.push_back(n == c.input ? b.getMultiDimIdentityMap(rank)
                                : projection(b.getContext(), rank, dims));
  }
  auto map = MapOp::create(b, c.where.getLoc(), operand.getType(), inputs,
                           b.getAffineMapArrayAttr(maps));
  IRMapping mapping;
  c.where.getBody().cloneInto(&map.getBody(), mapping);
  for (IndexOp index : map.getBody().getOps<IndexOp>())
    index.setDim(c.place[index.getDim()]);
  return map.getResult(0);
}

void rewrite(Chosen &c) {
  OpBuilder b(c.sum);
  Value operand = c.product->getOperand(c.side);
  SmallVector<int64_t> summed, labels, out;
  for (int64_t dim : c.sum.getDims())
    summed.push_back(c.place[dim]);
  llvm::sort(summed);
  ArrayRef<int64_t> own =
      c.side ? c.product.getRhsDims() : c.product.getLhsDims();
  for (int64_t dim : otherDims(own.size(), summed))
    labels.push_back(own[dim]);
  for (int64_t dim :
       otherDims(c.product.getOutDims().size(), c.sum.getDims()))
    out.push_back(c.product.getOutDims()[dim]);
  Value row =
      buildSum(b, c.sum.getLoc(), chooseOperand(b, c, operand), summed);
  Value other = c.product->getOperand(1 - c.side);
  ArrayRef<int64_t> otherLabels =
      c.side ? c.product.getLhsDims() : c.product.getRhsDims();
  Value result = ContractOp::create(b, c.product.getLoc(), c.sum.getType(),
                                    row, other, labels, otherLabels, out);
  c.sum.getOutput().replaceAllUsesWith(result);
  c.sum.erase();
  c.where.erase();
  c.product.erase();
}
} // namespace

void chooseFirst(func::FuncOp function) {
  for (ReduceOp sum :
       llvm::to_vector(function.getBody().getOps<ReduceOp>()))
    if (auto chosen = match(sum))
      rewrite(*chosen);
}

} // namespace ltc
