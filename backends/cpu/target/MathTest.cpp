// SPDX-License-Identifier: Apache-2.0
// Elementary functions: native code beside the host's libm in higher precision.
#include "backends/cpu/target/KernelRunner.h"
#include <cmath>
#include <limits>

using namespace ltc;
using namespace ltc::cpu;

namespace {

/// y = op(x) on n elements, or on a scalar if n = 0.
std::string unary(const std::string &op, const std::string &type, int64_t n) {
  std::string tensor =
      "tensor<" + (n ? std::to_string(n) + "x" : std::string()) + type + ">";
  std::string map = n ? "affine_map<(n) -> (n)>" : "affine_map<() -> ()>";
  return "ltc.kernel @f (" + tensor + ") -> " + tensor +
         " inplace [-1] {\n^bb0(%x: " + tensor + "):\n%y = ltc.map(%x) maps [" +
         map + "] {\n^bb0(%a: " + type + "):\n%p = " + op + " %a : " + type +
         "\nltc.yield %p : " + type + "\n} : (" + tensor + ") -> " + tensor +
         "\nltc.yield %y : " + tensor + "\n}";
}

std::string power(const std::string &type, int64_t n) {
  std::string text = unary("math.powf", type, n);
  std::string tensor = "tensor<" + std::to_string(n) + "x" + type + ">";
  auto replace = [&](const std::string &from, const std::string &to) {
    text.replace(text.find(from), from.size(), to);
  };
  replace("(" + tensor + ")", "(" + tensor + ", " + tensor + ")");
  replace("(%x: " + tensor + ")", "(%x: " + tensor + ", %e: " + tensor + ")");
  replace("(%x) maps [affine_map<(n) -> (n)>]",
          "(%x, %e) maps [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>]");
  replace("(%a: " + type + ")", "(%a: " + type + ", %b: " + type + ")");
  replace("math.powf %a", "math.powf %a, %b");
  replace("} : (" + tensor + ")", "} : (" + tensor + ", " + tensor + ")");
  return text;
}

HostTensor ramp(double low, double high, int64_t n, bool single) {
  HostTensor x({n});
  for (int64_t i = 0; i < n; ++i) {
    x.data[i] = low + (high - low) * double(i) / double(n - 1);
    if (single)
      x.data[i] = float(x.data[i]);
  }
  return x;
}

/// Distance in units of the last place of `want`, at least of `floor`.
double ulps(double got, long double want, bool single, double floor) {
  if (std::isnan(double(want)))
    return std::isnan(got) ? 0 : 1e9;
  if (double(want) == got || (single && float(want) == float(got)))
    return 0;
  int bits = single ? 24 : 53;
  int exponent = std::ilogb(std::max(std::abs(double(want)), floor));
  return std::abs(double((long double)(got)-want)) /
         std::ldexp(1.0, exponent - bits + 1);
}

using Exact = long double (*)(long double);

struct Case {
  const char *op;
  Exact exact;
  double low, high;
  double bound;         ///< ulp
  double floor = 1e-30; ///< below this magnitude: ulps of this
};

void checkCases(const std::vector<Case> &cases, const std::string &type) {
  bool single = type == "f32";
  KernelRunner runner;
  for (const Case &one : cases) {
    constexpr int64_t n = 4000;
    HostTensor x = ramp(one.low, one.high, n, single);
    auto y = runner.runNative(unary(one.op, type, n), {x});
    ASSERT_EQ(y.size(), 1u) << one.op;
    double worst = 0, where = 0;
    for (int64_t i = 0; i < n; ++i) {
      double error =
          ulps(y[0].data[i], one.exact(x.data[i]), single, one.floor);
      if (error > worst)
        worst = error, where = x.data[i];
    }
    EXPECT_LE(worst, one.bound) << one.op << " " << type << " at " << where;
    // One number alone has the same bits as in lanes.
    HostTensor single1 = HostTensor::scalar(x.data[n / 3]);
    auto alone = runner.runNative(unary(one.op, type, 0), {single1});
    ASSERT_EQ(alone.size(), 1u) << one.op;
    EXPECT_EQ(alone[0].data[0], y[0].data[n / 3]) << one.op;
  }
}

TEST(Math, f32IsWithinAFewUlp) {
  checkCases({{"math.exp", expl, -100, 88, 2, 1e-37},
              {"math.exp2", exp2l, -140, 127, 2, 1e-37},
              {"math.log", logl, 1e-6, 50, 3, 1e-1},
              {"math.log", logl, 1, 1e30, 3},
              {"math.sin", sinl, -10, 10, 2, 1e-3},
              {"math.sin", sinl, 1e4, 1e5, 2, 1e-3},
              {"math.cos", cosl, -10, 10, 2, 1e-3},
              {"math.cos", cosl, 1e4, 1e5, 2, 1e-3},
              {"math.tanh", tanhl, -12, 12, 6},
              {"math.erf", erfl, -5, 5, 4},
              {"math.sqrt", sqrtl, 0, 1000, 1},
              {"math.rsqrt", [](long double x) { return 1 / sqrtl(x); }, 1e-5,
               100, 2}},
             "f32");
}

TEST(Math, f64IsWithinAFewUlp) {
  checkCases({{"math.exp", expl, -700, 709, 2},
              {"math.exp", expl, -1, 1, 2},
              {"math.exp2", exp2l, -1020, 1020, 2},
              {"math.log", logl, 1e-300, 1e-290, 2},
              {"math.log", logl, 0.5, 2, 2},
              {"math.log", logl, 1, 1e30, 2},
              {"math.log2", log2l, 1e-3, 1e3, 4},
              {"math.sin", sinl, -1e5, 1e5, 2, 1e-3},
              {"math.cos", cosl, -1e5, 1e5, 2, 1e-3},
              {"math.tanh", tanhl, -20, 20, 3},
              {"math.sqrt", sqrtl, 0, 1000, 1}},
             "f64");
}

TEST(Math, powersOfDecaysAreExactToTheLastPlaces) {
  KernelRunner runner;
  for (const char *type : {"f64", "f32"}) {
    bool single = type == std::string("f32");
    constexpr int64_t n = 4000;
    HostTensor base = ramp(0.9, 0.9999, n, single);
    HostTensor steps({n});
    for (int64_t i = 0; i < n; ++i)
      steps.data[i] = double(1 + i * 17 % 5000);
    auto y = runner.runNative(power(type, n), {base, steps});
    ASSERT_EQ(y.size(), 1u);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_LE(ulps(y[0].data[i], powl(base.data[i], steps.data[i]), single,
                     single ? 1e-37 : 1e-300),
                3)
          << base.data[i] << "^" << steps.data[i];
  }
}

TEST(Math, powersKeepTheirSpecialValues) {
  KernelRunner runner;
  double inf = std::numeric_limits<double>::infinity();
  double nan = std::numeric_limits<double>::quiet_NaN();
  HostTensor x({10}, {0, 0, 0, -2, -2, -2, 1, inf, nan, 5});
  HostTensor y({10}, {2, -1, 0, 3, 2, 0.5, 1e9, 2, 1, 0});
  auto z = runner.runNative(power("f64", 10), {x, y});
  ASSERT_EQ(z.size(), 1u);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(ulps(z[0].data[i], std::pow(x.data[i], y.data[i]), false, 1e-3),
              0)
        << x.data[i] << "^" << y.data[i] << " = " << z[0].data[i];
}

TEST(Math, specialValuesStaySpecial) {
  KernelRunner runner;
  double inf = std::numeric_limits<double>::infinity();
  double nan = std::numeric_limits<double>::quiet_NaN();
  HostTensor x({6}, {0, inf, -inf, nan, 1000, -1000});
  for (const char *type : {"f64", "f32"})
    for (auto [op, exact] :
         {std::pair<const char *, double (*)(double)>{"math.exp", std::exp},
          {"math.log", std::log},
          {"math.tanh", std::tanh}}) {
      auto y = runner.runNative(unary(op, type, 6), {x});
      ASSERT_EQ(y.size(), 1u);
      for (int i = 0; i < 6; ++i) {
        double want = exact(x.data[i]), got = y[0].data[i];
        if (type == std::string("f32"))
          want = float(want);
        EXPECT_TRUE(std::isnan(want) ? std::isnan(got)
                                     : std::abs(want - got) < 1e-5 ||
                                           want == got)
            << op << " " << type << " of " << x.data[i] << " = " << got;
      }
    }
}

} // namespace
