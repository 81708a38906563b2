// SPDX-License-Identifier: Apache-2.0
// Attention whose query, key and value are turned by their positions on the
// way: beside the reference, and to the bit what separate kernels make of it.
#include "backends/cpu/target/KernelRunner.h"
#include <map>

using namespace ltc;
using namespace ltc::cpu;

namespace {

// How %@.in, of type $I, is turned by the tables %@.c and %@.s into %@.out.
const char *const kHalves = R"(
%@.lo = ltc.slice %@.in along 3 from 0 : $I -> $W
%@.hi = ltc.slice %@.in along 3 from $H : $I -> $W
%@.x = ltc.map(%@.lo, %@.hi, %@.c, %@.s) maps [#at, #at, #by, #by] {
^bb0(%x: f32, %y: f32, %c: f32, %s: f32):
  %p = arith.mulf %x, %c : f32
  %q = arith.mulf %y, %s : f32
  %z = arith.subf %p, %q : f32
  ltc.yield %z : f32
} : ($W, $W, $T, $T) -> $W
%@.y = ltc.map(%@.hi, %@.lo, %@.c, %@.s) maps [#at, #at, #by, #by] {
^bb0(%x: f32, %y: f32, %c: f32, %s: f32):
  %p = arith.mulf %x, %c : f32
  %q = arith.mulf %y, %s : f32
  %z = arith.addf %p, %q : f32
  ltc.yield %z : f32
} : ($W, $W, $T, $T) -> $W
%@.out = ltc.join %@.x, %@.y along 3 : $W, $W -> $I
)";
const char *const kNeighbours = R"(
%@.next = ltc.shift %@.in by -1 along 3 : $I -> $I
%@.last = ltc.shift %@.in by 1 along 3 : $I -> $I
%@.out = ltc.map(%@.in, %@.next, %@.last, %@.c, %@.s)
    maps [#at, #at, #at, #by, #by] {
^bb0(%x: f32, %n: f32, %l: f32, %c: f32, %s: f32):
  %one = arith.constant 1 : i32
  %i = ltc.index 3 : i32
  %b = arith.andi %i, %one : i32
  %odd = arith.cmpi eq, %b, %one : i32
  %m = arith.negf %n : f32
  %o = arith.select %odd, %l, %m : f32
  %p = arith.mulf %x, %c : f32
  %q = arith.mulf %o, %s : f32
  %z = arith.addf %p, %q : f32
  ltc.yield %z : f32
} : ($I, $I, $I, $T, $T) -> $I
)";
const char *const kPart = R"(
%@.lo = ltc.slice %@.in along 3 from 0 : $I -> $W
%@.hi = ltc.slice %@.in along 3 from $H : $I -> $W
%@.rest = ltc.slice %@.in along 3 from $F : $I -> $R
%@.x, %@.y = ltc.map(%@.lo, %@.hi, %@.c, %@.s) maps [#at, #at, #by, #by] {
^bb0(%x: f32, %y: f32, %c: f32, %s: f32):
  %p = arith.mulf %x, %c : f32
  %q = arith.mulf %y, %s : f32
  %z = arith.subf %p, %q : f32
  %d = arith.mulf %y, %c : f32
  %e = arith.mulf %x, %s : f32
  %f = arith.addf %d, %e : f32
  ltc.yield %z, %f : f32, f32
} : ($W, $W, $T, $T) -> ($W, $W)
%@.turned = ltc.join %@.x, %@.y along 3 : $W, $W -> $B
%@.out = ltc.join %@.turned, %@.rest along 3 : $B, $R -> $I
)";
const char *const kBf16 = R"(
%@.lo = ltc.slice %@.in along 3 from 0 : $I -> $W
%@.hi = ltc.slice %@.in along 3 from $H : $I -> $W
%@.x, %@.y = ltc.map(%@.lo, %@.hi, %@.c, %@.s) maps [#at, #at, #by, #by] {
^bb0(%n: bf16, %m: bf16, %c: f32, %s: f32):
  %x = arith.extf %n : bf16 to f32
  %y = arith.extf %m : bf16 to f32
  %p = arith.mulf %x, %c : f32
  %q = arith.mulf %y, %s : f32
  %z = arith.subf %p, %q : f32
  %d = arith.mulf %y, %c : f32
  %e = arith.mulf %x, %s : f32
  %f = arith.addf %d, %e : f32
  %z16 = arith.truncf %z : f32 to bf16
  %f16 = arith.truncf %f : f32 to bf16
  ltc.yield %z16, %f16 : bf16, bf16
} : ($W, $W, $T, $T) -> ($W, $W)
%@.out = ltc.join %@.x, %@.y along 3 : $W, $W -> $I
)";
const std::map<std::string, const char *> &layouts() {
  static const std::map<std::string, const char *> all = {
      {"halves", kHalves}, {"neighbours", kNeighbours},
      {"part", kPart}, {"bf16", kBf16}};
  return all;
}

const char *const kMaps =
    "#at = affine_map<(b, t, h, k) -> (b, t, h, k)>\n"
    "#by = affine_map<(b, t, h, k) -> (b, t, k)>\n";

using Fields = std::vector<std::pair<std::string, std::string>>;
std::string fill(std::string text, const Fields &fields) {
  for (const auto &[name, value] : fields)
    for (size_t at; (at = text.find(name)) != std::string::npos;)
      text.replace(at, name.size(), value);
  return text;
}

/// One operand: (b, positions, heads, k), turned by `layout` ("": not).
struct Operand {
  std::string name, layout, element;
  int64_t b, positions, heads, k;

  std::string type() const { return tensor({b, positions, heads, k}, element); }
  std::string table() const {
    int64_t width = layout == "neighbours" ? k : half();
    return tensor({b, positions, width});
  }
  int64_t half() const { return layout == "part" ? k / 4 : k / 2; }
  /// The lines that make %name.out.
  std::string lines() const {
    auto part = [&](int64_t size) {
      return tensor({b, positions, heads, size}, element);
    };
    return fill(layouts().at(layout),
                {{"@", name},
                 {"$I", type()},
                 {"$T", table()},
                 {"$W", part(half())},
                 {"$B", part(2 * half())},
                 {"$R", part(k - 2 * half())},
                 {"$H", std::to_string(half())},
                 {"$F", std::to_string(2 * half())}});
  }
  std::string types() const {
    return layout.empty() ? type() : type() + ", " + table() + ", " + table();
  }
  std::string arguments() const {
    if (layout.empty())
      return "%" + name + ".out: " + type();
    return fill("%@.in: $I, %@.c: $T, %@.s: $T",
                {{"@", name}, {"$I", type()}, {"$T", table()}});
  }
  /// The turning alone, as a kernel.
  std::string kernel() const {
    return kMaps + std::string("ltc.kernel @turn (") + types() + ") -> " +
           type() + " inplace [-1] {\n^bb0(" + arguments() + "):" + lines() +
           "ltc.yield %" + name + ".out : " + type() + "\n}";
  }
};

struct Case {
  int64_t b, t, u, g, r, k, c;
  std::string query, key, value, element = "f32";
  int64_t window = 1000;

  std::vector<Operand> operands(bool turned) const {
    std::vector<Operand> all = {{"q", query, element, b, t, g * r, k},
                                {"k", key, element, b, u, g, k},
                                {"v", value, element, b, u, g, c}};
    for (Operand &operand : all)
      if (!turned)
        operand.layout.clear();
    return all;
  }
};

/// The kernel on operands that it turns itself, or that come turned.
std::string attention(const Case &n, bool gradient, bool turned) {
  std::string text = R"(
%q.g = ltc.reshape %q.out : $Q -> $G
$Y = ltc.attention$A %q.g, %k.out, %v.out$O [] scale 0.4 keep {
^bb0(%t: i32, %u: i32):
  %c = arith.cmpi sle, %u, %t : i32
  %n = arith.subi %t, %u : i32
  %w = arith.constant $N : i32
  %d = arith.cmpi slt, %n, %w : i32
  %e = arith.andi %d, %c : i1
  ltc.yield %e : i1
} score {} : ($G, $K, $V$P) -> ($Z)
ltc.yield $Y : $Z
})";
  std::string types, arguments, lines;
  std::vector<Operand> all = n.operands(turned);
  for (const Operand &operand : all) {
    types += (types.empty() ? "" : ", ") + operand.types();
    arguments += (arguments.empty() ? "" : ", ") + operand.arguments();
    if (!operand.layout.empty())
      lines += operand.lines();
  }
  auto grouped = [&](int64_t width, const std::string &element) {
    return tensor({n.b, n.t, n.g, n.r, width}, element);
  };
  std::string out = grouped(n.c, n.element),
              lse = tensor({n.b, n.t, n.g, n.r}),
              results = out + ", " + lse;
  std::string more, extra;
  if (gradient) {
    more = ", " + out + ", " + lse + ", " + out;
    extra = ", %out: " + out + ", %lse: " + lse + ", %dout: " + out;
    results = grouped(n.k, "f32") + ", " + tensor({n.b, n.u, n.g, n.k}) +
              ", " + tensor({n.b, n.u, n.g, n.c});
  }
  return kMaps + std::string("ltc.kernel @attention (") + types + more +
         ") -> (" + results + ") inplace [" + (gradient ? "-1, " : "") +
         "-1, -1] {\n^bb0(" + arguments + extra + "):" + lines +
         fill(text, {{"$Y", gradient ? "%y0, %y1, %y2" : "%y0, %y1"},
                     {"$A", gradient ? "_grad" : ""},
                     {"$O", gradient ? ", %out, %lse, %dout" : ""},
                     {"$N", std::to_string(n.window)},
                     {"$Q", all[0].type()},
                     {"$K", all[1].type()},
                     {"$V", all[2].type()},
                     {"$G", grouped(n.k, n.element)},
                     {"$P", more},
                     {"$Z", results}});
}

/// What separate kernels make of `inputs`: turned, then attention.
std::vector<HostTensor> apart(KernelRunner &runner, const Case &n,
                              bool gradient,
                              const std::vector<HostTensor> &inputs) {
  std::vector<HostTensor> turned;
  size_t next = 0;
  for (const Operand &operand : n.operands(true)) {
    if (operand.layout.empty()) {
      turned.push_back(inputs[next++]);
      continue;
    }
    auto made = runner.runNative(operand.kernel(), {inputs.begin() + next,
                                                    inputs.begin() + next + 3});
    if (made.size() != 1)
      return {};
    turned.push_back(made[0]);
    next += 3;
  }
  turned.insert(turned.end(), inputs.begin() + next, inputs.end());
  return runner.runNative(attention(n, gradient, false), turned);
}

void expectSameBits(const std::vector<HostTensor> &a,
                    const std::vector<HostTensor> &b, const std::string &text) {
  ASSERT_FALSE(a.empty()) << text;
  ASSERT_EQ(a.size(), b.size()) << text;
  for (size_t r = 0; r < a.size(); ++r)
    ASSERT_EQ(0, std::memcmp(a[r].data.data(), b[r].data.data(),
                             a[r].data.size() * sizeof(double)))
        << "result " << r << " of\n"
        << text;
}

void check(KernelRunner &runner, const Case &n, int seed, double bound) {
  std::string text = attention(n, false, true);
  auto inputs = runner.randomInputs(text, seed);
  auto outputs = runner.runReference(inputs);
  ASSERT_EQ(outputs.size(), 2u) << text;
  runner.checkOn(text, inputs, bound);
  expectSameBits(runner.runNative(text, inputs),
                 apart(runner, n, false, inputs), text);

  std::string gradient = attention(n, true, true);
  auto all = runner.randomInputs(gradient, seed + 1000);
  std::copy(inputs.begin(), inputs.end(), all.begin());
  all[inputs.size()] = outputs[0];
  all[inputs.size() + 1] = outputs[1];
  runner.checkOn(gradient, all, bound);
  expectSameBits(runner.runNative(gradient, all), apart(runner, n, true, all),
                 gradient);
}

Case randomCase(std::mt19937 &random) {
  auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
  int64_t t = pick(100);
  Case n = {pick(2), t, random() % 2 ? t : pick(100), pick(2), pick(3),
            2 + 2 * pick(20), 2 + 2 * pick(20), "", "", ""};
  if (random() % 2)
    n.window = pick(80);
  return n;
}

TEST(AttentionTurned, agreesWithTheReferenceAndWithSeparateKernels) {
  KernelRunner runner;
  std::mt19937 random(11);
  const char *const some[] = {"halves", "neighbours", "part", ""};
  for (int i = 0; i < 24; ++i) {
    Case n = randomCase(random);
    n.query = some[i % 3];
    n.key = some[i / 3 % 4];
    n.value = some[3 - i % 2];
    if (i % 9 == 8)
      n.query = "", n.key = "halves";
    check(runner, n, i, 5e-6);
  }
}

TEST(AttentionTurned, agreesOnModelShapes) {
  KernelRunner runner;
  for (Case n : {Case{2, 128, 128, 2, 2, 64, 64, "halves", "halves", ""},
                 {1, 200, 200, 1, 4, 128, 128, "neighbours", "neighbours", ""},
                 {1, 192, 192, 2, 1, 48, 32, "part", "part", ""}})
    check(runner, n, int(n.t), 5e-6);
}

TEST(AttentionTurned, takesBf16) {
  KernelRunner runner;
  std::mt19937 random(12);
  for (int i = 0; i < 6; ++i) {
    Case n = randomCase(random);
    n.element = "bf16";
    n.query = i == 1 ? "" : "bf16";
    n.key = i == 2 ? "" : "bf16";
    check(runner, n, i, 0.008);
  }
}

} // namespace
