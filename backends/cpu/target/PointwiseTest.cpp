// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/target/KernelRunner.h"
#include "backends/emit/PointwiseCases.h"

namespace ltc {
namespace {

INSTANTIATE_TYPED_TEST_SUITE_P(Cpu, Pointwise, cpu::KernelRunner);

// Fusion leaves a reshape between launches, where it costs nothing.
const char *kRegroup = R"(
ltc.kernel @regroup (tensor<$Bx$Cxf32>, tensor<$Ax$Kxf32>)
    -> tensor<$Bx$Ax$Kxf32> inplace [-1] {
^bb0(%x: tensor<$Bx$Cxf32>, %g: tensor<$Ax$Kxf32>):
  %o = ltc.reshape %x : tensor<$Bx$Cxf32> -> tensor<$Bx$Ax$Kxf32>
  %y = ltc.map(%o, %g) maps [affine_map<(b, a, k) -> (b, a, k)>,
      affine_map<(b, a, k) -> (a, k)>] {
  ^bb0(%p: f32, %q: f32):
    %r = arith.mulf %p, %q : f32
    ltc.yield %r : f32
  } : (tensor<$Bx$Ax$Kxf32>, tensor<$Ax$Kxf32>) -> tensor<$Bx$Ax$Kxf32>
  ltc.yield %y : tensor<$Bx$Ax$Kxf32>
})";

TEST(Regrouped, opensGroups) {
  cpu::KernelRunner runner;
  std::mt19937 random(8);
  for (int i = 0; i < 20; ++i) {
    int64_t a = 1 + random() % 7, k = 1 + random() % 50;
    runner.check(with(kRegroup, {{'B', 1 + random() % 30},
                                 {'A', a},
                                 {'K', k},
                                 {'C', a * k}}),
                 i);
  }
}

} // namespace
} // namespace ltc
