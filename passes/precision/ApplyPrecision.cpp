// SPDX-License-Identifier: Apache-2.0
#include "ir/interfaces/Working.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/precision/Bf16.h"
#include "passes/precision/Passes.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_APPLYPRECISIONPASS
#include "passes/precision/Passes.h.inc"

namespace {

/// Before any policy floats are f32, and scalars may be f64.
bool isPlain(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !isa<FloatType>(tensor.getElementType()))
    return true;
  bool scalar = tensor.getRank() == 0;
  return tensor.getElementType().isF32() ||
         (scalar && tensor.getElementType().isF64());
}

LogicalResult verifyValues(Operation *op) {
  for (Value value : op->getResults())
    if (!isPlain(value.getType()))
      return op->emitError("a model's floats are f32 before a precision "
                           "policy, but this makes ")
             << value.getType();
  return success();
}

class ApplyPrecision : public impl::ApplyPrecisionPassBase<ApplyPrecision> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto named = module->getAttrOfType<StringAttr>("ltc.precision");
    StringRef policy = named ? named.getValue() : "fp32";
    if (policy != "fp32" && policy != "bf16") {
      module.emitError("there is no precision policy ")
          << named << "; policies are fp32, bf16";
      return signalPassFailure();
    }
    auto visit = [](Operation *op) -> WalkResult {
      Working::on(op);
      return succeeded(verifyValues(op)) ? WalkResult::advance()
                                         : WalkResult::interrupt();
    };
    if (module->walk(visit).wasInterrupted())
      return signalPassFailure();
    if (policy == "bf16")
      applyBf16(module);
    module->setAttr("ltc.precision", StringAttr::get(&getContext(), policy));
  }
};

} // namespace
} // namespace ltc
