// SPDX-License-Identifier: Apache-2.0
#include "passes/recompute/Passes.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_CHOOSERECOMPUTEPASS
#include "passes/recompute/Passes.h.inc"

namespace {

class ChooseRecompute : public impl::ChooseRecomputePassBase<ChooseRecompute> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto choice = module->getAttrOfType<StringAttr>("ltc.recompute");
    if (choice && choice.getValue() != "keep") {
      module.emitError("recompute ")
          << choice << " is not built yet; use recompute: keep";
      return signalPassFailure();
    }
    module->setAttr("ltc.recompute", StringAttr::get(&getContext(), "keep"));
  }
};

} // namespace
} // namespace ltc
