// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts beside PyTorch (frontend/graph/golden/make_experts.py):
// logits, terms and every gradient, before and after fusion.
#include "frontend/graph/TestProgram.h"
#include "passes/Pipelines.h"
#include <sstream>

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

graph::Request sharedExperts() {
  graph::Request ask = request("shared_experts", kSmall);
  std::ifstream in("../../tests/language/shared_experts.ltc");
  std::stringstream text;
  text << in.rdbuf();
  ask.texts = {{"shared_experts.ltc", text.str()}};
  return ask;
}

/// The golden numbers' terms, weighed as they were.
void expectGradients(const std::string &name, graph::Request ask,
                     const char *stage) {
  SCOPED_TRACE(name + " " + stage);
  auto want = golden("../../frontend/graph/golden/experts.json", name);
  ask.losses.clear();
  for (auto &[term, weight] : want["weights"].items())
    ask.losses.push_back(loss(term, weight));
  TestProgram program(ask);
  ASSERT_TRUE(program.built.module);
  program.fill();
  addBatch(program);
  ASSERT_TRUE(mlir::succeeded(runToStage(*program.built.module, stage)));
  for (auto &[term, value] : want["terms"].items()) {
    program.values["1/" + term] = HostTensor::scalar(1 / value[1].get<double>());
    program.values[term] = HostTensor::scalar(0);
  }
  for (auto &[parameter, unused] : want["gradients"].items()) {
    ASSERT_TRUE(program.values.count(parameter)) << parameter;
    program.values["d " + parameter] =
        HostTensor(program.values[parameter].shape, 0);
  }
  program.values["class position"] = HostTensor::scalar(5);
  auto logits = program.call("predict")["logits"];
  for (size_t i = 0; i < want["logits"].size(); ++i)
    EXPECT_NEAR(logits.data.at(i), want["logits"][i].get<double>(), kClose);
  auto made = program.call("accumulate");
  for (auto &[term, value] : want["terms"].items())
    EXPECT_NEAR(made[term].data.at(0), value[0].get<double>(),
                kClose * std::abs(value[0].get<double>()))
        << term;
  for (auto &[parameter, numbers] : want["gradients"].items()) {
    const HostTensor &gradient = made["d " + parameter];
    ASSERT_GT(gradient.size(), 0) << parameter;
    double squares = 0, weighed = 0, norm = numbers[0];
    for (int64_t i = 0; i < gradient.size(); ++i) {
      squares += gradient.data[i] * gradient.data[i];
      weighed += gradient.data[i] * formula(0, i, false);
    }
    double scale = std::max(norm, 1e-3);
    EXPECT_NEAR(std::sqrt(squares), norm, kClose * scale) << parameter;
    EXPECT_NEAR(weighed, numbers[1].get<double>(), kClose * scale) << parameter;
  }
}

TEST(Experts, ofMixtralAreTransformers) {
  expectGradients("moe_llama", moeLlama(), "grad");
  expectGradients("moe_llama", moeLlama(), "kernels");
}

TEST(Experts, withASharedOneArePyTorchs) {
  expectGradients("shared_experts", sharedExperts(), "grad");
  expectGradients("shared_experts", sharedExperts(), "kernels");
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
