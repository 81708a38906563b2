// SPDX-License-Identifier: Apache-2.0
// PyTorch's gradients of the library's models (frontend/graph/golden), from
// the text through differentiation and fusion, by the interpreter.
#include "frontend/graph/TestProgram.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/Pipelines.h"
#include "passes/autodiff/Passes.h"

using namespace ltc;
using namespace ltc::graph::test;

namespace {

// The reference takes rotary angles and some norms in float32.
constexpr double kClose = 5e-6;

enum class Stage { Grad, Chunks, Kernels };

mlir::LogicalResult lower(mlir::ModuleOp module, Stage stage) {
  if (stage != Stage::Chunks)
    return runToStage(module, stage == Stage::Grad ? "grad" : "kernels");
  mlir::PassManager pm(module.getContext());
  pm.addPass(mlir::createCanonicalizerPass());
  DifferentiatePassOptions options;
  options.wideBytes = 64;
  options.chunkBytes = 150; // three tokens of 11 logits
  pm.addPass(createDifferentiatePass(options));
  return pm.run(module);
}

void expectGradients(const std::string &name, const graph::Request &base,
                     Stage stage, double smoothing = 0) {
  graph::Request request = base;
  request.losses.push_back(loss("z_loss", 0.01));
  TestProgram program(request);
  ASSERT_TRUE(program.built.module);
  program.fill();
  program.values["loss.cross_entropy.label_smoothing"] =
      HostTensor::scalar(smoothing);
  addBatch(program);
  ASSERT_TRUE(mlir::succeeded(lower(*program.built.module, stage)));
  auto want = golden("../../frontend/graph/golden/golden.json", name);
  double count = want["count"];
  for (std::string term : {"cross_entropy", "z_loss"}) {
    program.values["1/" + term] = HostTensor::scalar(1 / count);
    program.values[term] = HostTensor::scalar(0);
  }
  for (auto &[parameter, unused] : want["gradients"].items())
    program.values["d " + parameter] =
        HostTensor(program.values[parameter].shape, 0);
  auto made = program.call("accumulate");
  EXPECT_NEAR(made["cross_entropy"].data.at(0),
              want["cross_entropy"].get<double>(), 1e-4);
  for (auto &[parameter, numbers] : want["gradients"].items()) {
    const HostTensor &gradient = made["d " + parameter];
    double squares = 0, weighed = 0;
    for (int64_t i = 0; i < gradient.size(); ++i) {
      squares += gradient.data[i] * gradient.data[i];
      weighed += gradient.data[i] * formula(0, i, false);
    }
    double norm = numbers[0];
    // A key's bias shifts every score of a query alike: its gradient is zero.
    double scale = std::max(norm, 1e-3);
    EXPECT_NEAR(std::sqrt(squares), norm, kClose * scale) << parameter;
    EXPECT_NEAR(weighed, numbers[1].get<double>(), kClose * scale) << parameter;
  }
}

void expectGradients(Stage stage) {
  graph::Request llama = request("llama", tinyLlama());
  expectGradients("llama", llama, stage);
  llama.model.settings.push_back({"tied", "true", specLine(9)});
  expectGradients("smollm2", llama, stage, 0.1);
  llama.model.settings.push_back({"qkv_bias", "true", specLine(9)});
  expectGradients("qwen2", llama, stage);
  expectGradients("mistral", request("llama", tinyMistral()), stage);
  expectGradients("llama3", request("llama", tinyLlama3()), stage);
  expectGradients("llama_linear", request("llama", tinyLinear()), stage);
  expectGradients("gpt2", request("gpt2", tinyGpt2()), stage);
  graph::Request functions = request(
      "functions", {{"vocab", "11"}, {"d", "8"}, {"heads", "2"}});
  functions.texts = {{"functions.ltc", kFunctions}};
  expectGradients("functions", functions, stage);
}

TEST(Gradients, arePyTorchsAfterDifferentiation) {
  expectGradients(Stage::Grad);
}
TEST(Gradients, arePyTorchsWithTheHeadInChunks) {
  expectGradients(Stage::Chunks);
}
TEST(Gradients, arePyTorchsAfterFusion) { expectGradients(Stage::Kernels); }

} // namespace
