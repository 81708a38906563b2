// SPDX-License-Identifier: Apache-2.0
// The choice, the sort and the moving of rows, and appending to a cache, beside
// the reference on ragged shapes.
#pragma once
#include "backends/emit/Cases.h"
#include "ir/interfaces/HostTensor.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace ltc {

template <typename Runner> class Routing : public testing::Test {};
TYPED_TEST_SUITE_P(Routing);

TYPED_TEST_P(Routing, picksTheLargestAndTheLowerOfEquals) {
  TypeParam runner;
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

TYPED_TEST_P(Routing, aRowWithoutNumbersIsChosenFromAsTheReferenceSays) {
  TypeParam runner;
  auto out = runner.runNative(
      R"(ltc.kernel @k (tensor<2x3xf32>) -> (tensor<2x2xf32>, tensor<2x2xi32>)
           inplace [-1, -1] {
         ^bb0(%x: tensor<2x3xf32>):
           %v, %c = ltc.top_k %x : tensor<2x3xf32> -> tensor<2x2xf32>,
                                   tensor<2x2xi32>
           ltc.yield %v, %c : tensor<2x2xf32>, tensor<2x2xi32>
         })",
      {HostTensor({2, 3}, {NAN, -INFINITY, NAN, NAN, NAN, NAN})}, /*parts=*/1);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].data, (std::vector<double>{1, 1, 0, 1}));
  EXPECT_EQ(out[0].data[0], -INFINITY);
  for (int i = 1; i < 4; ++i)
    EXPECT_TRUE(std::isnan(out[0].data[i])) << i;
}

TYPED_TEST_P(Routing, sortsSlotsByGroup) {
  TypeParam runner;
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

TYPED_TEST_P(Routing, movesRowsThereAndBack) {
  TypeParam runner;
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
                         (back ? "combine" : "dispatch") +
                         " %x by %s, %p each " + std::to_string(each) +
                         " : " + from + ", " + s + ", " +
                         p + " -> " + to + "\n  ltc.yield %y : " + to + "\n}";
      auto inputs = runner.randomInputs(text, i);
      ASSERT_EQ(inputs.size(), 3u);
      inputs[1] = slot;
      inputs[2] = place;
      runner.checkOn(text, inputs, 1e-6);
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(Routing,
                            picksTheLargestAndTheLowerOfEquals,
                            aRowWithoutNumbersIsChosenFromAsTheReferenceSays,
                            sortsSlotsByGroup,
                            movesRowsThereAndBack);

template <typename Runner> class Append : public testing::Test {};
TYPED_TEST_SUITE_P(Append);

inline std::string append(std::vector<int64_t> cache, int64_t dim,
                          int64_t added, const std::string &element,
                          bool inPlace) {
  std::string whole = tensor(cache, element);
  cache[dim] = added;
  std::string rows = tensor(cache, element), types = whole + ", " + rows;
  return "ltc.kernel @append (" + types + ", tensor<i32>) -> " + whole +
         " inplace [" + (inPlace ? "0" : "-1") + "] {\n^bb0(%c: " + whole +
         ", %r: " + rows + ", %p: tensor<i32>):\n  %y = ltc.append %c, %r at "
         "%p along " + std::to_string(dim) + " : " + types +
         ", tensor<i32>\n  ltc.yield %y : " + whole + "\n}";
}

TYPED_TEST_P(Append, agreesWithTheReferenceOnRaggedShapes) {
  TypeParam runner;
  std::mt19937 random(1);
  auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
  const char *elements[] = {"f32", "bf16", "i32"};
  for (int i = 0; i < 30; ++i) {
    std::vector<int64_t> cache;
    for (int64_t rank = pick(4); rank > 0; --rank)
      cache.push_back(pick(20));
    int64_t dim = int64_t(random() % cache.size()), added = pick(cache[dim]);
    std::string text = append(cache, dim, added, elements[i % 3], i % 2);
    auto inputs = runner.randomInputs(text, i);
    // Also behind the last place, and before the first.
    inputs[2].data[0] = double(random() % uint64_t(cache[dim] + 3)) - 1;
    runner.checkOn(text, inputs, 0);
  }
}

REGISTER_TYPED_TEST_SUITE_P(Append,
                            agreesWithTheReferenceOnRaggedShapes);

} // namespace ltc
