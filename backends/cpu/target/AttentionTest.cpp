// SPDX-License-Identifier: Apache-2.0
// Attention and its gradient: native code beside the reference.
#include "backends/cpu/target/KernelRunner.h"
#include <array>

using namespace ltc;
using namespace ltc::cpu;

namespace {

struct Sizes {
  int64_t b, t, u, g, r, k, c;
};

/// A keep region, a score region and what they read.
struct Extra {
  std::vector<std::string> shape; ///< letters of Sizes, or a number
  std::string map, element = "f32";
  bool hasGradient = true;
};
struct Texts {
  std::string keep, score;
  std::vector<Extra> extras;
  bool sink = false, offset = false;
  std::string element = "f32"; ///< of query, key, value and output
};

const char *kCausal = R"(
  %c = arith.cmpi sle, %u, %t : i32
  ltc.yield %c : i1)";
const char *kDocuments = R"(
  %c = arith.cmpi sge, %t, %u : i32
  %d = arith.cmpi eq, %x0, %x1 : i32
  %e = arith.andi %c, %d : i1
  ltc.yield %e : i1)";
const char *kWindow = R"(
  %c = arith.cmpi sle, %u, %t : i32
  %n = arith.subi %t, %u : i32
  %w = arith.constant 5 : i32
  %d = arith.cmpi slt, %n, %w : i32
  %e = arith.andi %d, %c : i1
  ltc.yield %e : i1)";
/// Both directions: -4 < t - u < 70, of two key blocks and more.
const char *kBand = R"(
  %four = arith.constant 4 : i32
  %end = arith.addi %t, %four : i32
  %c = arith.cmpi slt, %u, %end : i32
  %n = arith.subi %t, %u : i32
  %w = arith.constant 70 : i32
  %d = arith.cmpi slt, %n, %w : i32
  %e = arith.andi %d, %c : i1
  ltc.yield %e : i1)";
/// Even queries keep nothing; the head counts too.
const char *kNone = R"(
  %one = arith.constant 1 : i32
  %r = ltc.index 2 : i32
  %s0 = arith.addi %t, %r : i32
  %b = arith.andi %s0, %one : i32
  %d = arith.cmpi eq, %b, %one : i32
  ltc.yield %d : i1)";

const std::vector<Texts> &keeps() {
  static const std::vector<Texts> all = {
      {"", "", {}},
      {kCausal, "", {}},
      {kDocuments,
       "",
       {{{"b", "t"}, "(b, t)", "i32", false},
        {{"b", "u"}, "(b, u)", "i32", false}}},
      {kWindow, "", {}},
      {kBand, "", {}},
      {kNone, "", {}}};
  return all;
}

/// Scores, each with what it reads.
const std::vector<Texts> &scores() {
  const char *cap = R"(
  %c = arith.constant 0.7 : f32
  %d = arith.divf %s, %c : f32
  %h = math.tanh %d : f32
  %y = arith.mulf %h, %c : f32
  ltc.yield %y : f32)";
  // ALiBi: s - slope (t - u)
  const char *slope = R"(
  %n = arith.subi %t, %u : i32
  %f = arith.sitofp %n : i32 to f32
  %p = arith.mulf %x0, %f : f32
  %y = arith.subf %s, %p : f32
  ltc.yield %y : f32)";
  const char *times = R"(
  %p = arith.mulf %s, %x0 : f32
  %y = arith.addf %p, %x1 : f32
  ltc.yield %y : f32)";
  const char *plus = R"(
  %y = arith.addf %s, %x0 : f32
  ltc.yield %y : f32)";
  // What is the same for all of a row's keys has no gradient by itself.
  const char *products = R"(
  %p = arith.mulf %s, %x0 : f32
  %y = arith.mulf %p, %x1 : f32
  ltc.yield %y : f32)";
  static const std::vector<Texts> all = {
      {kCausal, cap, {}},
      {kCausal, slope, {{{"g", "r"}, "(g, r)"}}},
      {kWindow, times, {{{"t", "b"}, "(t, b)"}, {{"u", "g"}, "(u, g)"}}},
      {"", products, {{{"r"}, "(r)"}, {{}, "()"}}},
      {kCausal, plus, {{{"g", "15"}, "(g, t - u + 2)"}}},
      {kBand, plus, {{{"r", "u"}, "(r, u)"}}},
      {kCausal, times, {{{"r", "9"}, "(r, t - u)"}, {{"u"}, "(u)"}}},
      {kNone,
       products,
       {{{"b", "t", "r"}, "(b, t, r)"}, {{"b", "u"}, "(b, u)"}}},
      {kCausal, "", {}, true},
      {kNone, cap, {}, true},
      {kWindow, slope, {{{"r", "g"}, "(r, g)"}}, true}};
  return all;
}

int64_t sizeOf(const std::string &letter, const Sizes &n) {
  switch (letter[0]) {
  case 'b':
    return n.b;
  case 't':
    return n.t;
  case 'u':
    return n.u;
  case 'g':
    return n.g;
  case 'r':
    return n.r;
  default:
    return std::stoll(letter);
  }
}

/// Operands, maps and region arguments of the extras; gradients' types.
struct Reads {
  std::string types, names, arguments, maps, inside, gradients, numbers;
  int count = 0;
  Reads(const Sizes &n, const Texts &texts) {
    for (size_t i = 0; i < texts.extras.size(); ++i) {
      const Extra &extra = texts.extras[i];
      std::string number = std::to_string(i);
      std::vector<int64_t> shape, gradient = {n.b, n.g};
      for (const std::string &letter : extra.shape) {
        shape.push_back(sizeOf(letter, n));
        if (letter != "b" && letter != "g")
          gradient.push_back(shape.back());
      }
      std::string type = tensor(shape, extra.element);
      types += ", " + type;
      names += (i ? ", %e" : " reads %e") + number;
      arguments += ", %e" + number + ": " + type;
      maps += (i ? ", " : "") + std::string("affine_map<(b, g, r, t, u) -> ") +
              extra.map + ">";
      inside += ", %x" + number + ": " + extra.element;
      if (!extra.hasGradient)
        continue;
      gradients += ", " + tensor(gradient);
      numbers += (count++ ? ", " : "") + number;
    }
  }
};

std::string attention(const Sizes &n, const Texts &texts, bool gradient) {
  Reads reads(n, texts);
  auto operands = [&](const std::string &element) {
    return std::array{tensor({n.b, n.t, n.g, n.r, n.k}, element),
                      tensor({n.b, n.u, n.g, n.k}, element),
                      tensor({n.b, n.u, n.g, n.c}, element)};
  };
  auto [q, key, value] = operands(texts.element);
  auto [dQuery, dKey, dValue] = operands("f32");
  std::string out = tensor({n.b, n.t, n.g, n.r, n.c}, texts.element),
              lse = tensor({n.b, n.t, n.g, n.r}), sink = tensor({n.g, n.r});
  std::string types = q + ", " + key + ", " + value, names = "%q, %k, %v";
  std::string arguments = "%q: " + q + ", %k: " + key + ", %v: " + value;
  std::string results = out + ", " + lse, yielded = "%y0, %y1",
              inplace = "-1, -1";
  std::string attributes;
  if (gradient) {
    types += ", " + out + ", " + lse + ", " + out;
    names += ", %o, %l, %do";
    arguments += ", %o: " + out + ", %l: " + lse + ", %do: " + out;
    results = dQuery + ", " + dKey + ", " + dValue + reads.gradients;
    yielded += ", %y2", inplace += ", -1";
    for (int i = 0; i < reads.count; ++i) {
      yielded += ", %y" + std::to_string(3 + i);
      inplace += ", -1";
    }
    attributes = " {extraGrads = array<i64: " + reads.numbers + ">}";
    if (!reads.count)
      attributes = "";
  } else if (texts.sink) {
    types += ", " + sink;
    names += " sink %sink";
    arguments += ", %sink: " + sink;
  }
  if (texts.offset) {
    types += ", tensor<i32>";
    names += " offset %at";
    arguments += ", %at: tensor<i32>";
  }
  auto region = [&](const std::string &text, const std::string &own) {
    return text.empty() ? std::string(" {}")
                        : " {\n^bb0(" + own + "%t: i32, %u: i32" +
                              reads.inside + "):" + text + "\n}";
  };
  return "ltc.kernel @attention (" + types + reads.types + ") -> (" + results +
         ") inplace [" + inplace + "] {\n^bb0(" + arguments + reads.arguments +
         "):\n" + yielded + " = ltc.attention" +
         (gradient ? "_grad " : " ") + names + reads.names + " [" + reads.maps +
         "] scale 0.4 keep" + region(texts.keep, "") + " score" +
         region(texts.score, "%s: f32, ") + attributes + " : (" + types +
         reads.types + ") -> (" + results + ")\nltc.yield " + yielded + " : " +
         results + "\n}";
}

Sizes randomSizes(std::mt19937 &random) {
  auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
  int64_t t = pick(100);
  return {pick(3), t, random() % 2 ? t : pick(100), pick(2), pick(5), pick(24),
          pick(24)};
}

TEST(Attention, agreesWithTheReferenceOnRaggedShapes) {
  KernelRunner runner;
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i)
    runner.check(attention(randomSizes(random), keeps()[i % 6], false), i,
                 3e-6);
}

TEST(Attention, agreesWithTheReferenceWithScoresAndSinks) {
  KernelRunner runner;
  std::mt19937 random(3);
  for (const Texts &texts : scores())
    for (int i = 0; i < 10; ++i)
      runner.check(attention(randomSizes(random), texts, false), i, 5e-6);
}

/// Few queries that stand anywhere among the keys of a cache.
TEST(Attention, agreesWithTheReferenceOnACache) {
  KernelRunner runner;
  std::mt19937 random(5);
  std::vector<Texts> all = keeps();
  llvm::append_range(all, scores());
  for (Texts texts : all)
    for (int i = 0; i < 4; ++i) {
      Sizes n = randomSizes(random);
      n.u = 1 + int64_t(random() % 200);
      n.t = i % 2 ? 1 : 1 + int64_t(random()) % std::min<int64_t>(n.u, 20);
      texts.offset = true;
      std::string text = attention(n, texts, false);
      auto inputs = runner.randomInputs(text, i);
      inputs[texts.sink ? 4 : 3].data[0] =
          double(random() % uint64_t(n.u - n.t + 1));
      runner.checkOn(text, inputs, 5e-6);
    }
}

/// What stands behind the last query is not touched, be it NaN.
TEST(Attention, readsNoKeyBlockBehindTheOffset) {
  KernelRunner runner;
  Texts texts = keeps()[1];
  texts.offset = true;
  Sizes n = {1, 1, 256, 1, 1, 8, 8};
  std::string text = attention(n, texts, false);
  auto inputs = runner.randomInputs(text, 1);
  inputs[3].data[0] = 127;
  for (int64_t i = 128 * 8; i < 256 * 8; ++i)
    inputs[1].data[i] = inputs[2].data[i] = std::nan("");
  auto results = runner.runNative(text, inputs);
  ASSERT_EQ(results.size(), 2u);
  for (double x : results[0].data)
    EXPECT_TRUE(std::isfinite(x));
}

TEST(Attention, agreesWithTheReferenceOnModelShapes) {
  KernelRunner runner;
  for (Sizes n : {Sizes{2, 128, 128, 2, 2, 48, 48}, {1, 64, 64, 1, 1, 64, 64},
                  {1, 192, 192, 1, 3, 32, 16}})
    runner.check(attention(n, keeps()[2], false), int(n.t), 3e-6);
}

/// Runs the gradient on outputs that the forward reference made.
void checkGradient(KernelRunner &runner, const Sizes &n, const Texts &texts,
                   int seed, double bound = 5e-6) {
  std::string forward = attention(n, texts, false);
  auto inputs = runner.randomInputs(forward, seed);
  auto outputs = runner.runReference(inputs);
  ASSERT_EQ(outputs.size(), 2u);
  std::string text = attention(n, texts, true);
  auto all = runner.randomInputs(text, seed + 1000);
  for (size_t i = 0; i < 3; ++i)
    all[i] = inputs[i];
  all[3] = outputs[0];
  all[4] = outputs[1];
  size_t first = texts.sink ? 4 : 3; // a sink is in lse
  for (size_t i = first; i < inputs.size(); ++i)
    all[i - first + 6] = inputs[i];
  runner.checkOn(text, all, bound);
}

TEST(AttentionGrad, agreesWithTheReferenceOnRaggedShapes) {
  KernelRunner runner;
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i)
    checkGradient(runner, randomSizes(random), keeps()[i % 6], i);
}

TEST(AttentionGrad, agreesWithTheReferenceWithScoresAndSinks) {
  KernelRunner runner;
  std::mt19937 random(4);
  // A slope's gradient is a sum of terms as large as the distance, of both
  // signs.
  for (const Texts &texts : scores())
    for (int i = 0; i < 10; ++i) {
      // One key alone has weight 1: a score's gradient is rounding and nothing
      // else, which a sum weighed by distances makes large.
      Sizes sizes = randomSizes(random);
      sizes.u = std::max<int64_t>(sizes.u, 2);
      checkGradient(runner, sizes, texts, i, 5e-5);
    }
}

TEST(AttentionGrad, agreesWithTheReferenceOnModelShapes) {
  KernelRunner runner;
  for (Sizes n : {Sizes{2, 128, 128, 2, 2, 48, 48}, {1, 64, 64, 1, 1, 64, 64},
                  {1, 192, 192, 1, 3, 32, 16}})
    checkGradient(runner, n, keeps()[1], int(n.t));
}

/// Fills rows [from, to) of a tensor (1,u,1,8) with NaN: whoever reads one of
/// them, masked or not, spreads it.
void poison(HostTensor &tensor, int64_t from, int64_t to) {
  for (int64_t i = from * 8; i < to * 8; ++i)
    tensor.data[i] = std::nan("");
}
void expectFinite(const HostTensor &tensor, int64_t from, int64_t to) {
  for (int64_t i = from * 8; i < to * 8; ++i)
    ASSERT_TRUE(std::isfinite(tensor.data[i])) << "row " << i / 8;
}

const Sizes kLong = {1, 256, 256, 1, 1, 8, 8};

TEST(Attention, readsNoKeyBlockOutsideTheWindow) {
  KernelRunner runner;
  std::string text = attention(kLong, keeps()[3], false);
  for (auto [from, to] : {std::pair(0, 64), std::pair(192, 256)}) {
    auto inputs = runner.randomInputs(text, 1);
    poison(inputs[1], from, to);
    poison(inputs[2], from, to);
    auto results = runner.runNative(text, inputs);
    ASSERT_EQ(results.size(), 2u);
    expectFinite(results[0], from ? 0 : 128, from ? 192 : 256);
  }
}

TEST(AttentionGrad, readsNoKeyBlockOutsideTheWindow) {
  KernelRunner runner;
  auto inputs = runner.randomInputs(attention(kLong, keeps()[3], false), 1);
  auto outputs = runner.runReference(inputs);
  std::string text = attention(kLong, keeps()[3], true);
  for (auto [from, to] : {std::pair(0, 64), std::pair(192, 256)}) {
    auto all = runner.randomInputs(text, 2);
    for (size_t i = 0; i < 3; ++i)
      all[i] = inputs[i];
    all[3] = outputs[0];
    all[4] = outputs[1];
    poison(all[1], from, to);
    poison(all[2], from, to);
    auto results = runner.runNative(text, all);
    ASSERT_EQ(results.size(), 3u);
    for (const HostTensor &result : results)
      expectFinite(result, from ? 0 : 128, from ? 192 : 256);
  }
}

/// The texts of keeps() and scores() on operands in bf16.
std::vector<Texts> inBf16() {
  std::vector<Texts> all = keeps();
  all.insert(all.end(), scores().begin(), scores().end());
  for (Texts &texts : all)
    texts.element = "bf16";
  return all;
}

TEST(Attention, takesBf16AndRoundsItsOutputOnce) {
  KernelRunner runner;
  std::mt19937 random(3);
  for (const Texts &texts : inBf16())
    for (int i = 0; i < 4; ++i) // a value in the middle may round elsewhere
      runner.check(attention(randomSizes(random), texts, false), i, 0.008);
}

TEST(AttentionGrad, takesBf16AndSumsInF32) {
  KernelRunner runner;
  std::mt19937 random(4);
  for (const Texts &texts : inBf16())
    for (int i = 0; i < 4; ++i) {
      Sizes sizes = randomSizes(random);
      if (!texts.score.empty()) // one key alone: as above
        sizes.u = std::max<int64_t>(sizes.u, 2);
      checkGradient(runner, sizes, texts, i,
                    texts.score.empty() ? 5e-6 : 5e-5);
    }
}

} // namespace
