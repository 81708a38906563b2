// SPDX-License-Identifier: Apache-2.0
#include "passes/Pipelines.h"
#include "llvm/Support/FileSystem.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "passes/autodiff/Passes.h"
#include "passes/fusion/Passes.h"
#include "passes/generation/Passes.h"
#include "passes/precision/Passes.h"
#include "passes/program/Program.h"
#include "passes/recompute/Passes.h"
#include "passes/sharding/Passes.h"

using namespace mlir;

namespace ltc {
namespace {

/// Adapters rewrite uses of parameters before this; none is built yet.
void buildModelToGrad(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createDifferentiatePass());
}

void buildGradToShard(OpPassManager &pm) {
  pm.addPass(createApplyPrecisionPass());
  pm.addPass(createDeriveGenerationPass());
  pm.addPass(createShardPass());
}

void buildShardToKernels(OpPassManager &pm, const CompileOptions &options) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSplitContractionsPass()); // from here on only fusion runs
  FormKernelsPassOptions form;
  form.report = options.report;
  form.fuse = options.fuse;
  pm.addPass(createFormKernelsPass(form));
  pm.addPass(createChooseRecomputePass(options.target));
  pm.addPass(createSymbolDCEPass());
}

/// One file per pass in the debug folder: what a person reads first.
LogicalResult dumpInto(PassManager &pm, ModuleOp module,
                       const std::string &folder) {
  if (folder.empty())
    return success();
  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return module.emitError("cannot make the folder ")
           << folder << ": " << error.message();
  OpPrintingFlags flags;
  flags.enableDebugInfo(true, false);
  pm.enableIRPrintingToFileTree(
      [](Pass *, Operation *) { return false; },
      [](Pass *, Operation *) { return true; }, false, false, false, folder,
      flags);
  return success();
}

} // namespace

LogicalResult runToStage(ModuleOp module, StringRef stage,
                         const CompileOptions &options) {
  if (!llvm::is_contained(kStages, stage))
    return module.emitError("there is no stage ")
           << stage << "; stages are model, grad, shard, kernels";
  PassManager pm(module.getContext());
  if (options.timing)
    pm.enableTiming(*options.timing);
  if (failed(dumpInto(pm, module, options.debugDir)))
    return failure();
  if (options.watch)
    options.watch(pm);
  auto reached = [&](StringRef name) {
    return llvm::find(kStages, name) - kStages <=
           llvm::find(kStages, stage) - kStages;
  };
  if (reached("grad"))
    buildModelToGrad(pm);
  if (reached("shard"))
    buildGradToShard(pm);
  if (reached("kernels"))
    buildShardToKernels(pm, options);
  return pm.run(module);
}

FailureOr<std::unique_ptr<artifact::ArtifactT>>
compileModule(ModuleOp module, Target &target, const CompileOptions &options) {
  TimingScope none, &timing = options.timing ? *options.timing : none;
  CompileOptions inner = options;
  TimingScope passes = timing.nest("passes");
  inner.timing = &passes;
  inner.target = &target;
  if (failed(runToStage(module, "kernels", inner)))
    return failure();
  passes.stop();
  return buildProgram(module, target, timing);
}

void registerPipelinePasses() {
  registerFusionPasses();
  registerGenerationPasses();
  registerPrecisionPasses();
  registerRecomputePasses();
  registerShardingPasses();
  PassPipelineRegistration<>("ltc-model-to-grad", "differentiate",
                             buildModelToGrad);
  PassPipelineRegistration<>("ltc-grad-to-shard",
                             "precision, generation and sharding",
                             buildGradToShard);
  PassPipelineRegistration<>(
      "ltc-shard-to-kernels", "simplify and fuse",
      [](OpPassManager &pm) { buildShardToKernels(pm, {}); });
}

} // namespace ltc
