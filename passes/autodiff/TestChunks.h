// SPDX-License-Identifier: Apache-2.0
// For tests: differentiated with wide values in chunks of three tokens, small
// as they are.
#pragma once
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/autodiff/Passes.h"

namespace ltc {

inline mlir::LogicalResult differentiateInChunks(mlir::ModuleOp module) {
  mlir::PassManager pm(module.getContext());
  pm.addPass(mlir::createCanonicalizerPass());
  DifferentiatePassOptions options;
  options.wideBytes = 64;
  options.chunkBytes = 150; // three tokens of 11 logits
  pm.addPass(createDifferentiatePass(options));
  return pm.run(module);
}

} // namespace ltc
