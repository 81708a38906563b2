// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/Reverse.h"
#include "ir/interfaces/Working.h"
#include "ir/ops/Build.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace ltc {

bool isFloat(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && isa<FloatType>(type.getElementType());
}

llvm::DenseSet<Value> dependents(ArrayRef<Operation *> ops,
                                 ArrayRef<Value> wanted) {
  llvm::DenseSet<Value> active;
  for (Value value : wanted)
    if (isFloat(value))
      active.insert(value);
  for (Operation *op : ops) {
    if (isa<StopGradientOp>(op) ||
        llvm::none_of(op->getOperands(),
                      [&](Value v) { return active.contains(v); }))
      continue;
    for (Value result : op->getResults())
      if (isFloat(result))
        active.insert(result);
  }
  return active;
}

namespace {
/// Gradients so far. Slices of one value are gathered first: pieces that do
/// not overlap become one join instead of a sum of padded ones.
class Gradients {
public:
  Gradients(OpBuilder &b, llvm::DenseSet<Value> active)
      : b(b), active(std::move(active)) {}

  bool isActive(Value value) const { return active.contains(value); }

  void add(Location loc, Value value, Value d) {
    if (!d || !isActive(value))
      return;
    Value &sum = sums[value];
    sum = buildAdd(b, loc, sum, d);
  }

  void addPiece(SliceOp slice, Value d) {
    if (d && isActive(slice.getInput()))
      pieces[slice.getInput()].push_back({slice, d});
  }

  /// The complete gradient of a value whose users were all visited.
  Value take(Value value) {
    auto found = pieces.find(value);
    if (found != pieces.end()) {
      for (auto &group : disjointGroups(found->second))
        add(group[0].slice.getLoc(), value, join(value, group));
      pieces.erase(found);
    }
    return sums.lookup(value);
  }

private:
  struct Piece {
    SliceOp slice;
    Value d;
    int64_t begin() { return slice.getOffset(); }
    int64_t end() {
      return begin() + shapeOf(slice.getOutput())[slice.getDim()];
    }
  };
  using Group = SmallVector<Piece>;

  /// Pieces along one dimension, ascending, without overlap, per group.
  static SmallVector<Group> disjointGroups(SmallVector<Piece> &all) {
    llvm::stable_sort(all, [](Piece x, Piece y) {
      return std::pair(x.slice.getDim(), x.slice.getOffset()) <
             std::pair(y.slice.getDim(), y.slice.getOffset());
    });
    SmallVector<Group> groups;
    for (Piece &piece : all) {
      auto fits = [&](Group &group) {
        return group.back().slice.getDim() == piece.slice.getDim() &&
               group.back().end() <= piece.begin();
      };
      auto group = llvm::find_if(groups, fits);
      if (group == groups.end())
        groups.push_back({piece});
      else
        group->push_back(piece);
    }
    return groups;
  }

  Value join(Value value, Group &group) {
    auto type = cast<RankedTensorType>(value.getType());
    int64_t dim = group[0].slice.getDim(), at = 0;
    SmallVector<Value> parts;
    auto zerosTo = [&](int64_t end) {
      if (end == at)
        return;
      SmallVector<int64_t> shape(type.getShape());
      shape[dim] = end - at;
      parts.push_back(
          buildFill(b, group[0].slice.getLoc(),
                    RankedTensorType::get(shape, type.getElementType()), 0));
    };
    for (Piece &piece : group) {
      zerosTo(piece.begin());
      parts.push_back(piece.d);
      at = piece.end();
    }
    zerosTo(type.getDimSize(dim));
    if (parts.size() == 1)
      return parts[0];
    return JoinOp::create(b, group[0].slice.getLoc(), type, parts, dim);
  }

  OpBuilder &b;
  llvm::DenseSet<Value> active;
  DenseMap<Value, Value> sums;
  DenseMap<Value, SmallVector<Piece>> pieces;
};

FailureOr<SmallVector<Value>> gradientOf(OpBuilder &b, Operation *op,
                                         ArrayRef<Value> dResults,
                                         ArrayRef<bool> wanted,
                                         CallRule callRule) {
  Working::on(op);
  if (auto call = dyn_cast<func::CallOp>(op))
    return callRule(b, call, dResults, wanted);
  if (auto rule = dyn_cast<DifferentiableInterface>(op))
    return rule.gradient(b, dResults, wanted);
  return op->emitError("has no gradient, but one is needed here; "
                       "stop_gradient(..) says that none should flow");
}
} // namespace

FailureOr<SmallVector<Value>>
buildGradients(OpBuilder &b, ArrayRef<Operation *> ops,
               ArrayRef<std::pair<Value, Value>> seeds, ArrayRef<Value> wanted,
               CallRule callRule) {
  Gradients gradients(b, dependents(ops, wanted));
  for (auto [value, d] : seeds)
    gradients.add(value.getLoc(), value, d);
  for (Operation *op : llvm::reverse(ops)) {
    SmallVector<Value> dResults;
    for (Value result : op->getResults())
      dResults.push_back(gradients.take(result));
    if (llvm::none_of(dResults, [](Value d) { return bool(d); }))
      continue;
    if (auto slice = dyn_cast<SliceOp>(op)) {
      gradients.addPiece(slice, dResults[0]);
      continue;
    }
    SmallVector<bool> active;
    for (Value operand : op->getOperands())
      active.push_back(gradients.isActive(operand));
    auto dOperands = gradientOf(b, op, dResults, active, callRule);
    if (failed(dOperands))
      return failure();
    for (auto [operand, d] : llvm::zip(op->getOperands(), *dOperands))
      gradients.add(op->getLoc(), operand, d);
  }
  SmallVector<Value> results;
  for (Value value : wanted)
    results.push_back(gradients.take(value));
  return results;
}

void eraseDead(Block &body) {
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops))
    if (isOpTriviallyDead(op) || (isa<func::CallOp>(op) && op->use_empty()))
      op->erase();
}

void simplify(func::FuncOp function) {
  eraseDead(function.getBody().front());
  RewritePatternSet patterns(function.getContext());
  MapOp::getCanonicalizationPatterns(patterns, function.getContext());
  ContractOp::getCanonicalizationPatterns(patterns, function.getContext());
  (void)applyPatternsGreedily(function, std::move(patterns));
  IRRewriter rewriter(function.getContext());
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  eraseDead(function.getBody().front());
}

} // namespace ltc
