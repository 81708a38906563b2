// SPDX-License-Identifier: Apache-2.0
// A small llama through ltc-differentiate, whole functions against finite
// differences; with the head whole and in chunks of tokens.
#include "passes/autodiff/GradientHarness.h"
#include <fstream>
#include <sstream>

using namespace ltc;
using namespace ltc::test;

namespace {
struct TinyLlama : testing::Test {
  Harness h;
  void SetUp() override {
    std::ifstream file("tiny-llama.mlir");
    std::stringstream text;
    text << file.rdbuf();
    h.weights = {{"loss.cross_entropy", 0.9}, {"loss.z_loss", 0.05}};
    h.inverse = {{"ce", 0.125}, {"z", 0.125}};
    h.inputs["tokens"] =
        HostTensor({2, 4}, std::vector<double>{1, 4, 2, 5, 0, 3, 3, 6});
    h.inputs["labels"] =
        HostTensor({2, 4}, std::vector<double>{4, 2, 5, 1, 3, 3, 6, 0});
    h.inputs["document"] =
        HostTensor({2, 4}, std::vector<double>{0, 0, 0, 1, 0, 1, 1, 1});
    h.inputs["mask"] =
        HostTensor({2, 4}, std::vector<double>{1, 1, 0, 1, 1, 0, 1, 1});
    ASSERT_TRUE(h.parse(text.str()));
    h.fill(-0.8, 0.8);
  }
  /// Sums and gradients are what they should be, on top of `start`.
  void check(const std::string &options) {
    Tensors expected = h.differences();
    auto f = h.module->lookupSymbol<mlir::func::FuncOp>("loss");
    auto sums = Interpreter(*h.module).call("loss", h.arguments(f, 0));
    ASSERT_TRUE(succeeded(sums));
    ASSERT_TRUE(h.differentiate(options));
    double start = 2;
    for (const char *phase : {"accumulate", "evaluate"}) {
      Tensors got = h.run(phase, start);
      EXPECT_NEAR(got["term ce"].data[0], (*sums)[0].data[0] + start, 1e-9);
      EXPECT_NEAR(got["term z"].data[0], (*sums)[1].data[0] + start, 1e-9);
    }
    h.compare(expected, h.run("accumulate", start), 1e-6, start);
  }
  bool has(const char *name) {
    return h.module->lookupSymbol(name) != nullptr;
  }
};

TEST_F(TinyLlama, gradientsWithTheHeadWhole) {
  check("");
  EXPECT_TRUE(has("layer.forward") && has("layer.backward") && has("layer"));
  EXPECT_FALSE(has("head.chunk"));
}

TEST_F(TinyLlama, gradientsWithTheHeadInChunksOfHalfASequence) {
  check("wide-bytes=64 chunk-bytes=56"); // 7 logits of 4 bytes, 2 tokens
  EXPECT_TRUE(has("head.chunk") && has("head.value"));
  EXPECT_FALSE(has("head"));
}

TEST_F(TinyLlama, gradientsWithTheHeadInChunksOfRows) {
  check("wide-bytes=64 chunk-bytes=112"); // one row of 4 tokens
  EXPECT_TRUE(has("head.chunk"));
}

// A factor per row of the batch is read in every chunk of that row.
TEST(WideValue, gradientOfWhatVariesAlongOneTokenDimensionAddsUp) {
  Harness h;
  h.weights["w"] = 0.5, h.inverse["t"] = 0.25;
  ASSERT_TRUE(h.parse(lossOf(
      {{"x", "2x4x4xf32"}, {"w", "8x4xf32"}, {"r", "2xf32"}},
      R"(%h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
         %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] :
           tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
         %q = ltc.map(%y, %r) maps [affine_map<(b, t, v) -> (b, t, v)>,
                                    affine_map<(b, t, v) -> (b)>] {
         ^bb0(%i: f32, %j: f32):
           %k = arith.mulf %i, %j : f32
           %l = math.tanh %k : f32
           ltc.yield %l : f32
         } : (tensor<2x4x8xf32>, tensor<2xf32>) -> tensor<2x4x8xf32>
         %out = ltc.reduce sum %q over [2] :
           tensor<2x4x8xf32> -> tensor<2x4xf32>)",
      "2x4xf32", 2)));
  h.fill(-0.8, 0.8);
  h.check("wide-bytes=64 chunk-bytes=64"); // two tokens
  EXPECT_TRUE(h.module->lookupSymbol("head.chunk"));
}

// One parameter for both calls and outside of them; a block's own term; an
// output that is not read; a block inside of a block.
TEST(Blocks, sharedParametersTermsAndUnreadOutputs) {
  Harness h;
  h.weights = {{"w", 0.5}, {"v", 0.3}};
  h.inverse = {{"t", 0.25}, {"balance", 2}};
  ASSERT_TRUE(h.parse(R"(
    module attributes {ltc.terms = [
      {name = "t", count_input = "", weight_key = "w"},
      {name = "balance", count_input = "", weight_key = "v"}]} {
    func.func private @inner(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
      %y = ltc.map(%x) maps [affine_map<(i, j) -> (i, j)>] {
      ^bb0(%a: f32):
        %r = math.tanh %a : f32
        ltc.yield %r : f32
      } : (tensor<3x4xf32>) -> tensor<3x4xf32>
      return %y : tensor<3x4xf32>
    }
    func.func private @block(%x: tensor<3x4xf32>, %w: tensor<4x4xf32>)
        -> (tensor<3x4xf32>, tensor<f32>, tensor<3xf32>) {
      %h = func.call @inner(%x) : (tensor<3x4xf32>) -> tensor<3x4xf32>
      %y = ltc.contract %h [0, 1], %w [2, 1] -> [0, 2]
        : tensor<3x4xf32>, tensor<4x4xf32> -> tensor<3x4xf32>
      %s = ltc.reduce sum %y over [0, 1] : tensor<3x4xf32> -> tensor<f32>
      %t = ltc.reduce max %y over [1] : tensor<3x4xf32> -> tensor<3xf32>
      return %y, %s, %t : tensor<3x4xf32>, tensor<f32>, tensor<3xf32>
    }
    func.func @loss(
        %x: tensor<3x4xf32> {ltc.bind = {class = "input", name = "x"}},
        %w: tensor<4x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
        %u: tensor<2xf32> {ltc.bind = {class = "parameter", name = "idle"}})
        -> (tensor<f32>, tensor<f32>) {
      %a, %s, %m = func.call @block(%x, %w) : (tensor<3x4xf32>,
        tensor<4x4xf32>) -> (tensor<3x4xf32>, tensor<f32>, tensor<3xf32>)
      %b, %t, %n = func.call @block(%a, %w) : (tensor<3x4xf32>,
        tensor<4x4xf32>) -> (tensor<3x4xf32>, tensor<f32>, tensor<3xf32>)
      %c = ltc.contract %n [0], %b [0, 1] -> [1]
        : tensor<3xf32>, tensor<3x4xf32> -> tensor<4xf32>
      %d = ltc.contract %c [0], %w [0, 1] -> [1]
        : tensor<4xf32>, tensor<4x4xf32> -> tensor<4xf32>
      %e = ltc.reduce sum %d over [0] : tensor<4xf32> -> tensor<f32>
      return %e, %s : tensor<f32>, tensor<f32>
    }
    })"));
  h.fill(-0.8, 0.8);
  h.check();
  auto f = h.module->lookupSymbol<mlir::func::FuncOp>("accumulate");
  for (unsigned i = 0; i < f.getNumArguments(); ++i) // nothing trains it
    EXPECT_FALSE(h.text(h.bindOf(f, i), "class") == "gradient" &&
                 h.text(h.bindOf(f, i), "name") == "idle");
}

TEST_F(TinyLlama, sameTextGivesSameBytes) {
  auto print = [&] {
    std::string text;
    llvm::raw_string_ostream stream(text);
    h.module->print(stream);
    return text;
  };
  mlir::OwningOpRef<mlir::ModuleOp> copy = h.module->clone();
  ASSERT_TRUE(h.differentiate("wide-bytes=64 chunk-bytes=56"));
  std::string first = print();
  h.module = std::move(copy);
  ASSERT_TRUE(h.differentiate("wide-bytes=64 chunk-bytes=56"));
  EXPECT_EQ(first, print());
}
} // namespace
