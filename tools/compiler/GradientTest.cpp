// SPDX-License-Identifier: Apache-2.0
// PyTorch's gradients of the library's models (frontend/graph/golden), from
// the text through differentiation and fusion, by the interpreter.
#include "frontend/graph/TestGolden.h"
#include "passes/Pipelines.h"
#include "passes/autodiff/TestChunks.h"

using namespace ltc;
using namespace ltc::graph::test;

namespace {

// The reference takes rotary angles and some norms in float32.
constexpr double kClose = 5e-6;

enum class Stage { Grad, Chunks, Kernels };

mlir::LogicalResult lower(mlir::ModuleOp module, Stage stage) {
  if (stage != Stage::Chunks)
    return runToStage(module, stage == Stage::Grad ? "grad" : "kernels");
  return differentiateInChunks(module);
}

void expectModel(const std::string &name, graph::Request request, Stage stage,
                 double smoothing = 0) {
  SCOPED_TRACE(name);
  auto want = golden("../../frontend/graph/golden/golden.json", name);
  askForLosses(request, want);
  TestProgram program(request);
  ASSERT_TRUE(program.built.module);
  fillGolden(program, want);
  program.values["loss.cross_entropy.label_smoothing"] =
      HostTensor::scalar(smoothing);
  ASSERT_TRUE(mlir::succeeded(lower(*program.built.module, stage)));
  expectGradients(program, want, kClose);
}

void expectModels(Stage stage) {
  graph::Request llama = request("llama", tinyLlama());
  expectModel("llama", llama, stage);
  llama.model.settings.push_back({"tied", "true", specLine(9)});
  expectModel("smollm2", llama, stage, 0.1);
  llama.model.settings.push_back({"qkv_bias", "true", specLine(9)});
  expectModel("qwen2", llama, stage);
  expectModel("mistral", request("llama", tinyMistral()), stage);
  expectModel("llama3", request("llama", tinyLlama3()), stage);
  expectModel("llama_linear", request("llama", tinyLinear()), stage);
  expectModel("gpt2", request("gpt2", tinyGpt2()), stage);
  graph::Request functions = request(
      "functions", {{"vocab", "11"}, {"d", "8"}, {"heads", "2"}});
  functions.texts = {{"functions.ltc", kFunctions}};
  expectModel("functions", functions, stage);
}

TEST(Gradients, arePyTorchsAfterDifferentiation) {
  expectModels(Stage::Grad);
}
TEST(Gradients, arePyTorchsWithTheHeadInChunks) {
  expectModels(Stage::Chunks);
}
TEST(Gradients, arePyTorchsAfterFusion) { expectModels(Stage::Kernels); }

} // namespace
