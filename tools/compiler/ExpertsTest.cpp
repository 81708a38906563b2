// SPDX-License-Identifier: Apache-2.0
// Mixtral beside transformers (frontend/graph/golden/make_experts.py): logits,
// terms and every gradient, before and after fusion.
#include "frontend/graph/TestGolden.h"
#include "passes/Pipelines.h"

using namespace ltc;
using namespace ltc::graph::test;

namespace {

// The reference takes the router's softmax and rotary angles in float32.
constexpr double kClose = 5e-6;

const Settings kSmall = {{"vocab", "11"}, {"layers", "2"}, {"d", "8"},
                         {"heads", "4"},  {"ffn", "12"},   {"experts", "8"},
                         {"top", "2"}};

graph::Request moeLlama() {
  Settings settings = kSmall;
  settings.push_back({"kv", "2"});
  settings.push_back({"k", "4"});
  return request("moe_llama", settings);
}

void expectMixtral(const char *stage) {
  SCOPED_TRACE(stage);
  auto want = golden("../../frontend/graph/golden/experts.json", "moe_llama");
  graph::Request ask = moeLlama();
  askForLosses(ask, want);
  TestProgram program(ask);
  ASSERT_TRUE(program.built.module);
  fillGolden(program, want);
  ASSERT_TRUE(mlir::succeeded(runToStage(*program.built.module, stage)));
  expectLogits(program, want, kClose);
  expectGradients(program, want, kClose);
}

TEST(Experts, ofMixtralAreTransformers) {
  expectMixtral("grad");
  expectMixtral("kernels");
}

TEST(Experts, ofTheModelAreNoTermsOfAnEvaluation) {
  graph::Request ask = moeLlama();
  ask.losses.push_back(loss("balance", 0.02));
  TestProgram program(ask);
  ASSERT_TRUE(program.built.module);
  ASSERT_TRUE(mlir::succeeded(runToStage(*program.built.module, "grad")));
  auto evaluate =
      program.built.module->lookupSymbol<mlir::func::FuncOp>("evaluate");
  ASSERT_EQ(evaluate.getNumResults(), 1u);
  auto bind =
      evaluate.getResultAttrOfType<mlir::DictionaryAttr>(0, "ltc.bind");
  EXPECT_EQ(TestProgram::nameOf(bind), "cross_entropy");
}

} // namespace
