// SPDX-License-Identifier: Apache-2.0
// A whole step of a small model, flattened and planned, against the
// interpreter on the module before fusion.
#include "mlir/Parser/Parser.h"
#include "passes/program/ProgramRunner.h"
#include "runtime/artifact/File.h"
#include <random>

using namespace mlir;

namespace ltc {
namespace {

constexpr const char *kModel = "../autodiff/tiny-llama.mlir";

/// w -= lr * g; step + 1. N: floats of the one group.
std::string applyText(int64_t n) {
  std::string flat = "tensor<" + std::to_string(n) + "xf32>";
  return R"(
func.func @apply(%w: FLAT {ltc.bind = {class = "parameter", group = 0 : i64}},
    %g: FLAT {ltc.bind = {class = "gradient", group = 0 : i64}},
    %m: FLAT {ltc.bind = {class = "state", name = "m", group = 0 : i64}},
    %step: tensor<i64> {ltc.bind = {class = "step"}},
    %lr: tensor<f64> {ltc.bind = {class = "scalar", key = "lr"}})
    -> (FLAT {ltc.bind = {class = "parameter", group = 0 : i64}},
        FLAT {ltc.bind = {class = "state", name = "m", group = 0 : i64}},
        tensor<i64> {ltc.bind = {class = "step"}},
        tensor<f32> {ltc.bind = {class = "output", name = "grad_norm"}},
        tensor<f64> {ltc.bind = {class = "output", name = "lr_again"}}) {
  %q = ltc.contract %g [0], %g [0] -> [] : FLAT, FLAT -> tensor<f32>
  %norm = ltc.map(%q) maps [affine_map<() -> ()>] {
  ^bb0(%a: f32):
    %r = math.sqrt %a : f32
    ltc.yield %r : f32
  } : (tensor<f32>) -> tensor<f32>
  %m2 = ltc.map(%m, %g) maps [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>] {
  ^bb0(%a: f32, %b: f32):
    %h = arith.constant 0.5 : f32
    %c = arith.mulf %a, %h : f32
    %d = arith.addf %c, %b : f32
    ltc.yield %d : f32
  } : (FLAT, FLAT) -> FLAT
  %new = ltc.map(%w, %m2, %lr, %norm) maps [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>,
      affine_map<(n) -> ()>, affine_map<(n) -> ()>] {
  ^bb0(%a: f32, %b: f32, %l: f64, %n: f32):
    %s = arith.truncf %l : f64 to f32
    %t = arith.divf %s, %n : f32
    %p = arith.mulf %b, %t : f32
    %r = arith.subf %a, %p : f32
    ltc.yield %r : f32
  } : (FLAT, FLAT, tensor<f64>, tensor<f32>) -> FLAT
  %next = ltc.map(%step) maps [affine_map<() -> ()>] {
  ^bb0(%a: i64):
    %one = arith.constant 1 : i64
    %r = arith.addi %a, %one : i64
    ltc.yield %r : i64
  } : (tensor<i64>) -> tensor<i64>
  return %new, %m2, %next, %norm, %lr : FLAT, FLAT, tensor<i64>, tensor<f32>, tensor<f64>
})";
}

std::string replaceAll(std::string text, const std::string &from,
                       const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
       at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

class ProgramTest : public ::testing::Test {
protected:
  void SetUp() override {
    context.loadDialect<LtcDialect, func::FuncDialect, arith::ArithDialect,
                        math::MathDialect>();
    module = parseSourceFile<ModuleOp>(kModel, &context);
    ASSERT_TRUE(module);
    describe();
    std::string flat = "tensor<" + std::to_string(elements) + "xf32>";
    auto apply = parseSourceString<ModuleOp>(
        replaceAll(applyText(elements), "FLAT", flat), &context);
    ASSERT_TRUE(apply);
    apply->lookupSymbol("apply")->moveBefore(module->getBody(),
                                             module->getBody()->end());
    plain = module->clone();
    ASSERT_TRUE(succeeded(runToStage(*plain, "grad")));
  }

  /// The attributes that the frontend would give.
  void describe() {
    OpBuilder b(&context);
    SmallVector<Attribute> parameters, names, scalars;
    auto text = [&](StringRef key, StringRef value) {
      return b.getNamedAttr(key, b.getStringAttr(value));
    };
    auto loss = module->lookupSymbol<func::FuncOp>("loss");
    for (BlockArgument argument : loss.getArguments()) {
      auto bind = loss.getArgAttrOfType<DictionaryAttr>(
          argument.getArgNumber(), "ltc.bind");
      if (bind.getAs<StringAttr>("class").getValue() != "parameter")
        continue;
      names.push_back(bind.get("name"));
      parameters.push_back(b.getDictionaryAttr(
          {b.getNamedAttr("name", bind.get("name")),
           b.getNamedAttr("shape", b.getI64ArrayAttr(shapeOf(argument))),
           b.getNamedAttr("group", b.getI64IntegerAttr(0))}));
      int64_t count = 1;
      for (int64_t size : shapeOf(argument))
        count *= size;
      elements += (count + 15) / 16 * 16;
    }
    for (StringRef key : {"loss.cross_entropy", "loss.z_loss", "lr"})
      scalars.push_back(b.getDictionaryAttr(
          {text("key", key), b.getNamedAttr("value", b.getF64FloatAttr(1))}));
    ModuleOp top = *module;
    top->setAttr("ltc.parameters", b.getArrayAttr(parameters));
    top->setAttr("ltc.groups", b.getArrayAttr({b.getArrayAttr(names)}));
    top->setAttr("ltc.scalars", b.getArrayAttr(scalars));
    top->setAttr("ltc.states",
                 b.getArrayAttr({b.getDictionaryAttr(
                     {text("name", "m"),
                      b.getNamedAttr("group", b.getI64IntegerAttr(0))})}));
    top->setAttr("ltc.micro_batch", b.getI64IntegerAttr(2));
    top->setAttr("ltc.length", b.getI64IntegerAttr(4));
  }

  std::unique_ptr<artifact::ArtifactT> compile() {
    ReferenceTarget target;
    auto program = compileModule(*module, target);
    return succeeded(program) ? std::move(*program) : nullptr;
  }

  HostTensor random(ArrayRef<int64_t> shape, bool integers) {
    HostTensor tensor(shape.vec());
    for (double &x : tensor.data)
      x = integers ? double(engine() % 2)
                   : double(float(engine() / 2147483648.0 - 1));
    return tensor;
  }

  /// Arguments of a phase of the plain module, from the program's buffers.
  std::vector<HostTensor> argumentsOf(StringRef phase, ProgramRunner &runner,
                                      const artifact::ArtifactT &program) {
    std::vector<HostTensor> result;
    auto function = plain->lookupSymbol<func::FuncOp>(phase);
    for (BlockArgument argument : function.getArguments()) {
      HostTensor tensor = runner.read(bufferOf(function.getArgAttr(
          argument.getArgNumber(), "ltc.bind"), program, runner));
      tensor.shape = shapeOf(argument).vec();
      result.push_back(tensor);
    }
    return result;
  }

  static uint32_t bufferOf(Attribute attr, const artifact::ArtifactT &program,
                           ProgramRunner &runner) {
    auto bind = cast<DictionaryAttr>(attr);
    auto text = [&](StringRef key) {
      auto value = bind.getAs<StringAttr>(key);
      return value ? value.getValue().str() : std::string();
    };
    std::string kind = text("class"), name = text("name");
    if (bind.get("group"))
      return runner.find(kind == "state"      ? name + " of group 0"
                         : kind == "gradient" ? "gradient of group 0"
                                              : "group 0");
    if (kind == "parameter")
      return runner.find(name);
    if (kind == "gradient")
      return runner.find("gradient of " + name);
    if (kind == "term")
      return runner.find("sum of " + name);
    if (kind == "inverse_count")
      return runner.find("1 / count of " + name);
    if (kind == "scalar")
      return runner.find(text("key"));
    if (kind == "input")
      for (const auto &phase : program.phases)
        for (const auto &input : phase->inputs)
          if (input->name == name)
            return input->buffer;
    if (kind == "output" && name == "lr_again")
      return runner.find("output:lr_again");
    return runner.find(kind == "output" ? name : kind);
  }

  /// Results of the program's phase and of the interpreter agree.
  void comparePhase(StringRef phase, ProgramRunner &runner,
                    const artifact::ArtifactT &program) {
    auto want = Interpreter(*plain).call(
        phase, argumentsOf(phase, runner, program));
    ASSERT_TRUE(succeeded(want));
    size_t zeros = runner.read(runner.find("gradient of group 0")).data.size();
    ASSERT_EQ(int64_t(zeros), elements);
    runner.runPhase(phase.str());
    auto function = plain->lookupSymbol<func::FuncOp>(phase);
    for (unsigned r = 0; r < function.getNumResults(); ++r) {
      HostTensor got = runner.read(
          bufferOf(function.getResultAttr(r, "ltc.bind"), program, runner));
      ASSERT_EQ(got.data.size(), (*want)[r].data.size());
      for (size_t i = 0; i < got.data.size(); ++i)
        ASSERT_NEAR(got.data[i], (*want)[r].data[i],
                    2e-5 * (1 + std::abs((*want)[r].data[i])))
            << phase.str() << " result " << r << " element " << i;
    }
  }

  void setBudget(uint64_t bytes) {
    OpBuilder b(&context);
    auto number = [&](StringRef name, uint64_t value) {
      return b.getNamedAttr(name, b.getI64IntegerAttr(int64_t(value)));
    };
    (*module)->setAttr("ltc.memory_budget",
                       b.getDictionaryAttr({number("bytes", bytes),
                                            number("beside", 0),
                                            number("threads", 1)}));
  }

  /// What a budget counts: resuming holds the weights twice.
  static uint64_t budgeted(const artifact::ArtifactT &program) {
    uint64_t total = 0, arenas[8] = {};
    for (const auto &arena : program.arenas)
      arenas[size_t(arena->class_)] = arena->bytes;
    for (uint64_t bytes : arenas)
      total += bytes;
    uint64_t weights = arenas[size_t(artifact::BufferClass::parameter)];
    uint64_t activations = arenas[size_t(artifact::BufferClass::activation)];
    return total - activations + std::max(activations, weights);
  }

  /// Two steps of two micro batches each, phase by phase.
  void compareSteps(const artifact::ArtifactT &program) {
    Result<void> checked = checkArtifact(program, ~uint64_t(0));
    ASSERT_TRUE(bool(checked)) << checked.error().message;
    ProgramRunner runner(*module, program);
    for (const auto &parameter : program.parameters)
      runner.write(parameter->buffer, random(parameter->shape, false));
    for (const auto &term : program.terms)
      runner.write(term->inverse_count, HostTensor::scalar(0.125));
    for (const auto &scalar : program.scalars)
      runner.write(scalar->buffer, HostTensor::scalar(0.5));
    for (int step = 0; step < 2; ++step) {
      for (int micro = 0; micro < 2; ++micro) {
        for (const auto &phase : program.phases)
          for (const auto &input : phase->inputs) {
            const artifact::BufferT &b = *program.buffers[input->buffer];
            runner.write(input->buffer, random(b.shape, true));
          }
        comparePhase("evaluate", runner, program);
        comparePhase("accumulate", runner, program);
      }
      comparePhase("apply", runner, program);
      for (double x : runner.read(runner.find("gradient of group 0")).data)
        ASSERT_EQ(x, 0);
    }
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module, plain;
  int64_t elements = 0;
  std::mt19937 engine{3};
};

TEST_F(ProgramTest, aWholeStepIsWhatTheInterpreterSays) {
  auto program = compile();
  ASSERT_TRUE(program);
  compareSteps(*program);
}

TEST_F(ProgramTest, aBudgetIsMetAndTheStepIsTheSame) {
  OwningOpRef<ModuleOp> copy = module->clone();
  setBudget(~uint64_t(0) / 4);
  auto kept = compile();
  ASSERT_TRUE(kept);
  ASSERT_EQ(kept->recompute.size(), 1u);
  EXPECT_EQ(kept->recompute[0]->recomputed, 0u);
  uint64_t budget = budgeted(*kept) - 1;
  int met = 0; // by more calls, or by a variant that keeps less
  for (; met < 8; ++met) {
    module = OwningOpRef<ModuleOp>(copy->clone());
    setBudget(budget);
    auto program = compile();
    if (!program)
      break; // below the least
    EXPECT_GE(program->recompute[0]->recomputed, 1u);
    EXPECT_LE(budgeted(*program), budget);
    EXPECT_EQ(program->memory_budget, budget);
    compareSteps(*program);
    budget = budgeted(*program) - 1;
  }
  EXPECT_GE(met, 1);
}

TEST_F(ProgramTest, aBudgetThatCannotBeMetIsRefused) {
  std::string said;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    said += diagnostic.str() + "\n";
    for (Diagnostic &note : diagnostic.getNotes())
      said += note.str() + "\n";
  });
  setBudget(100);
  EXPECT_FALSE(compile());
  EXPECT_NE(said.find("cannot be met"), std::string::npos) << said;
  EXPECT_NE(said.find("alive at the peak"), std::string::npos) << said;
  EXPECT_NE(said.find("MiB is the least"), std::string::npos) << said;
}

TEST_F(ProgramTest, sameModuleSameProgram) {
  OwningOpRef<ModuleOp> copy = module->clone();
  auto first = compile();
  module = std::move(copy);
  auto second = compile();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(printProgram(*first), printProgram(*second));
}

TEST_F(ProgramTest, kernelsDoNotGrowWithDepth) {
  auto program = compile();
  ASSERT_TRUE(program);
  std::map<std::string, int> launches;
  for (const auto &phase : program->phases)
    for (const auto &command : phase->commands)
      if (command->kind == artifact::CommandKind::launch)
        ++launches[program->kernels[command->kernel]->symbol];
  for (auto &[symbol, count] : launches)
    if (symbol.rfind("layer.forward", 0) == 0) {
      EXPECT_GE(count, 2) << symbol;
    }
}

} // namespace
} // namespace ltc
