// SPDX-License-Identifier: Apache-2.0
#include "passes/recompute/Passes.h"
#include "passes/recompute/Planner.h"
#include "passes/recompute/Refusal.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_CHOOSERECOMPUTEPASS
#include "passes/recompute/Passes.h.inc"

namespace {

uint64_t bytesIn(TypeRange types) {
  uint64_t bytes = 0;
  for (Type type : types)
    bytes += bytesOf(cast<RankedTensorType>(type));
  return bytes;
}

/// What a call's forward gives only for its backward.
uint64_t keptBytes(SymbolTable &symbols, StringRef block, int64_t level) {
  auto forward =
      symbols.lookup<func::FuncOp>(variantName(block, level) + ".forward");
  return bytesIn(TypeRange(forward.getFunctionType().getResults())
                     .drop_front(variantOf(forward)->outputs));
}

struct ChooseRecompute : impl::ChooseRecomputePassBase<ChooseRecompute> {
  ChooseRecompute() = default;
  explicit ChooseRecompute(Target *target) : target(target) {}

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (auto budget = budgetOf(module); budget && failed(choose(*budget)))
      return signalPassFailure();
  }

  LogicalResult choose(Budget budget) {
    ModuleOp module = getOperation();
    Planner planner(module, target, budget);
    if (failed(planner.prepare()))
      return failure();
    auto choice = planner.choose();
    if (failed(choice))
      return failure();
    if (!*choice)
      return refuse(module, planner, budget);
    auto accumulate = module.lookupSymbol<func::FuncOp>("accumulate");
    if (!accumulate)
      return success();
    describe(accumulate, **choice);
    useLevel(accumulate, (*choice)->calls, (*choice)->level);
    for (auto function :
         llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
      if (function.getSymName().starts_with("accumulate.recompute"))
        function.erase();
    return success();
  }

  /// `ltc.recompute`: one entry per block, which `ltc plan` shows.
  void describe(func::FuncOp accumulate, Choice choice) {
    SymbolTable symbols(getOperation());
    struct Count {
      int64_t calls = 0, recomputed = 0;
    };
    llvm::MapVector<StringAttr, Count> counts;
    for (auto [n, call] : llvm::enumerate(blockCalls(accumulate))) {
      auto variant =
          variantOf(symbols.lookup<func::FuncOp>(call.forward.getCallee()));
      if (!variant)
        continue;
      Count &count = counts[StringAttr::get(&getContext(), variant->block)];
      ++count.calls;
      count.recomputed += int64_t(n) < choice.calls && choice.level > 0;
    }
    SmallVector<Attribute> entries;
    for (auto &[block, count] : counts)
      entries.push_back(entryOf(symbols, block.getValue(), count.calls,
                                count.recomputed, choice.level));
    getOperation()->setAttr("ltc.recompute",
                            ArrayAttr::get(&getContext(), entries));
  }

  Attribute entryOf(SymbolTable &symbols, StringRef block, int64_t calls,
                    int64_t recomputed, int64_t level) {
    Builder b(&getContext());
    auto keep =
        variantOf(symbols.lookup<func::FuncOp>(block.str() + ".backward"));
    int64_t own = std::min(level, keep->levels);
    auto variant = variantOf(symbols.lookup<func::FuncOp>(
        variantName(block, own) + ".backward"));
    auto number = [&](StringRef name, uint64_t value) {
      return b.getNamedAttr(name, b.getI64IntegerAttr(int64_t(value)));
    };
    return b.getDictionaryAttr(
        {b.getNamedAttr("block", b.getStringAttr(block)),
         number("calls", calls), number("recomputed", recomputed),
         number("kept_bytes", keptBytes(symbols, block, 0)),
         number("recomputed_kept_bytes", keptBytes(symbols, block, own)),
         b.getNamedAttr("flops", b.getF64FloatAttr(variant->flops))});
  }

  Target *target = nullptr;
};

} // namespace

std::unique_ptr<Pass> createChooseRecomputePass(Target *target) {
  return std::make_unique<ChooseRecompute>(target);
}

} // namespace ltc
