// SPDX-License-Identifier: Apache-2.0
// Factors of the ops whose dimensions do not pair one to one.
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace ltc;

namespace {
struct FactorsTest : testing::Test {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  FactorsTest() { context.loadDialect<LtcDialect, func::FuncDialect>(); }
  /// Factors of the one op in `body`.
  Factors of(const std::string &arguments, const std::string &body) {
    module = parseSourceString<ModuleOp>(
        "func.func @f(" + arguments + ") {\n" + body + "\nreturn\n}",
        &context);
    EXPECT_TRUE(module);
    Factors result;
    if (module)
      module->walk([&](FactorsInterface op) { result = op.factors(); });
    return result;
  }
  static std::vector<int64_t> sizes(const Factors &factors,
                                    const Factors::Dim &dim) {
    std::vector<int64_t> sizes;
    for (int64_t factor : dim)
      sizes.push_back(factors.all[factor].size);
    return sizes;
  }
};

TEST_F(FactorsTest, contractionReducesTheLabelThatTheResultLacks) {
  Factors f = of("%x: tensor<2x3xf32>, %w: tensor<5x3xf32>",
                 "%y = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : "
                 "tensor<2x3xf32>, tensor<5x3xf32> -> tensor<2x5xf32>");
  ASSERT_EQ(f.all.size(), 3u);
  EXPECT_EQ(f.operands[0][1], f.operands[1][1]);
  EXPECT_EQ(f.all[f.operands[0][1][0]].kind, FactorKind::Reduced);
  EXPECT_EQ(f.all[f.results[0][1][0]].kind, FactorKind::Parallel);
}

TEST_F(FactorsTest, rowsAndGroupsAreWhole) {
  Factors f = of("%x: tensor<6x3xf32>, %w: tensor<2x5x3xf32>, %o: tensor<3xi32>",
                 "%y = ltc.grouped_contract %x [0, 1], %w [2, 3, 1] by %o row 0 "
                 "group 2 -> [0, 3] : tensor<6x3xf32>, tensor<2x5x3xf32>, "
                 "tensor<3xi32> -> tensor<6x5xf32>");
  ASSERT_EQ(f.operands.size(), 3u);
  EXPECT_EQ(f.all[f.operands[0][0][0]].kind, FactorKind::Whole);
  EXPECT_EQ(f.all[f.operands[1][0][0]].kind, FactorKind::Whole);
  EXPECT_EQ(f.all[f.operands[1][2][0]].kind, FactorKind::Reduced);
  EXPECT_EQ(f.results[0][1], f.operands[1][1]);
}

TEST_F(FactorsTest, reshapeOpensAndClosesGroups) {
  Factors f = of("%x: tensor<2x12x3x5xf32>",
                 "%y = ltc.reshape %x : tensor<2x12x3x5xf32> -> "
                 "tensor<2x4x3x15xf32>");
  // 12 opens into 4 x 3; 3 x 5 closes to 15.
  EXPECT_EQ(sizes(f, f.operands[0][1]), (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(f.operands[0][1][0], f.results[0][1][0]);
  EXPECT_EQ(f.operands[0][1][1], f.results[0][2][0]);
  EXPECT_EQ(sizes(f, f.results[0][3]), (std::vector<int64_t>{3, 5}));
}

TEST_F(FactorsTest, reshapeWithoutCommonFactorsIsWhole) {
  Factors f = of("%x: tensor<3x4xf32>",
                 "%y = ltc.reshape %x : tensor<3x4xf32> -> tensor<6x2xf32>");
  for (const Factors::Factor &factor : f.all)
    EXPECT_EQ(factor.kind, FactorKind::Whole);
}
} // namespace
