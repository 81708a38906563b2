// SPDX-License-Identifier: Apache-2.0
#include "passes/precision/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_APPLYPRECISIONPASS
#include "passes/precision/Passes.h.inc"

namespace {

bool isFp32(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !isa<FloatType>(tensor.getElementType()))
    return true;
  bool scalar = tensor.getRank() == 0;
  return tensor.getElementType().isF32() ||
         (scalar && tensor.getElementType().isF64());
}

LogicalResult verifyValues(Operation *op) {
  for (Value value : op->getResults())
    if (!isFp32(value.getType()))
      return op->emitError("policy fp32 keeps floats as f32, but this makes ")
             << value.getType() << "; another policy is not built yet";
  return success();
}

class ApplyPrecision : public impl::ApplyPrecisionPassBase<ApplyPrecision> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto policy = module->getAttrOfType<StringAttr>("ltc.precision");
    if (policy && policy.getValue() != "fp32") {
      module.emitError("precision ")
          << policy << " is not built yet; use precision: fp32";
      return signalPassFailure();
    }
    auto visit = [](Operation *op) -> WalkResult {
      return succeeded(verifyValues(op)) ? WalkResult::advance()
                                         : WalkResult::interrupt();
    };
    if (module->walk(visit).wasInterrupted())
      return signalPassFailure();
    module->setAttr("ltc.precision", StringAttr::get(&getContext(), "fp32"));
  }
};

} // namespace
} // namespace ltc
