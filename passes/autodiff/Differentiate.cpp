// SPDX-License-Identifier: Apache-2.0
// @loss -> @accumulate, @evaluate; blocks -> forward and backward.
#include "ir/interfaces/Working.h"
#include "passes/autodiff/Accumulate.h"
#include "passes/autodiff/ChooseFirst.h"
#include "passes/autodiff/Passes.h"
#include "mlir/IR/IRMapping.h"
#include "passes/autodiff/Reverse.h"
#include "passes/autodiff/Training.h"
#include "passes/recompute/Variants.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_DIFFERENTIATEPASS
#include "passes/autodiff/Passes.h.inc"

namespace {
/// Ways beside `keep` that a block may have where memory is budgeted.
constexpr unsigned kLevels = 3;

/// Values of @loss that depend on a parameter.
llvm::DenseSet<Value> trained(func::FuncOp loss) {
  SmallVector<Value> parameters;
  for (BlockArgument argument : loss.getArguments())
    if (isBound(argument, "parameter"))
      parameters.push_back(argument);
  SmallVector<Operation *> ops;
  for (Operation &op : loss.getBody().front())
    ops.push_back(&op);
  return dependents(ops, parameters);
}

bool callsHead(func::CallOp call, ArrayRef<Head> heads) {
  return llvm::any_of(heads, [&](const Head &head) {
    return func::FuncOp(head.function).getSymName() == call.getCallee();
  });
}

/// Forward and backward of every block that @loss calls on the way from a
/// parameter.
FailureOr<BlockGradients> differentiateBlocks(func::FuncOp loss,
                                              ArrayRef<Head> heads) {
  llvm::DenseSet<Value> active = trained(loss);
  llvm::MapVector<StringRef, SmallVector<Want>> wanted;
  for (func::CallOp call : loss.getBody().getOps<func::CallOp>()) {
    if (callsHead(call, heads))
      continue;
    // A sum only if every call gives a parameter itself.
    SmallVector<Want> &wants = wanted[call.getCallee()];
    wants.resize(call.getNumOperands(), Want::Nothing);
    for (auto [want, operand] : llvm::zip(wants, call.getOperands())) {
      if (!active.contains(operand))
        continue;
      bool sum = isBound(operand, "parameter") && want != Want::Gradient;
      want = sum ? Want::Sum : Want::Gradient;
    }
  }
  auto module = loss->getParentOfType<ModuleOp>();
  unsigned levels = module->hasAttr("ltc.memory_budget") ? kLevels : 0;
  BlockGradients blocks;
  for (auto &[name, wants] : wanted) {
    if (llvm::all_of(wants, [](Want want) { return want == Want::Nothing; }))
      continue;
    auto gradient = buildBlockGradient(
        module.lookupSymbol<func::FuncOp>(name), wants, levels);
    if (failed(gradient))
      return failure();
    blocks[name.str()] = *gradient;
  }
  return blocks;
}

/// Calls inside of private functions, innermost first: a block is flat.
void inlineInnerCalls(func::FuncOp block, ModuleOp module) {
  for (func::CallOp call :
       llvm::to_vector(block.getBody().getOps<func::CallOp>())) {
    auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
    if (!callee || callee.isExternal())
      continue;
    inlineInnerCalls(callee, module);
    OpBuilder b(call);
    IRMapping mapping;
    mapping.map(callee.getArguments(), call.getOperands());
    for (Operation &op : callee.getBody().front().without_terminator())
      b.clone(op, mapping);
    Operation *end = callee.getBody().front().getTerminator();
    for (auto [result, value] :
         llvm::zip(call.getResults(), end->getOperands()))
      result.replaceAllUsesWith(mapping.lookup(value));
    call.erase();
  }
}

void eraseStopGradients(ModuleOp module) {
  module.walk([](StopGradientOp op) {
    op.getOutput().replaceAllUsesWith(op.getInput());
    op.erase();
  });
}

/// @accumulate.recompute1, ...: the phase with every block at that level. So
/// variants are called, and what is decided by callers holds for them too.
void addVariantsOfAccumulate(ModuleOp module) {
  auto accumulate = module.lookupSymbol<func::FuncOp>("accumulate");
  int64_t levels = 0;
  for (auto function : module.getOps<func::FuncOp>())
    if (auto variant = variantOf(function))
      levels = std::max(levels, variant->levels);
  OpBuilder b(accumulate);
  b.setInsertionPointAfter(accumulate);
  for (int64_t level = 1; level <= levels; ++level) {
    auto copy = cast<func::FuncOp>(b.clone(*accumulate));
    copy.setSymName(variantName("accumulate", level));
    bool done = useLevel(copy, int64_t(blockCalls(copy).size()), level);
    assert(done && "variants differ in what they keep alone");
    (void)done;
  }
}

/// Private functions that nothing calls any more.
void eraseUncalled(ModuleOp module) {
  for (auto function :
       llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
    if (function.isPrivate() &&
        SymbolTable::symbolKnownUseEmpty(function, module))
      function.erase();
}

struct Differentiate : impl::DifferentiatePassBase<Differentiate> {
  using DifferentiatePassBase::DifferentiatePassBase;

  LogicalResult run(func::FuncOp loss) {
    for (auto block : getOperation().getOps<func::FuncOp>())
      if (block.isPrivate() && !block.isExternal())
        inlineInnerCalls(block, getOperation());
    SmallVector<Head> heads = outlineWideValues(loss, wideBytes);
    FailureOr<BlockGradients> blocks = differentiateBlocks(loss, heads);
    if (failed(blocks) ||
        failed(buildAccumulate(loss, *blocks, heads, chunkBytes)) ||
        failed(buildEvaluate(loss, heads, chunkBytes)))
      return failure();
    addVariantsOfAccumulate(getOperation());
    loss.erase();
    for (Head &head : heads)
      head.function.erase();
    return success();
  }

  void runOnOperation() override {
    auto loss = getOperation().lookupSymbol<func::FuncOp>("loss");
    if (loss && failed(run(loss)))
      return signalPassFailure();
    settleTraining(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal()) {
        Working::on(function);
        chooseFirst(function);
      }
    eraseStopGradients(getOperation());
    eraseUncalled(getOperation());
  }
};
} // namespace
} // namespace ltc
