// SPDX-License-Identifier: Apache-2.0
#include "passes/sharding/Passes.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_SHARDPASS
#include "passes/sharding/Passes.h.inc"

namespace {

class Shard : public impl::ShardPassBase<Shard> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto mesh = module->getAttrOfType<DenseI64ArrayAttr>("ltc.mesh");
    bool single = !mesh || llvm::all_of(mesh.asArrayRef(),
                                        [](int64_t n) { return n == 1; });
    if (!single) {
      module.emitError("a mesh of ")
          << mesh << " devices is not built yet; train on one device";
      return signalPassFailure();
    }
    module->setAttr("ltc.mesh", DenseI64ArrayAttr::get(&getContext(), {1, 1}));
  }
};

} // namespace
} // namespace ltc
