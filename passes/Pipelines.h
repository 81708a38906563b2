// SPDX-License-Identifier: Apache-2.0
// The compiler's road, stage by stage: model -> grad -> shard -> kernels ->
// program. Each stage can be printed and stopped at.
#pragma once
#include "backends/Backend.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "runtime/artifact/Artifact_generated.h"
#include <memory>
#include <string>

namespace ltc {

/// Every pass of this folder and the pipelines ltc-model-to-grad, ... for
/// ltc-opt.
void registerPipelinePasses();

struct CompileOptions {
  std::string debugDir; ///< IR after every pass, in files; "" = none
  std::string report;   ///< file of the fusion report; "-" stderr; "" = none
  bool fuse = true;     ///< false: each op a kernel of its own, the same bits
  Target *target = nullptr; ///< says what kernels need, under a memory budget
  mlir::TimingScope *timing = nullptr; ///< receives the time by pass and stage
  /// Is shown each pass manager before it runs.
  std::function<void(mlir::PassManager &)> watch;
};

/// Names of the stages that `runToStage` takes, in order. Beyond them:
/// program (printProgram), llvm and asm (listKernels).
inline constexpr const char *kStages[] = {"model", "grad", "shard", "kernels"};

/// Runs the passes up to and with `stage` on a module of stage "model".
mlir::LogicalResult runToStage(mlir::ModuleOp module, llvm::StringRef stage,
                               const CompileOptions &options = {});

/// From stage "model" to an artifact; the module is at stage "kernels" after.
/// The caller adds what only the spec knows (spec_json, host keys, hashes).
mlir::FailureOr<std::unique_ptr<artifact::ArtifactT>>
compileModule(mlir::ModuleOp module, Target &target,
              const CompileOptions &options = {});

} // namespace ltc
