// SPDX-License-Identifier: Apache-2.0
// Brings a module into the shapes that kernels are formed from: contractions
// are matrix products, reductions are over leading or trailing dimensions.
#include "ir/interfaces/Working.h"
#include "ir/ops/Build.h"
#include "passes/fusion/KernelForm.h"
#include "passes/fusion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_SPLITCONTRACTIONSPASS
#include "passes/fusion/Passes.h.inc"

namespace {

/// All labels: as an operand has them if it has them all, so that the product
/// is read in its order; else the result's, then the reduced.
SmallVector<int64_t> productSpace(ContractOp op) {
  llvm::SetVector<int64_t> all;
  all.insert(op.getOutDims().begin(), op.getOutDims().end());
  all.insert(op.getLhsDims().begin(), op.getLhsDims().end());
  all.insert(op.getRhsDims().begin(), op.getRhsDims().end());
  for (ArrayRef<int64_t> own : {op.getLhsDims(), op.getRhsDims()})
    if (own.size() == all.size())
      return SmallVector<int64_t>(own);
  return all.takeVector();
}

SmallVector<int64_t> positions(ArrayRef<int64_t> labels,
                               ArrayRef<int64_t> space) {
  SmallVector<int64_t> at;
  for (int64_t label : labels)
    at.push_back(llvm::find(space, label) - space.begin());
  return at;
}

void split(ContractOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<int64_t> space = productSpace(op), shape, reduced, kept;
  for (auto [dim, label] : llvm::enumerate(space)) {
    auto left = llvm::find(op.getLhsDims(), label);
    bool inLeft = left != op.getLhsDims().end();
    shape.push_back(
        inLeft ? shapeOf(op.getLhs())[left - op.getLhsDims().begin()]
               : shapeOf(op.getRhs())[llvm::find(op.getRhsDims(), label) -
                                      op.getRhsDims().begin()]);
    bool stays = llvm::is_contained(op.getOutDims(), label);
    (stays ? kept : reduced).push_back(stays ? label : int64_t(dim));
  }
  Type element = elementOf(op.getOutput());
  auto read = [&](ArrayRef<int64_t> labels) {
    return projection(b.getContext(), space.size(), positions(labels, space));
  };
  Value product =
      buildMap(b, loc, RankedTensorType::get(shape, element),
               {op.getLhs(), op.getRhs()},
               {read(op.getLhsDims()), read(op.getRhsDims())},
               [&](OpBuilder &b, ValueRange x) {
                 Value y = arith::MulFOp::create(b, loc, x[0], x[1]);
                 return SmallVector<Value>{y};
               })
          .getResult(0);
  Value sum = buildSum(b, loc, product, reduced);
  sum = buildCopy(b, loc, cast<RankedTensorType>(op.getOutput().getType()), sum,
                  projection(b.getContext(), kept.size(),
                             positions(kept, op.getOutDims())));
  op.getOutput().replaceAllUsesWith(sum);
  op.erase();
}

bool isLeadingOrTrailing(ReduceOp op) {
  ArrayRef<int64_t> dims = op.getDims();
  int64_t rank = shapeOf(op.getInput()).size();
  if (dims.empty() || dims.back() - dims.front() + 1 != int64_t(dims.size()))
    return dims.empty();
  return dims.front() == 0 || dims.back() == rank - 1;
}

/// A map that puts the reduced dimensions last, in front of the reduction.
void straighten(ReduceOp op) {
  OpBuilder b(op);
  ArrayRef<int64_t> from = shapeOf(op.getInput());
  SmallVector<int64_t> order = otherDims(from.size(), op.getDims());
  int64_t kept = order.size();
  llvm::append_range(order, op.getDims());
  SmallVector<int64_t> shape, read(from.size()), dims;
  for (auto [to, dim] : llvm::enumerate(order)) {
    shape.push_back(from[dim]);
    read[dim] = to;
    if (int64_t(to) >= kept)
      dims.push_back(to);
  }
  op.getInputMutable().assign(
      buildCopy(b, op.getLoc(),
                RankedTensorType::get(shape, elementOf(op.getInput())),
                op.getInput(), projection(b.getContext(), from.size(), read)));
  op.setDims(dims);
}

/// Constants need no tensor: `map` yields them itself.
void inlineFills(MapOp map) {
  Block &body = map.getBody().front();
  OpBuilder b = OpBuilder::atBlockBegin(&body);
  SmallVector<Attribute> maps;
  SmallVector<Value> inputs;
  unsigned at = 0;
  for (auto [n, input] : llvm::enumerate(map.getInputs())) {
    arith::ConstantOp constant = fillOf(input);
    if (!constant) {
      inputs.push_back(input);
      maps.push_back(map.getMaps()[n]);
      ++at;
      continue;
    }
    body.getArgument(at).replaceAllUsesWith(b.clone(*constant)->getResult(0));
    body.eraseArgument(at);
  }
  map.getInputsMutable().assign(inputs);
  map.setMapsAttr(b.getArrayAttr(maps));
}

MapOp additionOf(Value value) {
  auto map = value.getDefiningOp<MapOp>();
  return map && isElementwiseAdd(map) ? map : MapOp();
}

/// so_far + (x + y), with x and y made here, becomes (so_far + x) + y: each
/// part is then added in place by the kernel that makes it.
void spreadAddition(MapOp add, llvm::DenseSet<Operation *> &erased) {
  for (int side : {0, 1}) {
    Value soFar = add.getInputs()[side], parts = add.getInputs()[1 - side];
    MapOp inner = additionOf(parts);
    if (!isa<BlockArgument>(soFar) || !inner || !inner->hasOneUse() ||
        additionOf(soFar) || llvm::any_of(inner.getInputs(), [](Value v) {
          return isa<BlockArgument>(v);
        }))
      continue;
    Value first = inner.getInputs()[0], second = inner.getInputs()[1];
    if (second.getDefiningOp()->isBeforeInBlock(first.getDefiningOp()))
      std::swap(first, second);
    OpBuilder b(add);
    Value sum = buildAdd(b, first.getLoc(), soFar, first);
    sum = buildAdd(b, second.getLoc(), sum, second);
    add.getResult(0).replaceAllUsesWith(sum);
    erased.insert(inner);
    add.erase();
    inner.erase();
    return;
  }
}

class SplitContractions
    : public impl::SplitContractionsPassBase<SplitContractions> {
  void runOnOperation() override {
    SmallVector<Operation *> dead;
    getOperation().walk([&](Operation *op) {
      Working::on(op);
      if (auto contract = dyn_cast<ContractOp>(op)) {
        if (!contract.isMatrixProduct())
          split(contract);
      } else if (auto stop = dyn_cast<StopGradientOp>(op)) {
        stop.getOutput().replaceAllUsesWith(stop.getInput());
        stop.erase();
      } else if (auto map = dyn_cast<MapOp>(op)) {
        inlineFills(map);
        if (map.getInputs().empty())
          dead.push_back(map);
      }
    });
    getOperation().walk([](ReduceOp reduce) {
      if (!isLeadingOrTrailing(reduce))
        straighten(reduce);
    });
    SmallVector<MapOp> additions;
    getOperation().walk([&](MapOp map) {
      if (isElementwiseAdd(map))
        additions.push_back(map);
    });
    llvm::DenseSet<Operation *> erased;
    for (MapOp map : llvm::reverse(additions))
      if (!erased.contains(map))
        spreadAddition(map, erased);
    for (Operation *op : dead)
      if (op->use_empty())
        op->erase();
  }
};

} // namespace
} // namespace ltc
