// SPDX-License-Identifier: Apache-2.0
// Grouped contractions, the sort, the choice and the moving of rows, beside
// the reference on ragged shapes.
#include "backends/cpu/target/KernelRunner.h"

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

TEST(Routing, picksTheLargestAndTheLowerOfEquals) {
  KernelRunner runner;
  std::mt19937 random(5);
  for (int i = 0; i < 20; ++i) {
    int64_t rows = 1 + random() % 70, n = 1 + random() % 20,
            count = 1 + random() % n;
    std::string x = tensor({rows, n}), v = tensor({rows, count}),
                c = tensor({rows, count}, "i32");
    std::string text = "ltc.kernel @k (" + x + ") -> (" + v + ", " + c +
                       ") inplace [-1, -1] {\n^bb0(%x: " + x +
                       "):\n  %v, %c = ltc.top_k %x : " + x + " -> " + v +
                       ", " + c + "\n  ltc.yield %v, %c : " + v + ", " + c +
                       "\n}";
    auto inputs = runner.randomInputs(text, i);
    if (i % 2) // many equals
      for (double &number : inputs.at(0).data)
        number = std::round(2 * number);
    runner.checkOn(text, inputs, 0);
  }
}

TEST(Routing, aRowWithoutNumbersIsChosenFromAsTheReferenceSays) {
  KernelRunner runner;
  auto out = runner.runNative(
      R"(ltc.kernel @k (tensor<2x3xf32>) -> (tensor<2x2xf32>, tensor<2x2xi32>)
           inplace [-1, -1] {
         ^bb0(%x: tensor<2x3xf32>):
           %v, %c = ltc.top_k %x : tensor<2x3xf32> -> tensor<2x2xf32>,
                                   tensor<2x2xi32>
           ltc.yield %v, %c : tensor<2x2xf32>, tensor<2x2xi32>
         })",
      {HostTensor({2, 3}, {NAN, -INFINITY, NAN, NAN, NAN, NAN})});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].data, (std::vector<double>{1, 1, 0, 1}));
  EXPECT_EQ(out[0].data[0], -INFINITY);
  for (int i = 1; i < 4; ++i)
    EXPECT_TRUE(std::isnan(out[0].data[i])) << i;
}

TEST(Routing, sortsSlotsByGroup) {
  KernelRunner runner;
  std::mt19937 random(6);
  for (int i = 0; i < 20; ++i) {
    int64_t tokens = 1 + random() % 90, each = 1 + random() % 4,
            groups = 1 + random() % 9, slots = tokens * each;
    std::string c = tensor({tokens, each}, "i32"), s = tensor({slots}, "i32"),
                f = tensor({groups + 1}, "i32");
    std::string types = s + ", " + c + ", " + s + ", " + f;
    std::string text =
        "ltc.kernel @k (" + c + ") -> (" + types +
        ") inplace [-1, -1, -1, -1] {\n^bb0(%c: " + c +
        "):\n  %s, %p, %g, %o = ltc.route %c : " + c + " -> " + types +
        "\n  ltc.yield %s, %p, %g, %o : " + types + "\n}";
    auto inputs = runner.randomInputs(text, i, int(groups) + 1); // one too far
    runner.checkOn(text, inputs, 0);
  }
}

TEST(Routing, movesRowsThereAndBack) {
  KernelRunner runner;
  std::mt19937 random(8);
  for (int i = 0; i < 20; ++i) {
    int64_t tokens = 1 + random() % 60, top = 1 + random() % 4,
            width = 1 + random() % 70, slots = tokens * top,
            each = i % 2 ? top : 1;
    std::string x = each == 1 ? tensor({tokens, top, width})
                              : tensor({tokens, width}),
                y = tensor({slots, width}), s = tensor({slots}, "i32"),
                p = tensor({tokens, top}, "i32");
    HostTensor slot({slots}), place({tokens, top});
    for (int64_t n = 0; n < slots; ++n)
      slot.data[n] = double(n);
    std::shuffle(slot.data.begin(), slot.data.end(), random);
    for (int64_t n = 0; n < slots; ++n)
      place.data[int64_t(slot.data[n])] = double(n);
    for (bool back : {false, true}) {
      std::string from = back ? y : x, to = back ? x : y;
      std::string text = "ltc.kernel @k (" + from + ", " + s + ", " + p +
                         ") -> " + to + " inplace [-1] {\n^bb0(%x: " + from +
                         ", %s: " + s + ", %p: " + p + "):\n  %y = ltc." +
                         (back ? "combine" : "dispatch") + " %x by %s, %p each " +
                         std::to_string(each) + " : " + from + ", " + s + ", " +
                         p + " -> " + to + "\n  ltc.yield %y : " + to + "\n}";
      auto inputs = runner.randomInputs(text, i);
      ASSERT_EQ(inputs.size(), 3u);
      inputs[1] = slot;
      inputs[2] = place;
      runner.checkOn(text, inputs, 1e-6);
    }
  }
}

} // namespace
