// SPDX-License-Identifier: Apache-2.0
// Grouped contractions beside the reference on ragged shapes; routing.
#include "backends/cpu/target/KernelRunner.h"
#include "backends/emit/RoutingCases.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

/// One grouped contraction of label 0 (row) and label 1 (group); sizes[l] is
/// the size of label l. `onto`: the sum is added to argument 3 in place.
std::string grouped(std::vector<int64_t> sizes, std::vector<int64_t> l,
                    std::vector<int64_t> r, std::vector<int64_t> o, bool onto) {
  auto shape = [&](const std::vector<int64_t> &labels) {
    std::vector<int64_t> result;
    for (int64_t label : labels)
      result.push_back(sizes[label]);
    return tensor(result);
  };
  std::string L = shape(l), R = shape(r), O = shape(o),
              F = tensor({sizes[1] + 1}, "i32"), dims;
  for (size_t i = 0; i < o.size(); ++i)
    dims += (i ? ", d" : "d") + std::to_string(i);
  std::string same = "affine_map<(" + dims + ") -> (" + dims + ")>";
  std::string sum = "  %c = ltc.grouped_contract %a " + list(l) + ", %b " +
                    list(r) + " by %f row 0 group 1 -> " + list(o) + " : " + L +
                    ", " + R + ", " + F + " -> " + O + "\n";
  std::string head = "ltc.kernel @k (" + L + ", " + R + ", " + F;
  if (!onto)
    return head + ") -> " + O + " inplace [-1] {\n^bb0(%a: " + L + ", %b: " +
           R + ", %f: " + F + "):\n" + sum + "  ltc.yield %c : " + O + "\n}";
  return head + ", " + O + ") -> " + O + " inplace [3] {\n^bb0(%a: " + L +
         ", %b: " + R + ", %f: " + F + ", %old: " + O + "):\n" + sum +
         "  %n = ltc.map(%old, %c) maps [" + same + ", " + same +
         "] {\n  ^bb0(%x: f32, %y: f32):\n    %t = arith.addf %x, %y : f32\n"
         "    ltc.yield %t : f32\n  } : (" +
         O + ", " + O + ") -> " + O + "\n  ltc.yield %n : " + O + "\n}";
}

/// Offsets of `groups` over `rows`: by chance some are empty; kind 1 gives all
/// rows to one group.
HostTensor offsets(int64_t rows, int64_t groups, int kind,
                   std::mt19937 &random) {
  HostTensor result({groups + 1});
  int64_t all = random() % groups;
  for (int64_t g = 1; g < groups; ++g)
    result.data[g] = kind == 1 ? (g > all ? rows : 0)
                               : double(random() % 2 ? random() % (rows + 1)
                                                     : rows / 2);
  result.data[groups] = double(rows);
  std::sort(result.data.begin(), result.data.end());
  return result;
}

void checkGrouped(KernelRunner &runner, const std::string &text, int64_t rows,
                  int64_t groups, int seed) {
  std::mt19937 random(seed);
  auto inputs = runner.randomInputs(text, seed);
  ASSERT_GE(inputs.size(), 3u) << text;
  inputs[2] = offsets(rows, groups, seed % 4, random);
  runner.checkOn(text, inputs, 4e-6);
}

TEST(Grouped, multipliesEachGroupsRowsWithItsMatrix) {
  KernelRunner runner;
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    int64_t rows = 1 + random() % 130, groups = 1 + random() % 6,
            k = 1 + random() % 70, n = 1 + random() % 150;
    std::vector<int64_t> s{rows, groups, k, n};
    bool onto = i % 3 == 0;
    checkGrouped(runner, grouped(s, {0, 2}, {1, 3, 2}, {0, 3}, onto), rows,
                 groups, i); // x w^T
    if (i % 2)
      checkGrouped(runner, grouped(s, {0, 2}, {1, 2, 3}, {0, 3}, onto), rows,
                   groups, i); // x w
    else // on the other side, x in columns
      checkGrouped(runner, grouped(s, {1, 2, 3}, {2, 0}, {0, 3}, onto), rows,
                   groups, i);
  }
}

TEST(Grouped, sumsEachGroupsRows) {
  KernelRunner runner;
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i) {
    int64_t rows = 1 + random() % 130, groups = 1 + random() % 6,
            m = 1 + random() % 70, n = 1 + random() % 150;
    std::vector<int64_t> s{rows, groups, m, n};
    std::vector<int64_t> out{1, 2 + i / 2 % 2, 3 - i / 2 % 2}; // either order
    checkGrouped(runner, grouped(s, {0, 2}, {0, 3}, out, i % 2), rows, groups,
                 i);
  }
}

TEST(Grouped, goesByBlocksOfLongSums) {
  KernelRunner runner;
  for (int i = 0; i < 4; ++i) {
    checkGrouped(runner,
                 grouped({70, 3, 1600 + i, 40}, {0, 2}, {1, 3, 2}, {0, 3}, i % 2),
                 70, 3, i);
    checkGrouped(runner,
                 grouped({1700 + i, 3, 40, 70}, {0, 2}, {0, 3}, {1, 2, 3}, i % 2),
                 1700 + i, 3, i);
  }
}

TEST(Grouped, takesMoreDimensionsThanThree) {
  KernelRunner runner;
  for (int i = 0; i < 6; ++i) {
    // x[row, c, k] w[group, n, k] and the sum over rows and c.
    checkGrouped(runner, grouped({33, 4, 17, 50, 3}, {0, 4, 2}, {1, 3, 2},
                                 {0, 4, 3}, i % 2),
                 33, 4, i);
    checkGrouped(runner, grouped({33, 4, 17, 50, 3}, {0, 4, 2}, {0, 4, 3},
                                 {1, 3, 2}, i % 2),
                 33, 4, i);
    // x[row, k] w[group, h, n, k]
    checkGrouped(runner, grouped({33, 4, 17, 50, 3}, {0, 2}, {1, 4, 3, 2},
                                 {0, 4, 3}, i % 2),
                 33, 4, i);
  }
}

} // namespace

namespace ltc {
INSTANTIATE_TYPED_TEST_SUITE_P(Cpu, Routing, cpu::KernelRunner);
INSTANTIATE_TYPED_TEST_SUITE_P(Cpu, Append, cpu::KernelRunner);
} // namespace ltc
