// SPDX-License-Identifier: Apache-2.0
// What the vendors' assemblers make of the kernels of whole models: nothing
// spills, loads are vectors, sums go through shuffles and shared memory.
#include "backends/cuda/target/Ptxas.h"
#include "frontend/graph/TestProgram.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "passes/Pipelines.h"
#include "passes/program/Program.h"
#include "tools/compiler/Targets.h"
#include <set>

using namespace ltc;
using namespace ltc::graph::test;

namespace {

graph::Request modelOf(const std::string &architecture) {
  Settings settings = {{"vocab", "32000"}, {"layers", "2"}, {"d", "1024"},
                       {"heads", "16"},    {"kv", "8"},     {"k", "64"},
                       {"ffn", "2816"}};
  if (architecture == "gpt2")
    settings = {{"vocab", "50257"}, {"layers", "2"},      {"d", "768"},
                {"heads", "12"},    {"positions", "512"}, {"ffn", "3072"}};
  if (architecture == "moe_llama")
    settings.insert(settings.end(), {{"experts", "8"}, {"top", "2"}});
  graph::Request model = request(architecture, settings);
  model.microBatch = 4;
  model.length = 512;
  return model;
}

using Use = llvm::function_ref<void(mlir::ModuleOp, Target &)>;

/// Shows `use` the model and the target; no diagnostic may come of it.
void withModel(const std::string &name, const std::string &architecture,
               Use use) {
  std::string problem;
  auto target = createTarget(name, problem);
  EXPECT_TRUE(target) << problem;
  TestProgram text(modelOf(architecture));
  if (!target || !text.built.module)
    return;
  mlir::ScopedDiagnosticHandler handler(
      &text.built.context, [&](mlir::Diagnostic &diagnostic) {
        ADD_FAILURE() << Built::line(diagnostic);
        return mlir::success();
      });
  use(*text.built.module, *target);
}

std::unique_ptr<artifact::ArtifactT>
compileFor(const std::string &name, const std::string &architecture) {
  std::unique_ptr<artifact::ArtifactT> table;
  withModel(name, architecture, [&](mlir::ModuleOp module, Target &target) {
    auto program = compileModule(module, target);
    if (succeeded(program))
      table = std::move(*program);
  });
  return table;
}

std::string assemblyFor(const std::string &name,
                        const std::string &architecture) {
  std::string text;
  withModel(name, architecture, [&](mlir::ModuleOp module, Target &target) {
    if (failed(runToStage(module, "kernels")))
      return;
    auto listed = listKernels(module, target, Target::Listing::assembly);
    if (succeeded(listed))
      text = std::move(listed->text);
  });
  return text;
}

/// Everything but these forms has code that does not spill; what has none says
/// so.
void checkKernels(const artifact::ArtifactT &table) {
  const std::set<std::string> later = {"contract", "attention"};
  int made = 0;
  for (const auto &kernel : table.kernels) {
    EXPECT_EQ(!kernel->missing.empty(), later.count(kernel->form) == 1)
        << kernel->symbol << ": " << kernel->missing;
    if (!kernel->missing.empty())
      continue;
    ++made;
    EXPECT_GT(kernel->registers, 0) << kernel->symbol;
    EXPECT_EQ(kernel->spill_bytes, 0u) << kernel->symbol;
    EXPECT_GT(kernel->threads, 0) << kernel->symbol;
  }
  EXPECT_GT(made, 10);
}

bool reduces(const artifact::KernelT &kernel) {
  return kernel.shared_bytes > 0;
}

std::string disassemble(const artifact::ArtifactT &table) {
  llvm::SmallString<128> input, output;
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("gpu", "hsaco", input));
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("gpu", "txt", output));
  llvm::FileRemover removeInput(input), removeOutput(output);
  {
    std::error_code error;
    llvm::raw_fd_ostream stream(input, error);
    const auto &bytes = table.objects.at(0)->bytes;
    stream.write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  }
  std::optional<llvm::StringRef> redirects[] = {
      std::nullopt, llvm::StringRef(output), std::nullopt};
  EXPECT_EQ(0, llvm::sys::ExecuteAndWait(
                   LTC_OBJDUMP, {LTC_OBJDUMP, "-d", "--mcpu=gfx942", input},
                   std::nullopt, redirects));
  auto text = llvm::MemoryBuffer::getFile(output);
  return text ? (*text)->getBuffer().str() : "";
}

class Models : public testing::TestWithParam<const char *> {};

TEST_P(Models, areCubinsWithoutSpills) {
  std::string problem;
  if (cuda::findPtxas(problem).empty())
    GTEST_SKIP() << problem;
  auto table = compileFor("cuda:sm_90", GetParam());
  ASSERT_TRUE(table);
  checkKernels(*table);
  EXPECT_EQ(table->objects.at(0)->target, "cuda");
  EXPECT_EQ(table->objects.at(0)->feature_level, "sm_90");
}

TEST_P(Models, areWideInPtx) {
  std::string ptx = assemblyFor("cuda:sm_90", GetParam());
  EXPECT_EQ(ptx.find(".local"), std::string::npos);
  for (const char *what :
       {"ld.global.v4.b32", "st.global.v4.b32", "shfl.sync.bfly.b32",
        "bar.sync", "ld.shared.b32", "st.shared.b32"})
    EXPECT_NE(ptx.find(what), std::string::npos) << what;
  // What is summed in a product is so by our order alone.
  for (const char *what : {"mad.f32", "fma.approx", "ex2.approx", "div.approx",
                           "sqrt.approx"})
    EXPECT_EQ(ptx.find(what), std::string::npos) << what;
}

TEST_P(Models, areCodeObjectsWithoutSpills) {
  auto table = compileFor("hip:gfx942", GetParam());
  ASSERT_TRUE(table);
  checkKernels(*table);
  EXPECT_EQ(table->objects.at(0)->target, "hip");
  EXPECT_EQ(table->objects.at(0)->feature_level, "gfx942");
  std::string text = disassemble(*table);
  for (const char *what : {"global_load_dwordx4", "global_store_dwordx4",
                           "ds_swizzle_b32", "ds_write_b32", "ds_read_b32",
                           "s_barrier"})
    EXPECT_NE(text.find(what), std::string::npos) << what;
  EXPECT_EQ(text.find("scratch_"), std::string::npos);
  EXPECT_EQ(text.find("s_swappc"), std::string::npos); // no calls
  int reductions = 0;
  for (const auto &kernel : table->kernels)
    reductions += reduces(*kernel);
  EXPECT_GT(reductions, 4);
}

INSTANTIATE_TEST_SUITE_P(Gpu, Models,
                         testing::Values("llama", "gpt2", "moe_llama"));

TEST(Targets, areRefusedByName) {
  for (const char *name : {"cuda", "cuda:gfx942", "cuda:sm_1", "hip:sm_90",
                           "hip:gfx1100", "tpu", ""}) {
    std::string problem;
    EXPECT_FALSE(createTarget(name, problem)) << name;
    EXPECT_NE(problem, "") << name;
  }
}

TEST(Ptxas, isReadLineByLine) {
  auto uses = cuda::parsePtxas(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'one' for 'sm_90'\n"
      "ptxas info    : Function properties for one\n"
      "    8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads\n"
      "ptxas info    : Used 40 registers, used 1 barriers, 8 bytes cumulative "
      "stack size, 512 bytes smem\n"
      "ptxas info    : Compiling entry function 'two' for 'sm_90'\n"
      "ptxas info    : Used 7 registers, used 0 barriers\n");
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0].symbol, "one");
  EXPECT_EQ(uses[0].registers, 40);
  EXPECT_EQ(uses[0].spillBytes, 16u);
  EXPECT_EQ(uses[0].sharedBytes, 512u);
  EXPECT_EQ(uses[1].registers, 7);
  EXPECT_EQ(uses[1].spillBytes, 0u);
}

} // namespace
