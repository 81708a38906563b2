// SPDX-License-Identifier: Apache-2.0
// The reference itself, on cases small enough to do by hand.
#include "ir/interfaces/Philox.h"
#include "ir/interfaces/Interpreter.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Parser/Parser.h"
#include <gtest/gtest.h>
#include <cmath>
#include <set>

using namespace mlir;
using namespace ltc;

namespace {
struct InterpreterTest : testing::Test {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  InterpreterTest() {
    context.loadDialect<LtcDialect, func::FuncDialect, arith::ArithDialect,
                        math::MathDialect>();
  }
  /// Runs @f of `text`.
  std::vector<HostTensor> run(const char *text, std::vector<HostTensor> in) {
    module = parseSourceString<ModuleOp>(text, &context);
    if (!module)
      return {};
    auto results = Interpreter(*module).call("f", in);
    return succeeded(results) ? *results : std::vector<HostTensor>();
  }
};

TEST_F(InterpreterTest, everyTensorOpHasReferenceAndFactors) {
  // These stand for structure, or for scalars (see ScalarProgram).
  std::set<std::string> structural = {"ltc.kernel", "ltc.launch",
                                      "ltc.yield",  "ltc.index",
                                      "ltc.random", "ltc.training"};
  unsigned count = 0;
  for (RegisteredOperationName op :
       context.getRegisteredOperationsByDialect("ltc")) {
    std::string name = op.getStringRef().str();
    if (structural.count(name))
      continue;
    ++count;
    EXPECT_TRUE(op.hasInterface<EvaluateInterface>()) << name;
    EXPECT_TRUE(op.hasInterface<FactorsInterface>()) << name;
    EXPECT_TRUE(op.hasInterface<CostInterface>()) << name;
    EXPECT_TRUE(op.hasInterface<DifferentiableInterface>()) << name;
  }
  EXPECT_GE(count, 12u);
}

TEST_F(InterpreterTest, mapBroadcastsByItsMapsAndWrapsIntegers) {
  auto out = run(R"(
    func.func @f(%x: tensor<2x3xf32>, %g: tensor<3xf32>)
        -> (tensor<2x3xf32>, tensor<2x3xi32>) {
      %y, %h = ltc.map(%x, %g) maps [affine_map<(i, j) -> (i, j)>,
                                     affine_map<(i, j) -> (j)>] {
      ^bb0(%a: f32, %b: f32):
        %p = arith.mulf %a, %b : f32
        %i = ltc.index 1 : i32
        %c = arith.constant 2147483647 : i32
        %s = arith.addi %i, %c : i32
        ltc.yield %p, %s : f32, i32
      } : (tensor<2x3xf32>, tensor<3xf32>) -> (tensor<2x3xf32>, tensor<2x3xi32>)
      return %y, %h : tensor<2x3xf32>, tensor<2x3xi32>
    })",
                 {{{2, 3}, {1, 2, 3, 4, 5, 6}}, {{3}, {1, 10, 100}}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].data, (std::vector<double>{1, 20, 300, 4, 50, 600}));
  EXPECT_EQ(out[1].data[0], 2147483647.0);
  EXPECT_EQ(out[1].data[1], -2147483648.0);
}

TEST_F(InterpreterTest, topKTakesTheLowerOfEqualsAndNoNaN) {
  auto out = run(R"(
    func.func @f(%x: tensor<3x4xf32>) -> (tensor<3x2xf32>, tensor<3x2xi32>) {
      %v, %c = ltc.top_k %x : tensor<3x4xf32> -> tensor<3x2xf32>, tensor<3x2xi32>
      return %v, %c : tensor<3x2xf32>, tensor<3x2xi32>
    })",
                 {{{3, 4}, {1, 7, 7, 7, NAN, NAN, NAN, 2, -1, -2, -3, 0}}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].data, (std::vector<double>{1, 2, 3, 1, 3, 0}));
  EXPECT_EQ(out[0].data[2], 2);
  EXPECT_TRUE(std::isnan(out[0].data[3]));
}

TEST_F(InterpreterTest, routeSortsSlotsByGroupAndKeepsTheirOrder) {
  auto out = run(R"(
    func.func @f(%c: tensor<3x2xi32>)
        -> (tensor<6xi32>, tensor<3x2xi32>, tensor<6xi32>, tensor<5xi32>) {
      %s, %p, %g, %o = ltc.route %c : tensor<3x2xi32>
        -> tensor<6xi32>, tensor<3x2xi32>, tensor<6xi32>, tensor<5xi32>
      return %s, %p, %g, %o
        : tensor<6xi32>, tensor<3x2xi32>, tensor<6xi32>, tensor<5xi32>
    })",
                 {{{3, 2}, {2, 0, 9, 2, 2, -1}}});
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(out[0].data, (std::vector<double>{1, 5, 0, 3, 4, 2}));
  EXPECT_EQ(out[1].data, (std::vector<double>{2, 0, 5, 3, 4, 1}));
  EXPECT_EQ(out[2].data, (std::vector<double>{0, 0, 2, 2, 2, 3}));
  EXPECT_EQ(out[3].data, (std::vector<double>{0, 2, 2, 5, 6}));
}

TEST_F(InterpreterTest, contractSumsTheSharedLabel) {
  auto out = run(R"(
    func.func @f(%x: tensor<2x2xf32>, %w: tensor<3x2xf32>) -> tensor<3x2xf32> {
      %y = ltc.contract %x [0, 1], %w [2, 1] -> [2, 0]
        : tensor<2x2xf32>, tensor<3x2xf32> -> tensor<3x2xf32>
      return %y : tensor<3x2xf32>
    })",
                 {{{2, 2}, {1, 2, 3, 4}}, {{3, 2}, {1, 0, 0, 1, 1, 1}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, (std::vector<double>{1, 3, 2, 4, 3, 7}));
}

TEST_F(InterpreterTest, shiftStopsAtDocuments) {
  auto out = run(R"(
    func.func @f(%x: tensor<5xf32>, %d: tensor<5xi32>) -> tensor<5xf32> {
      %y = ltc.shift %x by 1 along 0 within %d
        : tensor<5xf32>, tensor<5xi32> -> tensor<5xf32>
      return %y : tensor<5xf32>
    })",
                 {{{5}, {1, 2, 3, 4, 5}}, {{5}, {0, 0, 1, 1, 1}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, (std::vector<double>{0, 1, 0, 3, 4}));
}

TEST_F(InterpreterTest, scanGoesBothWaysAndStopsAtDocuments) {
  auto out = run(R"(
    func.func @f(%x: tensor<5xf32>, %a: tensor<5xf32>, %d: tensor<5xi32>)
        -> (tensor<5xf32>, tensor<5xf32>, tensor<5xf32>) {
      %y = ltc.scan %x decay %a along 0 within %d
        : tensor<5xf32> decay tensor<5xf32> within tensor<5xi32>
      %r = ltc.scan %x decay %a reverse along 0 within %d
        : tensor<5xf32> decay tensor<5xf32> within tensor<5xi32>
      %s = ltc.scan %x along 0 : tensor<5xf32>
      return %y, %r, %s : tensor<5xf32>, tensor<5xf32>, tensor<5xf32>
    })",
                 {{{5}, {1, 2, 3, 4, 5}},
                  {{5}, {9, 2, 9, 3, 2}},
                  {{5}, {0, 0, 1, 1, 1}}});
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].data, (std::vector<double>{1, 4, 3, 13, 31}));
  EXPECT_EQ(out[1].data, (std::vector<double>{19, 2, 174, 19, 5}));
  EXPECT_EQ(out[2].data, (std::vector<double>{1, 3, 6, 10, 15}));
}

// Random123's tests/kat_vectors, philox4x32 10.
TEST(Philox, givesTheKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                   {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST_F(InterpreterTest, attentionOfOneKeptKeyIsItsValue) {
  auto out = run(R"(
    func.func @f(%q: tensor<1x2x1x1x1xf32>, %k: tensor<1x2x1x1xf32>,
                 %v: tensor<1x2x1x1xf32>) -> tensor<1x2x1x1x1xf32> {
      %o, %l = ltc.attention %q, %k, %v [] scale 1.0 keep {
      ^bb0(%t: i32, %u: i32):
        %c = arith.cmpi slt, %u, %t : i32
        ltc.yield %c : i1
      } score {} : (tensor<1x2x1x1x1xf32>, tensor<1x2x1x1xf32>,
                    tensor<1x2x1x1xf32>)
        -> (tensor<1x2x1x1x1xf32>, tensor<1x2x1x1xf32>)
      return %o : tensor<1x2x1x1x1xf32>
    })",
                 {{{1, 2, 1, 1, 1}, {1, 1}},
                  {{1, 2, 1, 1}, {5, 6}},
                  {{1, 2, 1, 1}, {7, 8}}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, (std::vector<double>{0, 7})); // row 0 keeps nothing
}

TEST_F(InterpreterTest, callsAndLaunchesRunTheirBodies) {
  auto out = run(R"(
    func.func private @twice(%x: tensor<f32>) -> tensor<f32> {
      %y = ltc.launch @add(%x, %x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      return %y : tensor<f32>
    }
    func.func @f(%x: tensor<f32>) -> tensor<f32> {
      %y = func.call @twice(%x) : (tensor<f32>) -> tensor<f32>
      return %y : tensor<f32>
    }
    ltc.kernel @add (tensor<f32>, tensor<f32>) -> tensor<f32> inplace [-1] {
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %y = ltc.map(%a, %b) maps [affine_map<() -> ()>, affine_map<() -> ()>] {
      ^bb0(%x: f32, %z: f32):
        %s = arith.addf %x, %z : f32
        ltc.yield %s : f32
      } : (tensor<f32>, tensor<f32>) -> tensor<f32>
      ltc.yield %y : tensor<f32>
    })",
                 {HostTensor::scalar(21)});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data[0], 42);
}
} // namespace
