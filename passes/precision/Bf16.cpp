// SPDX-License-Identifier: Apache-2.0
// Where a value is rounded depends on the text alone, never on what a backward
// keeps: recomputed values are the kept ones to the bit.
#include "passes/precision/Bf16.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/recompute/Variants.h"
#include "passes/precision/Narrow.h"
#include <set>

using namespace mlir;

namespace ltc {
namespace {

class Policy {
public:
  explicit Policy(ModuleOp module) : module(module) {}

  void run() {
    findParameters();
    findRounded();
    llvm::DenseSet<Operation *> outside = stepFunctions();
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function.isExternal() || outside.contains(function))
        continue;
      SmallVector<Operation *> ops;
      for (Operation &op : function.getBody().front())
        ops.push_back(&op);
      for (Operation *op : ops)
        apply(op);
    }
  }

private:
  /// Arguments that hold a parameter, from the entries through calls.
  void findParameters() {
    for (auto function : module.getOps<func::FuncOp>())
      for (unsigned i = 0; i < function.getNumArguments(); ++i) {
        auto bind = function.getArgAttrOfType<DictionaryAttr>(i, "ltc.bind");
        auto kind = bind ? bind.getAs<StringAttr>("class") : StringAttr();
        if (kind && kind.getValue() == "parameter" && !function.isExternal())
          parameters.insert(function.getArgument(i));
      }
    for (bool changed = true; changed;) {
      changed = false;
      module.walk([&](func::CallOp call) {
        auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
        if (!callee || callee.isExternal())
          return;
        for (auto [i, operand] : llvm::enumerate(call.getOperands()))
          if (isParameter(operand))
            changed |= parameters.insert(callee.getArgument(i)).second;
      });
    }
  }

  /// A block's contraction has copies where a backward computes it again; what
  /// its forward decides holds for them, whatever else reads them there.
  void findRounded() {
    for (auto function : module.getOps<func::FuncOp>()) {
      auto variant = variantOf(function);
      if (!variant || variant->level != 0 ||
          !function.getSymName().ends_with(".forward"))
        continue;
      for (auto op : function.getBody().getOps<ContractOp>())
        if (auto number = op->getAttrOfType<IntegerAttr>(kContraction))
          if (!isOnlyAdded(op.getOutput()))
            rounded.insert({variant->block, number.getInt()});
    }
  }

  bool isRounded(ContractOp op) {
    auto number = op->getAttrOfType<IntegerAttr>(kContraction);
    auto variant = variantOf(op->getParentOfType<func::FuncOp>());
    if (number && variant)
      return rounded.count({variant->block, number.getInt()});
    return !isOnlyAdded(op.getOutput());
  }

  bool isParameter(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (!isa<ReshapeOp, SliceOp>(op) && !isCast(op))
        return false;
      value = op->getOperand(0);
    }
    return parameters.contains(value);
  }

  /// @apply, @init and what they call.
  llvm::DenseSet<Operation *> stepFunctions() {
    llvm::DenseSet<Operation *> found;
    SmallVector<func::FuncOp> work;
    auto enter = [&](StringRef name) {
      auto function = module.lookupSymbol<func::FuncOp>(name);
      if (function && found.insert(function).second)
        work.push_back(function);
    };
    enter("apply");
    enter("init");
    while (!work.empty())
      work.pop_back_val().walk(
          [&](func::CallOp call) { enter(call.getCallee()); });
    return found;
  }

  void apply(Operation *op) {
    if (auto contract = dyn_cast<ContractOp>(op))
      return contraction(contract);
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      narrowOperands(op, 3);
      Value output = attention.getOutput();
      auto type = cast<RankedTensorType>(output.getType());
      output.setType(type.clone(BFloat16Type::get(op->getContext())));
      readWidened(output);
    } else if (auto grad = dyn_cast<AttentionGradOp>(op)) {
      narrowOperands(op, 4);
      grad.getDOutputMutable().assign(narrow(grad.getDOutput()));
    }
  }

  static void narrowOperands(Operation *op, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      if (elementOf(op->getOperand(i)).isF32())
        op->setOperand(i, narrow(op->getOperand(i)));
  }

  static void readWidened(Value value) {
    Value wide = widen(value);
    value.replaceAllUsesExcept(wide, wide.getDefiningOp());
  }

  void contraction(ContractOp op) {
    if (op.getF32() || !op.isMatrixProduct() || !elementOf(op.getLhs()).isF32())
      return;
    bool weight = isParameter(op.getLhs()) || isParameter(op.getRhs());
    narrowOperands(op, 2);
    if (!weight || !isRounded(op))
      return;
    Value rounded = narrow(op.getOutput()), wide = widen(rounded);
    op.getOutput().replaceAllUsesExcept(wide, rounded.getDefiningOp());
  }

  /// What is only added to something, or carried on, is added in float32.
  static bool isOnlyAdded(Value value) {
    return llvm::all_of(value.getUsers(), [](Operation *user) {
      auto map = dyn_cast<MapOp>(user);
      return isa<func::ReturnOp, func::CallOp>(user) ||
             (map && isElementwiseAdd(map));
    });
  }

  ModuleOp module;
  llvm::DenseSet<Value> parameters;
  std::set<std::pair<std::string, int64_t>> rounded; ///< block, contraction
};

/// view(widened x) = widened view(x): what is stored between is bf16.
void widenAfterViews(func::FuncOp function) {
  SmallVector<Operation *> views;
  for (Operation &op : function.getBody().front())
    if (isa<ReshapeOp, SliceOp>(op))
      views.push_back(&op);
  for (Operation *view : views) {
    Value from = widenedFrom(view->getOperand(0));
    if (!from)
      continue;
    Value result = view->getResult(0);
    view->setOperand(0, from);
    result.setType(cast<RankedTensorType>(result.getType())
                       .clone(BFloat16Type::get(view->getContext())));
    Value wide = widen(result);
    result.replaceAllUsesExcept(wide, wide.getDefiningOp());
  }
}

} // namespace

void applyBf16(ModuleOp module) {
  Policy(module).run();
  narrowAcrossCalls(module);
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal()) {
      widenAfterViews(function);
      eraseUnused(function.getBody().front());
    }
}

} // namespace ltc
