// SPDX-License-Identifier: Apache-2.0
// Contractions of every label order, with epilogues, and scatters.
#include "backends/cpu/target/KernelRunner.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

/// One contraction; sizes[l] is the size of label l.
std::string contraction(std::vector<int64_t> sizes, std::vector<int64_t> l,
                        std::vector<int64_t> r, std::vector<int64_t> o,
                        const std::string &epilogue = "",
                        const char *element = "f32") {
  auto shape = [&](const std::vector<int64_t> &labels, const char *element) {
    std::vector<int64_t> result;
    for (int64_t label : labels)
      result.push_back(sizes[label]);
    return tensor(result, element);
  };
  std::string L = shape(l, element), R = shape(r, element), O = shape(o, "f32");
  std::string sum = "  %c = ltc.contract %a " + list(l) + ", %b " + list(r) +
                    " -> " + list(o) + " : " + L + ", " + R + " -> " + O + "\n";
  if (epilogue.empty())
    return "ltc.kernel @k (" + L + ", " + R + ") -> " + O +
           " inplace [-1] {\n^bb0(%a: " + L + ", %b: " + R + "):\n" + sum +
           "  ltc.yield %c : " + O + "\n}";
  if (epilogue == "rounded") {
    std::string Q = shape(o, "bf16"), dims;
    for (size_t i = 0; i < o.size(); ++i)
      dims += (i ? ", d" : "d") + std::to_string(i);
    return "ltc.kernel @k (" + L + ", " + R + ") -> " + Q +
           " inplace [-1] {\n^bb0(%a: " + L + ", %b: " + R + "):\n" + sum +
           "  %y = ltc.map(%c) maps [affine_map<(" + dims + ") -> (" + dims +
           ")>] {\n  ^bb0(%x: f32):\n    %q = arith.truncf %x : f32 to bf16\n"
           "    ltc.yield %q : bf16\n  } : (" +
           O + ") -> " + Q + "\n  ltc.yield %y : " + Q + "\n}";
  }
  // result 0: c + bias over the last dimension, squared; result 1: old + c.
  std::string bias = tensor({sizes[o.back()]}), dims, last;
  for (size_t i = 0; i < o.size(); ++i) {
    dims += (i ? ", d" : "d") + std::to_string(i);
    last = "d" + std::to_string(i);
  }
  std::string id = "affine_map<(" + dims + ") -> (" + dims + ")>";
  return "ltc.kernel @k (" + L + ", " + R + ", " + bias + ", " + O + ") -> (" +
         O + ", " + O + ") inplace [-1, 3] {\n^bb0(%a: " + L + ", %b: " + R +
         ", %v: " + bias + ", %old: " + O + "):\n" + sum +
         "  %y, %n = ltc.map(%c, %v, %old) maps [" + id + ", affine_map<(" +
         dims + ") -> (" + last + ")>, " + id +
         "] {\n  ^bb0(%x: f32, %w: f32, %o: f32):\n"
         "    %s = arith.addf %x, %w : f32\n    %q = arith.mulf %s, %s : f32\n"
         "    %t = arith.addf %o, %x : f32\n    ltc.yield %q, %t : f32, f32\n"
         "  } : (" +
         O + ", " + bias + ", " + O + ") -> (" + O + ", " + O +
         ")\n  ltc.yield %y, %n : " + O + ", " + O + "\n}";
}

TEST(Contract, multipliesEveryOrderOfOperands) {
  KernelRunner runner;
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    int64_t m = 1 + random() % 90, n = 1 + random() % 150, k = 1 + random() % 70;
    runner.check(contraction({m, n, k}, {0, 2}, {2, 1}, {0, 1}), i); // NN
    runner.check(contraction({m, n, k}, {0, 2}, {1, 2}, {0, 1}), i); // NT
    runner.check(contraction({m, n, k}, {2, 0}, {2, 1}, {0, 1}), i); // TN
    runner.check(contraction({m, n, k}, {2, 1}, {0, 2}, {0, 1}), i); // swapped
  }
}

/// A row alone is the same chain of multiply-adds: the same bits.
TEST(Contract, oneRowHasTheBitsOfMany) {
  KernelRunner runner;
  std::mt19937 random(8);
  auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
  for (int i = 0; i < 32; ++i) {
    int64_t n = i < 4 ? 16 * pick(70) : pick(300), k = pick(200);
    std::vector<int64_t> r = i % 2 ? std::vector<int64_t>{1, 2}
                                   : std::vector<int64_t>{2, 1};
    std::string epilogue = i % 3 ? "" : "e";
    auto rows = [&](int64_t m) {
      return contraction({m, n, k}, {0, 2}, r, {0, 1}, epilogue,
                         i % 4 < 2 ? "f32" : "bf16");
    };
    std::string one = rows(1), many = rows(13);
    runner.check(one, i, 4e-6);
    auto inputs = runner.randomInputs(many, i), row = inputs;
    row[0] = HostTensor({1, k}, {inputs[0].data.begin() + 4 * k,
                                 inputs[0].data.begin() + 5 * k});
    if (row.size() > 3)
      row[3] = HostTensor({1, n}, {inputs[3].data.begin() + 4 * n,
                                   inputs[3].data.begin() + 5 * n});
    auto whole = runner.runNative(many, inputs),
         alone = runner.runNative(one, row);
    ASSERT_EQ(whole.size(), alone.size());
    for (size_t j = 0; j < whole.size(); ++j)
      for (int64_t c = 0; c < n; ++c)
        ASSERT_EQ(alone[j].data[c], whole[j].data[4 * n + c]) << one;
  }
}

TEST(Contract, multipliesPairsOfBf16) {
  KernelRunner runner;
  std::mt19937 random(11);
  auto check = [&](std::vector<int64_t> l, std::vector<int64_t> r, int seed) {
    int64_t m = 1 + random() % 90, n = 1 + random() % 150,
            k = 1 + random() % 90;
    // Rounded: a sum near the middle of two bf16 may round the other way.
    const char *epilogue[] = {"", "e", "rounded"};
    double bound[] = {2e-6, 4e-6, 0.008};
    int way = seed % 3;
    runner.check(contraction({m, n, k}, l, r, {0, 1}, epilogue[way], "bf16"),
                 seed, bound[way]);
  };
  for (int i = 0; i < 20; ++i) {
    check({0, 2}, {2, 1}, i); // NN
    check({0, 2}, {1, 2}, i); // NT
    check({2, 0}, {2, 1}, i); // TN
    check({2, 1}, {0, 2}, i); // swapped
  }
}

TEST(Contract, groupsAndBlocksOfBf16) {
  KernelRunner runner;
  for (int64_t head : {4, 16, 20, 64}) {
    std::vector<int64_t> s = {2, 5, 3, head, 23};
    auto check = [&](std::vector<int64_t> l, std::vector<int64_t> r,
                     std::vector<int64_t> o) {
      runner.check(contraction(s, l, r, o, "", "bf16"), int(head));
    };
    check({0, 1, 4}, {2, 3, 4}, {0, 1, 2, 3});
    check({0, 1, 2, 3}, {0, 1, 4}, {2, 3, 4});
    check({0, 1, 2, 3}, {4, 2, 3}, {0, 1, 4});
    check({0, 1, 3}, {0, 3, 4}, {0, 1, 4});
  }
  for (int64_t k : {6001, 3202}) {
    runner.check(contraction({9, 70, k}, {0, 2}, {2, 1}, {0, 1}, "e", "bf16"),
                 1, 4e-6);
    runner.check(contraction({9, 70, k}, {0, 2}, {1, 2}, {0, 1}, "", "bf16"),
                 2);
    runner.check(contraction({70, 50, k}, {2, 0}, {2, 1}, {0, 1}, "", "bf16"),
                 3);
  }
}

TEST(Contract, appliesEpilogueAndAccumulates) {
  KernelRunner runner;
  std::mt19937 random(8);
  for (int i = 0; i < 20; ++i) {
    int64_t m = 1 + random() % 40, n = 1 + random() % 130, k = 1 + random() % 40;
    runner.check(contraction({m, n, k}, {0, 2}, {1, 2}, {0, 1}, "e"), i, 4e-6);
  }
}

TEST(Contract, groupsAndBatches) {
  KernelRunner runner;
  std::mt19937 random(10);
  for (int i = 0; i < 10; ++i) {
    auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
    const int64_t heads[] = {4, 16, 20, 64, pick(40)};
    // h[b,t,d] wq[heads,k,d] -> q[b,t,heads,k], with a bias over k
    std::vector<int64_t> s = {pick(3), pick(9), pick(4), heads[i % 5],
                              pick(40)};
    runner.check(contraction(s, {0, 1, 4}, {2, 3, 4}, {0, 1, 2, 3}), 1);
    runner.check(contraction(s, {0, 1, 4}, {2, 3, 4}, {0, 1, 2, 3}, "e"), 2, 4e-6);
    // dwq[heads,k,d] = sum_bt dq h;  o[b,t,d] = sum_hk a[b,t,h,k] wo[d,h,k]
    runner.check(contraction(s, {0, 1, 2, 3}, {0, 1, 4}, {2, 3, 4}), 3);
    runner.check(contraction(s, {0, 1, 2, 3}, {4, 2, 3}, {0, 1, 4}), 4);
    // batched: sum_k x[b,t,k] y[b,k,d]
    runner.check(contraction(s, {0, 1, 3}, {0, 3, 4}, {0, 1, 4}), 5);
  }
}

TEST(Contract, sumsLongDimensionsByBlocks) {
  KernelRunner runner;
  runner.check(contraction({9, 70, 3001}, {0, 2}, {2, 1}, {0, 1}, "e"), 1, 4e-6);
  runner.check(contraction({600, 50, 1600}, {2, 0}, {2, 1}, {0, 1}), 2);
  std::mt19937 random(11);
  for (int i = 0; i < 20; ++i) {
    int64_t m = 1 + random() % 20, n = 1 + random() % 40, k = 1000 + random() % 2000;
    runner.check(contraction({m, n, k}, {0, 2}, {1, 2}, {0, 1}), i, 4e-6);
  }
}

TEST(Scatter, addsRowsInOrder) {
  KernelRunner runner;
  std::mt19937 random(9);
  for (int i = 0; i < 20; ++i) {
    int64_t v = 1 + random() % 100, d = 1 + random() % 50, n = 1 + random() % 60;
    std::string T = tensor({v, d}), I = tensor({2, n}, "i32"), U = tensor({2, n, d});
    runner.check("ltc.kernel @k (" + I + ", " + U + ") -> " + T +
                     " inplace [-1] {\n^bb0(%i: " + I + ", %u: " + U +
                     "):\n  %y = ltc.scatter_add %u at %i : " + U + ", " + I +
                     " -> " + T + "\n  ltc.yield %y : " + T + "\n}",
                 i, 2e-6, int(v));
    std::string id = "affine_map<(a, b) -> (a, b)>";
    runner.check("ltc.kernel @k (" + I + ", " + U + ", " + T + ") -> " + T +
                     " inplace [2] {\n^bb0(%i: " + I + ", %u: " + U +
                     ", %o: " + T + "):\n  %y = ltc.scatter_add %u at %i : " +
                     U + ", " + I + " -> " + T + "\n  %z = ltc.map(%o, %y) maps [" +
                     id + ", " + id + "] {\n  ^bb0(%p: f32, %q: f32):\n"
                     "    %s = arith.addf %p, %q : f32\n    ltc.yield %s : f32\n"
                     "  } : (" + T + ", " + T + ") -> " + T +
                     "\n  ltc.yield %z : " + T + "\n}",
                 i, 2e-6, int(v));
  }
}

TEST(Gather, readsRowsOfATable) {
  KernelRunner runner;
  std::mt19937 random(12);
  for (int i = 0; i < 20; ++i) {
    const int64_t widths[] = {1, 16, 192, int64_t(1 + random() % 90)};
    int64_t d = widths[i % 4], v = 1 + random() % 50, n = 1 + random() % 9;
    std::string T = tensor({v, d}), I = tensor({2, n}, "i32"), O = tensor({2, n, d});
    runner.check("ltc.kernel @k (" + T + ", " + I + ") -> " + O +
                     " inplace [-1] {\n^bb0(%t: " + T + ", %i: " + I +
                     "):\n  %y = ltc.gather %t at %i : " + T + ", " + I + " -> " +
                     O + "\n  ltc.yield %y : " + O + "\n}",
                 i, 0, int(v));
  }
}

} // namespace
