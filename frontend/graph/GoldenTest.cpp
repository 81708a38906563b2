// SPDX-License-Identifier: Apache-2.0
// The library's texts give PyTorch's numbers (golden/make.py), by the
// interpreter in float64.
#include "frontend/graph/TestGolden.h"

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

// Agreement of float64 with transformers, which takes rotary angles and some
// norms in float32.
constexpr double kClose = 2e-6;

void expectModel(const std::string &name, Request request,
                 double smoothing = 0) {
  nlohmann::json want = golden("golden/golden.json", name);
  askForLosses(request, want);
  TestProgram program(request);
  ASSERT_TRUE(program.built.module);
  fillGolden(program, want);
  program.values["loss.cross_entropy.label_smoothing"] =
      HostTensor::scalar(smoothing);
  expectTerms(program.call("loss"), want, kClose);
  expectLogits(program, want, kClose);
}

TEST(Golden, llama) { expectModel("llama", request("llama", tinyLlama())); }

TEST(Golden, llamaWithTiedHeadAndSmoothing) {
  Settings settings = tinyLlama();
  settings.push_back({"tied", "true"});
  expectModel("smollm2", request("llama", settings), 0.1);
}

TEST(Golden, qwen2IsLlamaWithBiases) {
  Settings settings = tinyLlama();
  settings.push_back({"tied", "true"});
  settings.push_back({"qkv_bias", "true"});
  expectModel("qwen2", request("llama", settings));
}

TEST(Golden, mistralIsLlamaWithAWindow) {
  expectModel("mistral", request("llama", tinyMistral()));
}

TEST(Golden, llama3ScalesRotaryAngles) {
  expectModel("llama3", request("llama", tinyLlama3()));
  expectModel("llama_linear", request("llama", tinyLinear()));
}

TEST(Golden, gpt2) { expectModel("gpt2", request("gpt2", tinyGpt2())); }

TEST(Golden, functionsThatNoModelCalls) {
  Request ask = request("functions", {{"vocab", "11"}, {"d", "8"}, {"heads", "2"}});
  ask.texts = {{"functions.ltc", kFunctions}};
  expectModel("functions", ask);
}

// 80 elements that decay and 48 that do not.
const char *kToy = R"(
model toy(vocab, d, e)
input tokens[b, t]: token
param a[vocab, d] init normal(0.02)
param g[e]        init ones
return a[tokens over vocab] @ a
)";

void expectOptimizer(const std::string &name, TextUse optimizer,
                     TextUse schedule) {
  Request ask = request("toy", {{"vocab", "10"}, {"d", "8"}, {"e", "48"}});
  ask.texts = {{"toy.ltc", kToy}};
  ask.optimizer = optimizer;
  ask.schedule = schedule;
  ask.clip->value = 0.5;
  TestProgram program(ask);
  ASSERT_TRUE(program.built.module);
  program.fill();
  auto &values = program.values;
  values["step"] = values["tokens_seen"] = HostTensor::scalar(0);
  values["step_tokens"] = HostTensor::scalar(12);
  const int64_t sizes[] = {80, 48};
  for (int g = 0; g < 2; ++g) {
    std::string group = std::to_string(g);
    HostTensor weight({sizes[g]}), zeros({sizes[g]});
    for (int64_t i = 0; i < sizes[g]; ++i)
      weight.data[i] = formula(g, i, false);
    values["parameter" + group] = weight;
    for (const char *state : {"m", "v"})
      values[state + ("state" + group)] = zeros;
  }
  nlohmann::json want = golden("golden/golden.json", name);
  for (int step = 1; step <= int(want["rates"].size()); ++step) {
    for (int g = 0; g < 2; ++g) {
      HostTensor gradient({sizes[g]});
      for (int64_t i = 0; i < sizes[g]; ++i)
        gradient.data[i] = 0.1 * std::cos(0.9 * double(i) + g + step);
      values["gradient" + std::to_string(g)] = gradient;
    }
    auto after = program.call("apply");
    EXPECT_EQ(after["ok"].data.at(0), 1);
    EXPECT_EQ(after["step"].data.at(0), step);
    EXPECT_EQ(after["tokens_seen"].data.at(0), 12 * step);
    EXPECT_NEAR(after["grad_norm"].data.at(0),
                want["norms"][step - 1].get<double>(), kClose);
    EXPECT_NEAR(after["lr"].data.at(0), want["rates"][step - 1].get<double>(),
                1e-9);
    for (auto &[key, value] : after)
      values[key] = value;
  }
  for (int g = 0; g < 2; ++g)
    for (int64_t i = 0; i < sizes[g]; ++i)
      EXPECT_NEAR(values["parameter" + std::to_string(g)].data.at(i),
                  want["weights"][g][i].get<double>(), kClose);
}

TextUse schedule(const std::string &name) {
  Settings settings = {{"peak", "0.01"}, {"warmup", "2"}};
  if (name != "constant")
    settings.push_back({"total", "10"});
  return use(name, settings, "train.schedule");
}

TEST(Golden, adamwWithCosine) {
  expectOptimizer("adamw", use("adamw", {}, "train.o"), schedule("cosine"));
}
TEST(Golden, sgdWithMomentumAndLinear) {
  expectOptimizer("sgd", use("sgd", {{"momentum", "0.9"}, {"weight_decay", "0.1"}},
                      "train.o"),
                  schedule("linear"));
}
TEST(Golden, sgdNesterovWithConstant) {
  expectOptimizer("nesterov",
                  use("sgd", {{"momentum", "0.9"},
                              {"weight_decay", "0.1"},
                              {"nesterov", "true"}},
                      "train.o"),
                  schedule("constant"));
}
TEST(Golden, sgdPlain) {
  expectOptimizer("plain", use("sgd", {{"weight_decay", "0.1"}}, "train.o"),
                  schedule("cosine"));
}

TEST(Golden, aStepThatIsNotFiniteChangesNothing) {
  Request ask = request("toy", {{"vocab", "10"}, {"d", "8"}, {"e", "48"}});
  ask.texts = {{"toy.ltc", kToy}};
  TestProgram program(ask);
  ASSERT_TRUE(program.built.module);
  program.fill();
  auto &values = program.values;
  values["step"] = HostTensor::scalar(3);
  values["tokens_seen"] = HostTensor::scalar(36);
  values["step_tokens"] = HostTensor::scalar(12);
  for (std::string name : {"parameter", "gradient", "mstate", "vstate"}) {
    values[name + "0"] = HostTensor({80}, 0.5);
    values[name + "1"] = HostTensor({48}, 0.5);
  }
  values["gradient0"].data[7] = std::nan("");
  auto after = program.call("apply");
  EXPECT_EQ(after["ok"].data.at(0), 0);
  EXPECT_EQ(after["step"].data.at(0), 3);
  EXPECT_EQ(after["tokens_seen"].data.at(0), 36);
  for (std::string name : {"parameter", "mstate", "vstate"})
    EXPECT_EQ(after[name + "0"].data, values[name + "0"].data) << name;
}

} // namespace
