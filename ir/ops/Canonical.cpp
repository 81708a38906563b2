// SPDX-License-Identifier: Apache-2.0
// Canonical forms: copies are read through, an operand is read once.
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace ltc;

AffineMap ltc::copyMap(Value value) {
  auto map = value.getDefiningOp<MapOp>();
  if (!map || map.getInputs().size() != 1 || map.getNumResults() != 1)
    return {};
  Block &body = map.getBody().front();
  if (body.getTerminator()->getOperand(0) != body.getArgument(0))
    return {};
  return map.getMap(0);
}

namespace {
/// map(copy(x)) reads x by the composed map.
struct ReadThroughCopy : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      AffineMap copy = copyMap(input);
      if (!copy)
        continue;
      SmallVector<Attribute> maps(op.getMaps().begin(), op.getMaps().end());
      maps[i] = AffineMapAttr::get(copy.compose(op.getMap(i)));
      rewriter.modifyOpInPlace(op, [&, i = i, input = input] {
        op->setOperand(i, input.getDefiningOp()->getOperand(0));
        op.setMapsAttr(rewriter.getArrayAttr(maps));
      });
      return success();
    }
    return failure();
  }
};

/// map(widened x) reads x and widens it itself: the wide value is not stored.
struct ReadThroughWidening : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      Operation *widening = input.getDefiningOp();
      if (!isCast(widening) ||
          !isa<arith::ExtFOp>(cast<MapOp>(widening).getBody().front().front()))
        continue;
      rewriter.modifyOpInPlace(op, [&, i = i] {
        op->setOperand(i, widening->getOperand(0));
        BlockArgument argument = op.getBody().front().getArgument(i);
        Type wide = argument.getType();
        argument.setType(elementOf(widening->getOperand(0)));
        rewriter.setInsertionPointToStart(argument.getOwner());
        auto cast =
            arith::ExtFOp::create(rewriter, op.getLoc(), wide, argument);
        rewriter.replaceAllUsesExcept(argument, cast, cast);
      });
      return success();
    }
    return failure();
  }
};

/// Two operands alike become one; one that is not read goes.
struct ReadOnce : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;

  static std::optional<unsigned> twinOf(MapOp op, unsigned i) {
    for (unsigned j = 0; j < i; ++j)
      if (op.getInputs()[i] == op.getInputs()[j] &&
          op.getMaps()[i] == op.getMaps()[j])
        return j;
    return std::nullopt;
  }

  LogicalResult matchAndRewrite(MapOp op,
                                PatternRewriter &rewriter) const override {
    Block &body = op.getBody().front();
    for (unsigned i = 0; i < op.getInputs().size(); ++i) {
      auto twin = twinOf(op, i);
      if (!twin && !body.getArgument(i).use_empty())
        continue;
      SmallVector<Attribute> maps(op.getMaps().begin(), op.getMaps().end());
      maps.erase(maps.begin() + i);
      rewriter.modifyOpInPlace(op, [&] {
        if (twin)
          body.getArgument(i).replaceAllUsesWith(body.getArgument(*twin));
        body.eraseArgument(i);
        op->eraseOperand(i);
        op.setMapsAttr(rewriter.getArrayAttr(maps));
      });
      return success();
    }
    return failure();
  }
};

/// A copy that changes nothing.
struct EraseIdentity : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getNumResults() != 1)
      return failure();
    AffineMap copy = copyMap(op.getResult(0));
    if (!copy || !copy.isIdentity())
      return failure();
    rewriter.replaceOp(op, op.getInputs()[0]);
    return success();
  }
};

/// contract(permuted copy of x) reads x with its labels permuted.
struct ContractThroughCopy : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op,
                                PatternRewriter &rewriter) const override {
    for (unsigned i = 0; i < 2; ++i) {
      AffineMap copy = copyMap(op->getOperand(i));
      if (!copy || copy.getNumResults() != copy.getNumDims())
        continue;
      ArrayRef<int64_t> old = i ? op.getRhsDims() : op.getLhsDims();
      SmallVector<int64_t> labels;
      for (unsigned j = 0; j < copy.getNumResults(); ++j)
        labels.push_back(old[copy.getDimPosition(j)]);
      rewriter.modifyOpInPlace(op, [&] {
        op->setOperand(i, op->getOperand(i).getDefiningOp()->getOperand(0));
        i ? op.setRhsDims(labels) : op.setLhsDims(labels);
      });
      return success();
    }
    return failure();
  }
};
} // namespace

void MapOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                        MLIRContext *context) {
  patterns.add<ReadThroughCopy, ReadThroughWidening, ReadOnce, EraseIdentity>(
      context);
}

void ContractOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                             MLIRContext *context) {
  patterns.add<ContractThroughCopy>(context);
}
