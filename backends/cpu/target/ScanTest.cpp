// SPDX-License-Identifier: Apache-2.0
// Scans beside the reference on ragged shapes: along any dimension, both ways,
// with and without decay and documents, alone and with what stands around.
#include "backends/cpu/target/KernelRunner.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

struct Case {
  std::vector<int64_t> shape;
  int64_t dim;
  bool decay, document, reverse;
};

std::string tensor(const std::vector<int64_t> &shape, const char *element) {
  std::string text = "tensor<";
  for (int64_t size : shape)
    text += std::to_string(size) + "x";
  return text + element + ">";
}

/// Random sizes, one to four dimensions.
Case randomCase(std::mt19937 &random, int n, bool lastDim) {
  Case made;
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

std::string scanText(const Case &c, const std::string &x,
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
std::string kernel(const Case &c, const std::string &body,
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
std::string map(const Case &c, const std::string &r, const std::string &p,
                const std::string &q, const std::string &scalar) {
  std::string X = tensor(c.shape, "f32"), dims;
  for (size_t i = 0; i < c.shape.size(); ++i)
    dims += (i ? ", d" : "d") + std::to_string(i);
  std::string same = "affine_map<(" + dims + ") -> (" + dims + ")>";
  return r + " = ltc.map(" + p + ", " + q + ") maps [" + same + ", " + same +
         "] {\n^bb0(%p: f32, %q: f32):\n" + scalar +
         "ltc.yield %z : f32\n} : (" + X + ", " + X + ") -> " + X + "\n";
}

TEST(Scan, alongAnyDimension) {
  KernelRunner runner;
  std::mt19937 random(1);
  for (int n = 0; n < 24; ++n) {
    Case c = randomCase(random, n, n % 3 == 0);
    runner.check(kernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"}), n, 4e-6,
                 2);
  }
}

TEST(Scan, everyFormAlongTheLastDimensionAndAnother) {
  KernelRunner runner;
  for (int n = 0; n < 16; ++n) {
    bool last = n & 8;
    Case c{last ? std::vector<int64_t>{3, 37} : std::vector<int64_t>{3, 9, 150},
           1, bool(n & 1), bool(n & 2), bool(n & 4)};
    runner.check(kernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"}), n, 4e-6,
                 2);
  }
}

// What the backward of a recurrence is: the decay is made and shifted on the
// way in; on the way out the sum meets another value, and both are stored.
TEST(Scan, takesWhatItReadsAndWhatFollows) {
  KernelRunner runner;
  std::mt19937 random(2);
  for (int n = 0; n < 20; ++n) {
    Case c = randomCase(random, n, n % 3 == 0);
    c.decay = true;
    std::string X = tensor(c.shape, "f32"), D,
                along = " along " + std::to_string(c.dim);
    if (c.document) {
      D = ", " +
          tensor({c.shape.begin(), c.shape.begin() + c.dim + 1}, "i32");
      along += " within %d";
    }
    std::string body =
        map(c, "%m", "%a", "%x", "%z = arith.mulf %p, %q : f32\n") +
        "%n = ltc.shift %m by " + (c.reverse ? "-1" : "1") + along + " : " + X +
        D + " -> " + X + "\n%o = ltc.shift %x by 1" + along + " : " + X + D +
        " -> " + X + "\n%y = " + scanText(c, "%x", "%n") +
        map(c, "%r", "%y", "%o", "%z = arith.mulf %p, %q : f32\n");
    runner.check(kernel(c, body, {"%y", "%r", "%m"}), n, 4e-6, 2);
  }
}

// Nothing passes from one document, or from before a sequence, to the next:
// not even what is not finite.
TEST(Scan, keepsInfinityInItsDocument) {
  KernelRunner runner;
  for (bool last : {false, true})
    for (bool reverse : {false, true}) {
      Case c{last ? std::vector<int64_t>{1, 6} : std::vector<int64_t>{1, 6, 1},
             1, true, true, reverse};
      std::string text =
          kernel(c, "%y = " + scanText(c, "%x", "%a"), {"%y"});
      HostTensor x(c.shape, 1), a(c.shape, 1), d({1, 6});
      x.data[2] = a.data[reverse ? 5 : 0] = INFINITY;
      d.data = {0, 0, 1, 1, 2, 2};
      auto native = runner.runNative(text, {x, a, d});
      ASSERT_EQ(native.size(), 1u);
      auto reference = runner.runReference({x, a, d});
      EXPECT_EQ(native[0].data, reference[0].data);
      EXPECT_EQ(native[0].data[reverse ? 1 : 4], 1);
    }
}

} // namespace
