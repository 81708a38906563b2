// SPDX-License-Identifier: Apache-2.0
// Scans beside the reference on ragged shapes: along any dimension, both ways,
// with and without decay and documents, alone and with what stands around.
#pragma once
#include "backends/emit/Cases.h"
#include "ir/interfaces/HostTensor.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace ltc {

template <typename Runner> class Scan : public testing::Test {};
TYPED_TEST_SUITE_P(Scan);

struct ScanCase {
  std::vector<int64_t> shape;
  int64_t dim;
  bool decay, document, reverse;
};

/// Random sizes, one to four dimensions.
inline ScanCase randomScan(std::mt19937 &random, int n, bool lastDim) {
  ScanCase made;
  int rank = 1 + n % 4;
  for (int i = 0; i < rank; ++i)
    made.shape.push_back(1 + random() % (i + 1 == rank ? 300 : 9));
  made.dim = lastDim ? rank - 1 : random() % rank;
  if (made.dim + 1 < rank)
    made.shape[made.dim] = 1 + random() % 60;
  made.decay = random() % 2;
  made.document = random() % 3 != 0;
  made.reverse = random() % 2;
  return made;
}

inline std::string scanText(const ScanCase &c, const std::string &x,
                            const std::string &decay) {
  std::string X = tensor(c.shape, "f32"), text = "ltc.scan " + x;
  std::vector<int64_t> lead(c.shape.begin(), c.shape.begin() + c.dim + 1);
  if (c.decay)
    text += " decay " + decay;
  if (c.reverse)
    text += " reverse";
  text += " along " + std::to_string(c.dim);
  if (c.document)
    text += " within %d";
  text += " : " + X;
  if (c.decay)
    text += " decay " + X;
  if (c.document)
    text += " within " + tensor(lead, "i32");
  return text + "\n";
}

/// A kernel of %x, %a, %d whose body is `body` and that yields `results`.
inline std::string scanKernel(const ScanCase &c, const std::string &body,
                              const std::vector<std::string> &results) {
  std::string X = tensor(c.shape, "f32");
  std::string D = tensor({c.shape.begin(), c.shape.begin() + c.dim + 1}, "i32");
  std::string types, names, inplace;
  for (const std::string &result : results) {
    types += (types.empty() ? "" : ", ") + X;
    names += (names.empty() ? "" : ", ") + result;
    inplace += inplace.empty() ? "-1" : ", -1";
  }
  return "ltc.kernel @k (" + X + ", " + X + ", " + D + ") -> (" + types +
         ") inplace [" + inplace + "] {\n^bb0(%x: " + X + ", %a: " + X +
         ", %d: " + D + "):\n" + body + "ltc.yield " + names + " : " + types +
         "\n}";
}

/// %r = a map of two values at the same point; `scalar` makes %z of %p, %q.
inline std::string scanMap(const ScanCase &c, const std::string &r,
                           const std::string &p, const std::string &q,
                           const std::string &scalar) {
  std::string X = tensor(c.shape, "f32"), dims;
  for (size_t i = 0; i < c.shape.size(); ++i)
    dims += (i ? ", d" : "d") + std::to_string(i);
  std::string same = "affine_map<(" + dims + ") -> (" + dims + ")>";
  return r + " = ltc.map(" + p + ", " + q + ") maps [" + same + ", " + same +
         "] {\n^bb0(%p: f32, %q: f32):\n" + scalar +
         "ltc.yield %z : f32\n} : (" + X + ", " + X + ") -> " + X + "\n";
}

TYPED_TEST_P(Scan, alongAnyDimension) {
  TypeParam runner;
  std::mt19937 random(1);
  for (int n = 0; n < 24; ++n) {
    ScanCase c = randomScan(random, n, n % 3 == 0);
    runner.check(scanKernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"}), n,
                 4e-6, 2);
  }
}

TYPED_TEST_P(Scan, everyFormAlongTheLastDimensionAndAnother) {
  TypeParam runner;
  for (int n = 0; n < 16; ++n) {
    bool last = n & 8;
    ScanCase c{{3, 37}, 1, bool(n & 1), bool(n & 2), bool(n & 4)};
    if (!last)
      c.shape = {3, 9, 150};
    runner.check(scanKernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"}), n,
                 4e-6, 2);
  }
}

// What the backward of a recurrence is: the decay is made and shifted on the
// way in; on the way out the sum meets another value, and both are stored.
TYPED_TEST_P(Scan, takesWhatItReadsAndWhatFollows) {
  TypeParam runner;
  std::mt19937 random(2);
  for (int n = 0; n < 20; ++n) {
    ScanCase c = randomScan(random, n, n % 3 == 0);
    c.decay = true;
    std::string X = tensor(c.shape, "f32"), D,
                along = " along " + std::to_string(c.dim);
    if (c.document) {
      D = ", " +
          tensor({c.shape.begin(), c.shape.begin() + c.dim + 1}, "i32");
      along += " within %d";
    }
    std::string body =
        scanMap(c, "%m", "%a", "%x", "%z = arith.mulf %p, %q : f32\n") +
        "%n = ltc.shift %m by " + (c.reverse ? "-1" : "1") + along + " : " + X +
        D + " -> " + X + "\n%o = ltc.shift %x by 1" + along + " : " + X + D +
        " -> " + X + "\n%y = " + scanText(c, "%x", "%n") +
        scanMap(c, "%r", "%y", "%o", "%z = arith.mulf %p, %q : f32\n");
    runner.check(scanKernel(c, body, {"%y", "%r", "%m"}), n, 4e-6, 2);
  }
}

// Nothing passes from one document, or from before a sequence, to the next:
// not even what is not finite.
TYPED_TEST_P(Scan, keepsInfinityInItsDocument) {
  TypeParam runner;
  for (bool last : {false, true})
    for (bool reverse : {false, true}) {
      ScanCase c{{1, 6}, 1, true, true, reverse};
      if (!last)
        c.shape = {1, 6, 1};
      std::string text =
          scanKernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"});
      HostTensor x(c.shape, 1), a(c.shape, 1), d({1, 6});
      x.data[2] = a.data[reverse ? 5 : 0] = INFINITY;
      d.data = {0, 0, 1, 1, 2, 2};
      auto native = runner.runNative(text, {x, a, d}, /*parts=*/1);
      ASSERT_EQ(native.size(), 1u);
      auto reference = runner.runReference({x, a, d});
      EXPECT_EQ(native[0].data, reference[0].data);
      EXPECT_EQ(native[0].data[reverse ? 1 : 4], 1);
    }
}

REGISTER_TYPED_TEST_SUITE_P(Scan,
                            alongAnyDimension,
                            everyFormAlongTheLastDimensionAndAnother,
                            takesWhatItReadsAndWhatFollows,
                            keepsInfinityInItsDocument);

} // namespace ltc
