// SPDX-License-Identifier: Apache-2.0
// Every kernel that a whole model becomes, one by one beside the reference.
#include "backends/cpu/target/KernelRunner.h"
#include "passes/Pipelines.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

TEST(ModelKernels, ofASmallLlamaAgreeWithTheReference) {
  KernelRunner runner;
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(
      "../../../passes/autodiff/tiny-llama.mlir", &runner.context);
  ASSERT_TRUE(module);
  ASSERT_TRUE(succeeded(runToStage(*module, "kernels")));
  int kernels = 0;
  for (KernelOp kernel : module->getOps<KernelOp>()) {
    // The reference computes weights anew; random ones are no log-sum-exp.
    if (!kernel.getBody().front().getOps<AttentionGradOp>().empty())
      continue;
    std::string text;
    llvm::raw_string_ostream stream(text);
    kernel->print(stream, mlir::OpPrintingFlags().enableDebugInfo(false));
    SCOPED_TRACE(text);
    auto inputs = runner.randomInputs(text, kernels++);
    // Sums of squares and the like are positive.
    for (auto [argument, input] : llvm::zip(
             kernel.getBody().front().getArguments(), inputs))
      if (mlir::isa<mlir::FloatType>(elementOf(argument)))
        for (double &x : input.data)
          x = float(0.75 + 0.5 * x);
    runner.checkOn(text, inputs, 1e-5);
  }
  EXPECT_GT(kernels, 10);
}

} // namespace
