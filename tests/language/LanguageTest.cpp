// SPDX-License-Identifier: Apache-2.0
// Texts that are not in the library give PyTorch's terms, logits and gradients
// (golden/make.py), from the text through differentiation and fusion, by the
// interpreter in float64. Every golden/NAME.json is a test of NAME.ltc: a model
// of that name, or losses over the library's model that the file names.
#include "frontend/graph/TestGolden.h"
#include "passes/Pipelines.h"
#include "passes/autodiff/TestChunks.h"
#include <filesystem>

using namespace ltc;
using namespace ltc::graph::test;

namespace {

// The references take norms, rotary angles and routers in float32.
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
    graph::Request ask = request(want.value("model", GetParam()), settings);
    std::ifstream text(GetParam() + ".ltc");
    ask.texts = {{GetParam() + ".ltc",
                  {std::istreambuf_iterator<char>(text), {}}}};
    askForLosses(ask, want);
    return ask;
  }
  template <typename Lower> void expectAfter(Lower lower) {
    TestProgram program(asked());
    ASSERT_TRUE(program.built.module) << program.built.said;
    fillGolden(program, want);
    ASSERT_TRUE(mlir::succeeded(lower(*program.built.module)));
    expectGradients(program, want, kClose);
  }
};

TEST_P(Language, givesPyTorchsLossAndLogits) {
  TestProgram program(asked());
  ASSERT_TRUE(program.built.module) << program.built.said;
  fillGolden(program, want);
  expectTerms(program.call("loss"), want, kClose);
  expectLogits(program, want, kClose);
}

TEST_P(Language, givesPyTorchsGradients) {
  expectAfter([](mlir::ModuleOp module) { return runToStage(module, "grad"); });
}
TEST_P(Language, givesThemWithLogitsInChunks) {
  expectAfter(differentiateInChunks);
}
TEST_P(Language, givesThemFused) {
  expectAfter(
      [](mlir::ModuleOp module) { return runToStage(module, "kernels"); });
}

INSTANTIATE_TEST_SUITE_P(Texts, Language, testing::ValuesIn(texts()),
                         [](const auto &info) { return info.param; });

} // namespace
