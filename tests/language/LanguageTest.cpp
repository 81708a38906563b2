// SPDX-License-Identifier: Apache-2.0
// Texts that are not in the library give PyTorch's loss, logits and gradients
// (golden/make.py), from the text through differentiation and fusion, by the
// interpreter in float64. Every golden/NAME.json is a test of NAME.ltc.
#include "frontend/graph/TestProgram.h"
#include "passes/Pipelines.h"
#include <filesystem>

using namespace ltc;
using namespace ltc::graph::test;

namespace {

// The references take norms and rotary angles in float32.
constexpr double kClose = 5e-6;

std::vector<std::string> texts() {
  std::vector<std::string> names;
  for (auto &entry : std::filesystem::directory_iterator("golden"))
    if (entry.path().extension() == ".json")
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

struct Language : testing::TestWithParam<std::string> {
  nlohmann::json want;

  graph::Request asked() {
    std::ifstream file("golden/" + GetParam() + ".json");
    want = nlohmann::json::parse(file);
    Settings settings;
    for (auto &[name, value] : want["settings"].items())
      settings.push_back({name, value.dump()});
    graph::Request ask = request(GetParam(), settings);
    std::ifstream text(GetParam() + ".ltc");
    ask.texts = {{GetParam() + ".ltc",
                      {std::istreambuf_iterator<char>(text), {}}}};
    ask.losses.push_back(loss("z_loss", 0.01));
    return ask;
  }
  void start(TestProgram &program) {
    program.fill();
    program.values["loss.cross_entropy.label_smoothing"] =
        HostTensor::scalar(0);
    addBatch(program);
  }
  void expectGradients(const char *stage);
};

TEST_P(Language, givesPyTorchsLossAndLogits) {
  TestProgram program(asked());
  ASSERT_TRUE(program.built.module) << program.built.said;
  start(program);
  auto sums = program.call("loss");
  for (const char *term : {"cross_entropy", "z_loss"}) {
    double value = want.at(term);
    EXPECT_NEAR(sums[term].data.at(0), value, kClose * std::abs(value)) << term;
  }
  program.values["class position"] = HostTensor::scalar(5);
  auto logits = program.call("predict")["logits"];
  for (size_t i = 0; i < want["logits"].size(); ++i)
    EXPECT_NEAR(logits.data.at(i), want["logits"][i].get<double>(), kClose);
}

void Language::expectGradients(const char *stage) {
  TestProgram program(asked());
  ASSERT_TRUE(program.built.module) << program.built.said;
  start(program);
  ASSERT_TRUE(mlir::succeeded(runToStage(*program.built.module, stage)));
  double count = want["count"];
  for (std::string term : {"cross_entropy", "z_loss"}) {
    program.values["1/" + term] = HostTensor::scalar(1 / count);
    program.values[term] = HostTensor::scalar(0);
  }
  for (auto &[parameter, unused] : want["gradients"].items())
    program.values["d " + parameter] =
        HostTensor(program.values[parameter].shape, 0);
  auto made = program.call("accumulate");
  for (auto &[parameter, numbers] : want["gradients"].items()) {
    const HostTensor &gradient = made["d " + parameter];
    double squares = 0, weighed = 0;
    for (int64_t i = 0; i < gradient.size(); ++i) {
      squares += gradient.data[i] * gradient.data[i];
      weighed += gradient.data[i] * formula(0, i, false);
    }
    // A key's bias shifts every score of a query alike: its gradient is zero.
    double norm = numbers[0], scale = std::max(norm, 1e-3);
    EXPECT_NEAR(std::sqrt(squares), norm, kClose * scale) << parameter;
    EXPECT_NEAR(weighed, numbers[1].get<double>(), kClose * scale) << parameter;
  }
}

TEST_P(Language, givesPyTorchsGradients) { expectGradients("grad"); }
TEST_P(Language, givesThemFused) { expectGradients("kernels"); }

INSTANTIATE_TEST_SUITE_P(Texts, Language, testing::ValuesIn(texts()),
                         [](const auto &info) { return info.param; });

} // namespace
