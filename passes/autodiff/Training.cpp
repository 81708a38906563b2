// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/Training.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace ltc {
namespace {

void replaceBy(Operation *op, int64_t number) {
  OpBuilder b(op);
  Type type = op->getResult(0).getType();
  Value constant = arith::ConstantOp::create(
      b, op->getLoc(), b.getIntegerAttr(type, number));
  op->getResult(0).replaceAllUsesWith(constant);
  op->erase();
}

class Evaluation {
public:
  explicit Evaluation(ModuleOp module) : module(module) {}

  /// `function` and copies of what it calls, where they differ.
  void settle(func::FuncOp function) {
    function.walk([](TrainingOp op) { replaceBy(op, 0); });
    function.walk([](RandomOp op) { replaceBy(op, INT32_MIN); });
    function.walk([&](func::CallOp call) {
      if (func::FuncOp callee = calleeOf(call); callee && differs(callee))
        call.setCallee(settled(callee).getSymName());
    });
  }

private:
  func::FuncOp calleeOf(func::CallOp call) {
    auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
    return callee && !callee.isExternal() ? callee : func::FuncOp();
  }

  bool differs(func::FuncOp function) {
    auto visit = [&](Operation *op) {
      auto call = dyn_cast<func::CallOp>(op);
      func::FuncOp callee = call ? calleeOf(call) : func::FuncOp();
      bool own = isa<TrainingOp, RandomOp>(op);
      return own || (callee && differs(callee)) ? WalkResult::interrupt()
                                                : WalkResult::advance();
    };
    return function.walk(visit).wasInterrupted();
  }

  func::FuncOp settled(func::FuncOp function) {
    std::string name = function.getSymName().str() + ".evaluate";
    if (auto known = module.lookupSymbol<func::FuncOp>(name))
      return known;
    OpBuilder b(function);
    b.setInsertionPointAfter(function);
    auto copy = cast<func::FuncOp>(b.clone(*function));
    copy.setSymName(name);
    settle(copy);
    return copy;
  }

  ModuleOp module;
};

} // namespace

void settleTraining(ModuleOp module) {
  if (auto evaluate = module.lookupSymbol<func::FuncOp>("evaluate"))
    Evaluation(module).settle(evaluate);
  module.walk([](TrainingOp op) { replaceBy(op, 1); });
}

} // namespace ltc
