// SPDX-License-Identifier: Apache-2.0
// Optimizers behind the frontend: @apply and @enter_evaluation fused, laid out
// and flattened are what the interpreter says of the text; their kernels,
// compiled, are what it says of each.
#include "backends/cpu/target/KernelRunner.h"
#include "frontend/graph/TestRequest.h"
#include "passes/program/ProgramRunner.h"
#include "runtime/artifact/File.h"
#include <random>
#include <set>

using namespace mlir;

namespace ltc {
namespace {

constexpr const char *kOptimizers[] = {"adamw", "lion", "adafactor", "muon",
                                       "schedule_free_adamw"};

graph::Request ask(const std::string &optimizer, const char *layers = "2") {
  graph::test::Settings settings = graph::test::tinyLlama();
  settings[1].second = layers;
  graph::Request request = graph::test::request("llama", settings);
  request.optimizer = graph::test::use(optimizer, {}, "train.optimizer");
  return request;
}

/// Experts are file by file: 8 tensors of (12, 8) for each of three weights.
graph::Request askExperts(const std::string &optimizer) {
  graph::Request request = graph::test::request(
      "moe_llama", {{"vocab", "11"}, {"layers", "2"}, {"d", "8"},
                    {"heads", "4"}, {"kv", "2"}, {"k", "4"}, {"ffn", "12"},
                    {"experts", "8"}, {"top", "2"}});
  request.optimizer = graph::test::use(optimizer, {}, "train.optimizer");
  return request;
}

/// The name of the buffer that an argument or result is bound to.
std::string bufferOf(DictionaryAttr bind) {
  auto text = [&](StringRef key) {
    auto value = bind.getAs<StringAttr>(key);
    return value ? value.getValue().str() : std::string();
  };
  std::string kind = text("class"), name = text("name");
  std::string of = text("parameter");
  if (auto group = bind.getAs<IntegerAttr>("group"))
    of = "group " + std::to_string(group.getInt());
  if (kind == "parameter")
    return name.empty() ? of : name;
  if (kind == "gradient" || kind == "evaluation")
    return "gradient of " + (name.empty() ? of : name);
  if (kind == "state")
    return name + " of " + of;
  if (kind == "scalar")
    return text("key");
  return kind == "output" ? name : kind;
}

/// Runs a phase of the program and, on the same numbers, the plain function.
void comparePhase(ModuleOp plain, StringRef phase, ProgramRunner &runner) {
  auto function = plain.lookupSymbol<func::FuncOp>(phase);
  std::vector<HostTensor> arguments;
  for (BlockArgument argument : function.getArguments()) {
    auto bind = function.getArgAttrOfType<DictionaryAttr>(
        argument.getArgNumber(), "ltc.bind");
    arguments.push_back(runner.read(runner.find(bufferOf(bind))));
    arguments.back().shape = shapeOf(argument).vec();
  }
  auto want = Interpreter(plain).call(phase, arguments);
  ASSERT_TRUE(succeeded(want));
  runner.runPhase(phase.str());
  for (unsigned r = 0; r < function.getNumResults(); ++r) {
    std::string name = bufferOf(
        function.getResultAttrOfType<DictionaryAttr>(r, "ltc.bind"));
    HostTensor got = runner.read(runner.find(name));
    ASSERT_EQ(got.data.size(), (*want)[r].data.size()) << name;
    for (size_t i = 0; i < got.data.size(); ++i)
      ASSERT_NEAR(got.data[i], (*want)[r].data[i],
                  1e-4 * (1 + std::abs((*want)[r].data[i])))
          << name << " element " << i;
  }
}

void expectProgram(const graph::Request &request) {
  SCOPED_TRACE(request.model.name + ", " + request.optimizer.name);
  graph::test::Built built(request);
  ASSERT_TRUE(built.module) << built.said;
  OwningOpRef<ModuleOp> plain = built.module->clone();
  ReferenceTarget target;
  auto program = compileModule(*built.module, target);
  ASSERT_TRUE(succeeded(program));
  Result<void> checked = checkArtifact(**program, ~uint64_t(0));
  ASSERT_TRUE(bool(checked)) << checked.error().message;
  ProgramRunner runner(*built.module, **program);
  std::mt19937 engine(3);
  auto random = [&](const std::vector<int64_t> &shape) {
    HostTensor tensor(shape);
    for (double &x : tensor.data)
      x = double(float(engine() / 2147483648.0 - 1));
    return tensor;
  };
  for (const auto &scalar : (*program)->scalars)
    runner.write(scalar->buffer, HostTensor::scalar(scalar->value));
  for (const auto &parameter : (*program)->parameters)
    runner.write(parameter->buffer, random(parameter->shape));
  for (int step = 0; step < 3; ++step) {
    for (const auto &parameter : (*program)->parameters)
      runner.write(uint32_t(parameter->gradient), random(parameter->shape));
    comparePhase(*plain, "apply", runner);
    ASSERT_EQ(runner.read(runner.find("step")).data[0], step + 1);
  }
  if (!plain->lookupSymbol("enter_evaluation"))
    return;
  comparePhase(*plain, "enter_evaluation", runner);
  runner.runPhase("leave_evaluation");
  for (const auto &parameter : (*program)->parameters) {
    EXPECT_EQ(parameter->evaluation, parameter->gradient);
    for (double x : runner.read(uint32_t(parameter->gradient)).data)
      ASSERT_EQ(x, 0);
  }
}

TEST(OptimizerProgram, isWhatTheInterpreterSaysOfTheText) {
  for (const char *name : kOptimizers)
    expectProgram(ask(name));
}

TEST(OptimizerProgram, takesExpertsAsABatchOfMatrices) {
  for (const char *name : {"adafactor", "muon"})
    expectProgram(askExperts(name));
  graph::test::Built built(askExperts("adafactor"));
  ReferenceTarget target;
  auto program = compileModule(*built.module, target);
  ASSERT_TRUE(succeeded(program));
  int found = 0;
  for (const auto &parameter : (*program)->parameters)
    for (const auto &state : parameter->states)
      if (parameter->name.find(".experts.7.w1") != std::string::npos &&
          state->name == "row" && ++found)
        EXPECT_EQ((*program)->buffers[state->buffer]->shape,
                  std::vector<int64_t>{12});
  EXPECT_EQ(found, 2); // one a layer
}

/// Kernels that update or evaluate weights, as text.
std::set<std::string> kernelsOf(ModuleOp module) {
  std::set<std::string> texts;
  for (KernelOp kernel : module.getOps<KernelOp>()) {
    StringRef name = kernel.getSymName();
    if (!name.contains("apply") && !name.contains("optimizer") &&
        !name.contains("evaluation"))
      continue;
    std::string text;
    llvm::raw_string_ostream(text) << *kernel.getOperation();
    texts.insert(text);
  }
  return texts;
}

TEST(OptimizerKernels, compiledAgreeWithTheReference) {
  for (const char *name : kOptimizers) {
    SCOPED_TRACE(name);
    graph::test::Built built(ask(name));
    ASSERT_TRUE(built.module) << built.said;
    ASSERT_TRUE(succeeded(runToStage(*built.module, "kernels")));
    cpu::KernelRunner runner;
    int kernels = 0;
    for (const std::string &text : kernelsOf(*built.module)) {
      // Squares are positive, decays below one.
      auto inputs = runner.randomInputs(text, ++kernels);
      for (HostTensor &input : inputs)
        for (double &x : input.data)
          x = x == std::floor(x) ? x : float(0.5 + 0.25 * x);
      runner.checkOn(text, inputs, 1e-5);
    }
    EXPECT_GT(kernels, 2);
  }
}

TEST(OptimizerKernels, doNotGrowWithDepth) {
  for (const char *name : kOptimizers) {
    auto count = [&](const char *layers) {
      graph::test::Built built(ask(name, layers));
      EXPECT_TRUE(built.module) << built.said;
      EXPECT_TRUE(succeeded(runToStage(*built.module, "kernels")));
      return kernelsOf(*built.module).size();
    };
    EXPECT_EQ(count("2"), count("6")) << name;
  }
}

} // namespace
} // namespace ltc
