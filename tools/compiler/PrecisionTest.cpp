// SPDX-License-Identifier: Apache-2.0
// Precision from the text to native code: bf16 near PyTorch's float32, and
// rounding points that fusion does not move by a bit.
#include "frontend/graph/TestGolden.h"
#include "passes/program/ProgramRunner.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace ltc;
using namespace ltc::graph::test;

namespace {

/// Runs a program's kernels on the CPU instead of the reference.
class NativeRunner : public ProgramRunner {
public:
  NativeRunner(mlir::ModuleOp module, const artifact::ArtifactT &program)
      : ProgramRunner(module, program), program(program) {
    const auto &bytes = program.objects.at(0)->bytes;
    file = memfd_create("kernels", 0);
    EXPECT_EQ(::write(file, bytes.data(), bytes.size()),
              ssize_t(bytes.size()));
    std::string path = "/proc/self/fd/" + std::to_string(file);
    library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_TRUE(library) << dlerror();
  }
  ~NativeRunner() override {
    dlclose(library);
    ::close(file);
  }

private:
  using Native = void (*)(void *const *, int64_t, int64_t, void *);

  void run(const artifact::CommandT &command) override {
    if (command.kind == artifact::CommandKind::fill_zero)
      return ProgramRunner::run(command);
    const artifact::KernelT &kernel = *program.kernels[command.kernel];
    auto native =
        reinterpret_cast<Native>(dlsym(library, kernel.symbol.c_str()));
    ASSERT_TRUE(native) << kernel.symbol;
    std::vector<void *> bindings;
    for (const artifact::Binding &b : command.bindings)
      bindings.push_back(address(b.buffer(), b.byte_offset()));
    std::vector<char> scratch(kernel.scratch_bytes + 64);
    auto start = reinterpret_cast<uintptr_t>(scratch.data());
    native(bindings.data(), 0, kernel.tiles,
           scratch.data() + (64 - start % 64) % 64);
  }

  const artifact::ArtifactT &program;
  void *library = nullptr;
  int file = -1;
};

/// Losses of a few steps, then every parameter.
std::vector<double> train(const graph::Request &request, bool fuse) {
  TestProgram text(request);
  if (!text.built.module)
    return {};
  text.fill();
  CompileOptions options;
  options.fuse = fuse;
  auto target = createCpuTarget();
  auto program = compileModule(*text.built.module, *target, options);
  EXPECT_TRUE(mlir::succeeded(program));
  if (failed(program))
    return {};
  const artifact::ArtifactT &table = **program;
  NativeRunner runner(*text.built.module, table);
  for (const auto &parameter : table.parameters)
    runner.write(parameter->buffer, text.values.at(parameter->name));
  for (const auto &scalar : table.scalars)
    runner.write(scalar->buffer, HostTensor::scalar(scalar->value));
  double tokens = double(request.microBatch * request.length);
  runner.write(table.wellknown->step_tokens, HostTensor::scalar(tokens));
  for (const auto &phase : table.phases)
    for (const auto &input : phase->inputs) {
      if (phase->name != "accumulate")
        continue;
      HostTensor rows = runner.read(input->buffer);
      for (int64_t i = 0; i < rows.size(); ++i)
        rows.data[i] = input->name == "mask"       ? double(i % 5 != 0)
                       : input->name == "position" ? double(i % request.length)
                       : input->name == "document" ? 0
                                                   : double(i * i % 53);
      runner.write(input->buffer, rows);
    }
  std::vector<double> seen;
  for (int step = 0; step < 3; ++step) {
    for (const auto &term : table.terms) {
      runner.write(term->inverse_count, HostTensor::scalar(1.25 / tokens));
      runner.write(term->sum, HostTensor::scalar(0));
    }
    runner.runPhase("accumulate");
    for (const auto &term : table.terms)
      seen.push_back(runner.read(term->sum).data.at(0));
    runner.runPhase("apply");
  }
  for (const auto &parameter : table.parameters)
    for (double x : runner.read(parameter->buffer).data)
      seen.push_back(x);
  return seen;
}

graph::Request small(const std::string &model, const std::string &precision) {
  Settings settings =
      model == "gpt2"
          ? Settings{{"vocab", "61"}, {"layers", "2"},     {"d", "48"},
                     {"heads", "3"},  {"positions", "40"}, {"ffn", "90"}}
          : Settings{{"vocab", "61"}, {"layers", "2"}, {"d", "48"},
                     {"heads", "4"},  {"kv", "2"},     {"k", "12"},
                     {"ffn", "90"}};
  graph::Request result = request(model, settings);
  result.length = 37;
  result.precision = precision;
  return result;
}

TEST(Precision, fusedEqualsUnfusedToTheBit) {
  for (std::string model : {"llama", "gpt2"})
    for (std::string precision : {"fp32", "bf16"}) {
      if (precision == "bf16" && !__builtin_cpu_supports("avx512bf16"))
        continue;
      SCOPED_TRACE(model + " " + precision);
      auto fused = train(small(model, precision), true);
      auto alone = train(small(model, precision), false);
      ASSERT_GT(fused.size(), 1000u);
      EXPECT_EQ(fused, alone);
      EXPECT_TRUE(std::isfinite(fused[2])) << fused[2];
    }
}

/// PyTorch's float32 numbers on the golden model, within bf16's rounding.
void expectNear(const std::string &name, graph::Request request) {
  request.precision = "bf16";
  auto want = golden("../../frontend/graph/golden/golden.json", name);
  askForLosses(request, want);
  TestProgram program(request);
  ASSERT_TRUE(program.built.module);
  fillGolden(program, want);
  ASSERT_TRUE(mlir::succeeded(runToStage(*program.built.module, "kernels")));
  auto made = accumulateGolden(program, want);
  double exact = want["terms"]["cross_entropy"][0],
         got = made["cross_entropy"].data.at(0);
  EXPECT_NEAR(got, exact, 0.01 * exact);
  EXPECT_NE(got, exact); // it was rounded at all
  for (auto &[parameter, numbers] : want["gradients"].items()) {
    double squares = 0, norm = numbers[0];
    for (double x : made["d " + parameter].data)
      squares += x * x;
    EXPECT_NEAR(std::sqrt(squares), norm, 0.05 * norm + 0.01) << parameter;
  }
}

TEST(Precision, bf16IsNearPyTorchsFloat32) {
  expectNear("llama", request("llama", tinyLlama()));
  expectNear("gpt2", request("gpt2", tinyGpt2()));
}

/// @loss of a one-line model's text in the stage "shard".
std::string shardedText(const std::string &line,
                        const std::string &precision = "bf16") {
  graph::Request ask =
      request("toy", {{"vocab", "11"}, {"d", "8"}, {"ffn", "12"}});
  ask.precision = precision;
  ask.texts = {{"toy.ltc", "model toy(vocab, d, ffn)\n"
                           "input tokens[b, t]: token, position[b, t], "
                           "document[b, t]\n"
                           "param embed[vocab, d]\n"
                           "param w[ffn, d]\n"
                           "x = embed[tokens over vocab]\n" +
                               line + "\nreturn x @ embed\n"}};
  TestProgram program(ask);
  std::string text;
  llvm::raw_string_ostream out(text);
  if (program.built.module &&
      mlir::succeeded(runToStage(*program.built.module, "shard")))
    out << *program.built.module;
  return text;
}

TEST(Precision, f32KeepsTheContractionsWrittenInIt) {
  std::string marked =
      shardedText("h = f32(x @ w)\nx = x + sum[ffn] h * w");
  std::string free = shardedText("h = x @ w\nx = x + sum[ffn] h * w");
  EXPECT_NE(marked.find("] f32 :"), std::string::npos);
  EXPECT_EQ(free.find("] f32 :"), std::string::npos);
  EXPECT_NE(free.find("bf16"), std::string::npos);
}

TEST(Precision, aCastIsNeverFolded) {
  for (const char *line : {"x = cast(x, bf16)", "x = x + 1 * cast(x, bf16)"}) {
    std::string text = shardedText(line, "fp32");
    size_t rounded = text.find("f32 to bf16");
    ASSERT_NE(rounded, std::string::npos) << text;
    EXPECT_NE(text.find("bf16 to f32", rounded), std::string::npos);
  }
}

} // namespace
