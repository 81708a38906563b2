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

enum class Keep { all, causal, documents, window, none };

const char *kAll = " keep {} score {}";
const char *kCausal = R"( keep {
  ^bb0(%t: i32, %u: i32):
    %c = arith.cmpi sle, %u, %t : i32
    ltc.yield %c : i1
  } score {})";
const char *kDocuments = R"( keep {
  ^bb0(%t: i32, %u: i32, %a: i32, %b: i32):
    %c = arith.cmpi sge, %t, %u : i32
    %d = arith.cmpi eq, %a, %b : i32
    %e = arith.andi %c, %d : i1
    ltc.yield %e : i1
  } score {})";
const char *kWindow = R"( keep {
  ^bb0(%t: i32, %u: i32):
    %c = arith.cmpi sle, %u, %t : i32
    %n = arith.subi %t, %u : i32
    %w = arith.constant 5 : i32
    %d = arith.cmpi slt, %n, %w : i32
    %e = arith.andi %d, %c : i1
    ltc.yield %e : i1
  } score {})";
/// Even queries keep nothing; the head counts too.
const char *kNone = R"( keep {
  ^bb0(%t: i32, %u: i32):
    %one = arith.constant 1 : i32
    %r = ltc.index 2 : i32
    %s = arith.addi %t, %r : i32
    %b = arith.andi %s, %one : i32
    %d = arith.cmpi eq, %b, %one : i32
    ltc.yield %d : i1
  } score {})";

const char *textOf(Keep keep) {
  switch (keep) {
  case Keep::all:
    return kAll;
  case Keep::causal:
    return kCausal;
  case Keep::documents:
    return kDocuments;
  case Keep::window:
    return kWindow;
  case Keep::none:
    return kNone;
  }
  return kAll;
}

std::string tensor(std::initializer_list<int64_t> sizes,
                   const char *element = "f32") {
  std::string text = "tensor<";
  for (int64_t size : sizes)
    text += std::to_string(size) + "x";
  return text + element + ">";
}

std::string attention(const Sizes &n, Keep keep, bool gradient,
                      const char *element = "f32") {
  auto operands = [&](const char *element) {
    return std::array{tensor({n.b, n.t, n.g, n.r, n.k}, element),
                      tensor({n.b, n.u, n.g, n.k}, element),
                      tensor({n.b, n.u, n.g, n.c}, element)};
  };
  auto [q, key, value] = operands(element);
  auto [dq, dkey, dvalue] = operands("f32");
  std::string out = tensor({n.b, n.t, n.g, n.r, n.c}, element),
              lse = tensor({n.b, n.t, n.g, n.r});
  bool documents = keep == Keep::documents;
  std::string types = q + ", " + key + ", " + value;
  std::string names = "%q, %k, %v";
  std::string arguments = "%q: " + q + ", %k: " + key + ", %v: " + value;
  if (gradient) {
    types += ", " + out + ", " + lse + ", " + out;
    names += ", %o, %l, %do";
    arguments += ", %o: " + out + ", %l: " + lse + ", %do: " + out;
  }
  std::string mapped = " []";
  if (documents) {
    std::string dt = tensor({n.b, n.t}, "i32"), du = tensor({n.b, n.u}, "i32");
    types += ", " + dt + ", " + du;
    names += " reads %dt, %du";
    arguments += ", %dt: " + dt + ", %du: " + du;
    mapped = " [affine_map<(b, g, r, t, u) -> (b, t)>, "
             "affine_map<(b, g, r, t, u) -> (b, u)>]";
  }
  std::string results =
      gradient ? dq + ", " + dkey + ", " + dvalue : out + ", " + lse;
  std::string yielded = gradient ? "%x, %y, %z" : "%x, %y";
  std::string inplace = gradient ? "[-1, -1, -1]" : "[-1, -1]";
  return "ltc.kernel @attention (" + types + ") -> (" + results +
         ") inplace " + inplace + " {\n^bb0(" + arguments + "):\n" + yielded +
         " = ltc.attention" + (gradient ? "_grad " : " ") + names + mapped +
         " scale 0.4" + textOf(keep) + " : (" + types + ") -> (" + results +
         ")\nltc.yield " + yielded + " : " + results + "\n}";
}

constexpr Keep kKeeps[] = {Keep::all, Keep::causal, Keep::documents,
                           Keep::window, Keep::none};

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
    runner.check(attention(randomSizes(random), kKeeps[i % 5], false), i, 3e-6);
}

TEST(Attention, agreesWithTheReferenceOnModelShapes) {
  KernelRunner runner;
  for (Sizes n : {Sizes{2, 128, 128, 2, 2, 48, 48}, {1, 64, 64, 1, 1, 64, 64},
                  {1, 192, 192, 1, 3, 32, 16}})
    runner.check(attention(n, Keep::documents, false), int(n.t), 3e-6);
}

/// Runs the gradient on outputs that the forward reference made.
void checkGradient(KernelRunner &runner, const Sizes &n, Keep keep, int seed,
                   const char *element = "f32") {
  std::string forward = attention(n, keep, false, element);
  auto inputs = runner.randomInputs(forward, seed);
  auto outputs = runner.runReference(inputs);
  ASSERT_EQ(outputs.size(), 2u);
  std::string text = attention(n, keep, true, element);
  auto all = runner.randomInputs(text, seed + 1000);
  for (size_t i = 0; i < 3; ++i)
    all[i] = inputs[i];
  all[3] = outputs[0];
  all[4] = outputs[1];
  for (size_t i = 3; i < inputs.size(); ++i)
    all[i + 3] = inputs[i];
  runner.checkOn(text, all, 5e-6);
}

TEST(AttentionGrad, agreesWithTheReferenceOnRaggedShapes) {
  KernelRunner runner;
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i)
    checkGradient(runner, randomSizes(random), kKeeps[i % 5], i);
}

TEST(AttentionGrad, agreesWithTheReferenceOnModelShapes) {
  KernelRunner runner;
  for (Sizes n : {Sizes{2, 128, 128, 2, 2, 48, 48}, {1, 64, 64, 1, 1, 64, 64},
                  {1, 192, 192, 1, 3, 32, 16}})
    checkGradient(runner, n, Keep::causal, int(n.t));
}

TEST(Attention, takesBf16AndRoundsItsOutputOnce) {
  KernelRunner runner;
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) // a value in the middle may round elsewhere
    runner.check(attention(randomSizes(random), kKeeps[i % 5], false, "bf16"),
                 i, 0.008);
}

TEST(AttentionGrad, takesBf16AndSumsInF32) {
  KernelRunner runner;
  std::mt19937 random(4);
  for (int i = 0; i < 20; ++i)
    checkGradient(runner, randomSizes(random), kKeeps[i % 5], i, "bf16");
}

} // namespace
