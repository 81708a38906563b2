// SPDX-License-Identifier: Apache-2.0
// ltc.random: the reference's bits, which are those of uniform numbers.
#include "backends/cpu/target/KernelRunner.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

/// The upper 24 bits for each element of rows x columns.
std::string drawn(int64_t rows, int64_t columns) {
  std::string x = tensor({rows, columns});
  return "ltc.kernel @random (" + x + ", tensor<i64>, tensor<i64>) -> " + x +
         " inplace [-1] {\n^bb0(%x: " + x +
         R"(, %h: tensor<i64>, %k: tensor<i64>):
  %y = ltc.map(%x, %h, %k) maps [affine_map<(b, t) -> (b, t)>,
      affine_map<(b, t) -> ()>, affine_map<(b, t) -> ()>] {
  ^bb0(%p: f32, %high: i64, %key: i64):
    %i = ltc.index 1 : i32
    %j = ltc.index 0 : i32
    %element = arith.extui %i : i32 to i64
    %row = arith.extui %j : i32 to i64
    %w = arith.constant 32 : i64
    %upper = arith.shli %row, %w : i64
    %low = arith.ori %element, %upper : i64
    %bits = ltc.random %low, %high key %key : i64 -> i32
    %c = arith.constant 8 : i32
    %s = arith.shrui %bits, %c : i32
    %r = arith.sitofp %s : i32 to f32
    ltc.yield %r : f32
  } : ()" + x + ", tensor<i64>, tensor<i64>) -> " + x + "\n  ltc.yield %y : " +
         x + "\n}";
}

TEST(Random, drawsTheReferencesBits) {
  KernelRunner runner;
  std::mt19937 random(11);
  for (int i = 0; i < 20; ++i)
    runner.check(drawn(1 + random() % 9, 1 + random() % 70), i, 0, 1 << 30);
}

/// Within four standard deviations of independent uniform numbers.
TEST(Random, drawsUniformNumbers) {
  KernelRunner runner;
  int64_t rows = 64, columns = 2048, n = rows * columns;
  auto out = runner.runNative(drawn(rows, columns),
                              {HostTensor({rows, columns}, 0),
                               HostTensor::scalar(9), HostTensor::scalar(5)});
  ASSERT_EQ(out.size(), 1u);
  std::vector<double> &u = out[0].data;
  for (double &x : u)
    x /= 1 << 24;
  double sum = 0, squares = 0, kept = 0, beside = 0, below = 0;
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_TRUE(u[i] >= 0 && u[i] < 1);
    double x = u[i] - 0.5;
    sum += x, squares += x * x, kept += u[i] >= 0.1;
    beside += x * (u[(i + 1) % n] - 0.5);
    below += x * (u[(i + columns) % n] - 0.5);
  }
  double one = 4 / std::sqrt(double(n));
  EXPECT_NEAR(sum / n, 0, one * std::sqrt(1 / 12.0));
  EXPECT_NEAR(squares / n, 1 / 12.0, one * std::sqrt(1 / 180.0));
  EXPECT_NEAR(kept / n, 0.9, one * std::sqrt(0.1 * 0.9));
  EXPECT_NEAR(beside / n, 0, one / 12);
  EXPECT_NEAR(below / n, 0, one / 12);
}

} // namespace
