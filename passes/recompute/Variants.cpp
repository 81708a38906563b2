// SPDX-License-Identifier: Apache-2.0
#include "passes/recompute/Variants.h"
#include "llvm/ADT/MapVector.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include <map>
#include <vector>

using namespace mlir;

namespace ltc {

static constexpr const char *kVariant = "ltc.variant";

std::string variantName(StringRef block, int64_t level) {
  return level == 0 ? block.str()
                    : block.str() + ".recompute" + std::to_string(level);
}

void setVariant(func::FuncOp function, const Variant &variant) {
  Builder b(function.getContext());
  auto number = [&](StringRef name, int64_t value) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(value));
  };
  function->setAttr(
      kVariant,
      b.getDictionaryAttr(
          {b.getNamedAttr("block", b.getStringAttr(variant.block)),
           number("level", variant.level), number("levels", variant.levels),
           number("outputs", variant.outputs),
           b.getNamedAttr("kept", b.getDenseI64ArrayAttr(variant.kept)),
           b.getNamedAttr("cost", b.getF64FloatAttr(variant.cost)),
           b.getNamedAttr("flops", b.getF64FloatAttr(variant.flops))}));
}

std::optional<Variant> variantOf(func::FuncOp function) {
  auto dict =
      function ? function->getAttrOfType<DictionaryAttr>(kVariant) : nullptr;
  if (!dict)
    return std::nullopt;
  auto number = [&](StringRef name) {
    return dict.getAs<IntegerAttr>(name).getInt();
  };
  auto real = [&](StringRef name) {
    return dict.getAs<FloatAttr>(name).getValueAsDouble();
  };
  Variant variant;
  variant.block = dict.getAs<StringAttr>("block").getValue().str();
  variant.level = number("level");
  variant.levels = number("levels");
  variant.outputs = number("outputs");
  variant.kept.assign(
      dict.getAs<DenseI64ArrayAttr>("kept").asArrayRef().begin(),
      dict.getAs<DenseI64ArrayAttr>("kept").asArrayRef().end());
  variant.cost = real("cost");
  variant.flops = real("flops");
  return variant;
}

SmallVector<BlockCall> blockCalls(func::FuncOp entry) {
  std::map<int64_t, BlockCall> byNumber;
  for (auto call : entry.getBody().getOps<func::CallOp>())
    if (auto number = call->getAttrOfType<IntegerAttr>(kCall)) {
      BlockCall &both = byNumber[number.getInt()];
      (call.getCallee().ends_with(".backward") ? both.backward
                                               : both.forward) = call;
    }
  SmallVector<BlockCall> calls;
  for (auto &[number, both] : byNumber)
    calls.push_back(both);
  return calls;
}

namespace {

/// One call on its way from level 0 to another.
struct Change {
  BlockCall call;
  Variant from, to;
  func::FuncOp forward, backward; ///< of `to`

  /// What the backward's call takes behind the kept values.
  OperandRange tail() {
    return call.backward.getOperands().drop_front(from.kept.size());
  }
  bool fits() {
    auto types = forward.getFunctionType();
    auto results = TypeRange(types.getResults()).take_front(to.outputs);
    auto given = TypeRange(call.forward.getResultTypes());
    if (TypeRange(types.getInputs()) !=
            TypeRange(call.forward.getOperandTypes()) ||
        results != given.take_front(from.outputs))
      return false;
    if (!call.backward)
      return true;
    auto back = backward.getFunctionType();
    return TypeRange(back.getInputs()).drop_front(to.kept.size()) ==
               tail().getTypes() &&
           TypeRange(back.getResults()) ==
               TypeRange(call.backward.getResultTypes()) &&
           keptFits();
  }
  bool keptFits() {
    auto takes = backward.getFunctionType().getInputs();
    auto types = forward.getFunctionType();
    for (auto [n, kept] : llvm::enumerate(to.kept))
      if (takes[n] !=
          (kept >= 0 ? types.getInput(kept) : types.getResult(-1 - kept)))
        return false;
    return true;
  }
  void apply() {
    OpBuilder b(call.forward);
    auto ahead = func::CallOp::create(b, call.forward.getLoc(), forward,
                                      call.forward.getOperands());
    ahead->setAttr(kCall, call.forward->getAttr(kCall));
    if (call.backward) {
      SmallVector<Value> operands;
      for (int64_t kept : to.kept)
        operands.push_back(kept >= 0 ? ahead.getOperand(kept)
                                     : ahead.getResult(-1 - kept));
      llvm::append_range(operands, tail());
      b.setInsertionPoint(call.backward);
      auto back = func::CallOp::create(b, call.backward.getLoc(), backward,
                                       operands);
      back->setAttr(kCall, call.backward->getAttr(kCall));
      call.backward->replaceAllUsesWith(back.getResults());
      call.backward.erase();
    }
    for (int64_t i = 0; i < from.outputs; ++i)
      call.forward.getResult(i).replaceAllUsesWith(ahead.getResult(i));
    call.forward.erase();
  }
};

} // namespace

bool useLevel(func::FuncOp entry, int64_t count, int64_t level) {
  SymbolTable symbols(entry->getParentOfType<ModuleOp>());
  std::vector<Change> changes;
  for (auto [n, call] : llvm::enumerate(blockCalls(entry))) {
    if (int64_t(n) >= count)
      break;
    auto now = symbols.lookup<func::FuncOp>(call.forward.getCallee());
    auto from = variantOf(now);
    if (!from || from->levels == 0)
      continue;
    std::string name =
        variantName(from->block, std::min(level, from->levels));
    Change change{call, *from, {},
                  symbols.lookup<func::FuncOp>(name + ".forward"),
                  symbols.lookup<func::FuncOp>(name + ".backward")};
    auto to = variantOf(change.forward);
    if (!to || !change.backward)
      return false;
    change.to = *to;
    if (!change.fits())
      return false;
    changes.push_back(change);
  }
  for (Change &change : changes)
    change.apply();
  return true;
}

} // namespace ltc
