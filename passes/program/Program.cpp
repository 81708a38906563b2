// SPDX-License-Identifier: Apache-2.0
#include "passes/program/Program.h"

namespace ltc {

mlir::FailureOr<std::unique_ptr<artifact::ArtifactT>>
buildProgram(mlir::ModuleOp module, Target &) {
  return module.emitError("the program stage is not built yet");
}

std::string printProgram(const artifact::ArtifactT &) { return ""; }

} // namespace ltc
