// SPDX-License-Identifier: Apache-2.0
// Every op's and every scalar op's gradient rule against finite differences.
#include "passes/autodiff/GradientHarness.h"

using namespace ltc;
using namespace ltc::test;

namespace {
void checkOp(const std::vector<Argument> &arguments, const std::string &body,
             const std::string &type, unsigned rank, Tensors given = {},
             double low = 0.3, double high = 1.7) {
  Harness h;
  h.weights["w"] = 0.7;
  h.inverse["t"] = 0.5;
  h.inputs = std::move(given);
  if (!h.parse(lossOf(arguments, body, type, rank)))
    return;
  h.fill(low, high);
  h.check();
}

/// %out = map over 2x3 of `scalar`, which defines %r from %a and %b.
void checkScalar(const std::string &scalar, double low, double high) {
  SCOPED_TRACE(scalar);
  checkOp({{"x", "2x3xf32"}, {"y", "3xf32"}},
          R"(%out = ltc.map(%x, %y) maps [affine_map<(i, j) -> (i, j)>,
                                          affine_map<(i, j) -> (j)>] {
          ^bb0(%a: f32, %b: f32):
            )" + scalar + R"(
            ltc.yield %r : f32
          } : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>)",
          "2x3xf32", 2, {}, low, high);
}

TEST(Gradient, everyScalarOp) {
  for (const char *op : {"arith.addf", "arith.subf", "arith.mulf",
                         "arith.divf", "arith.maximumf", "arith.minimumf",
                         "arith.maxnumf", "arith.minnumf", "math.powf"})
    checkScalar(std::string("%r = ") + op + " %a, %b : f32", 0.3, 1.7);
  for (const char *op :
       {"arith.negf", "math.exp", "math.exp2", "math.expm1", "math.log",
        "math.log2", "math.log1p", "math.sqrt", "math.rsqrt", "math.tanh",
        "math.sin", "math.cos", "math.erf", "math.absf"})
    checkScalar(std::string("%r = ") + op + " %a : f32", 0.3, 1.7);
  for (const char *op : {"math.tanh", "math.sin", "math.erf", "math.absf"})
    checkScalar(std::string("%r = ") + op + " %a : f32", -1.7, -0.3);
}

/// d of sum(coef * f(x, y)) / d x at x = y = `at`, over coef.
double slopeAt(const std::string &scalar, double at) {
  Harness h;
  h.weights["w"] = h.inverse["t"] = 1;
  if (!h.parse(lossOf({{"x", "1xf32"}, {"y", "1xf32"}},
                      R"(%out = ltc.map(%x, %y) maps [affine_map<(i) -> (i)>,
                                                      affine_map<(i) -> (i)>] {
                         ^bb0(%a: f32, %b: f32):
                         )" + scalar + R"(
                           ltc.yield %r : f32
                         } : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>)",
                      "1xf32", 1)))
    return NAN;
  h.inputs["x"] = h.inputs["y"] = HostTensor({1}, at);
  h.fill(0.3, 1.7);
  if (!h.differentiate())
    return NAN;
  return h.run("accumulate")["gradient x"].data[0] / h.inputs["coef"].data[0];
}

TEST(Gradient, atKinksIsPyTorchs) {
  for (const char *op : {"maximumf", "minimumf", "maxnumf", "minnumf"})
    for (const char *operands : {" %a, %b", " %b, %a"})
      EXPECT_EQ(slopeAt(std::string("%r = arith.") + op + operands + " : f32",
                        0.7),
                0.5)
          << op << operands;
  EXPECT_EQ(slopeAt("%r = math.absf %a : f32", 0), 0);
}

TEST(Gradient, chooserCastsAndFlatOps) {
  checkScalar("%c = arith.cmpf ogt, %a, %b : f32\n"
              "%s = arith.mulf %a, %b : f32\n"
              "%r = arith.select %c, %s, %a : f32",
              0.3, 1.7);
  checkScalar("%w = arith.extf %a : f32 to f64\n"
              "%s = arith.mulf %w, %w : f64\n"
              "%r = arith.truncf %s : f64 to f32",
              0.3, 1.7);
  checkScalar("%f = math.floor %a : f32\n%r = arith.mulf %f, %b : f32", 1.1,
              1.9);
  checkScalar("%i = ltc.index 1 : i32\n%f = arith.sitofp %i : i32 to f32\n"
              "%r = math.fma %a, %f, %b : f32",
              0.3, 1.7);
}

TEST(Gradient, randomNumbersAreThoseOfTheValue) {
  checkScalar("%i = ltc.index 0 : i32\n%j = ltc.index 1 : i32\n"
              "%m = arith.extui %i : i32 to i64\n"
              "%l = arith.extui %j : i32 to i64\n"
              "%bits = ltc.random %l, %m key %m : i64 -> i32\n"
              "%zero = arith.constant 0 : i32\n"
              "%dropped = arith.cmpi slt, %bits, %zero : i32\n"
              "%none = arith.constant 0.0 : f32\n"
              "%greater = arith.divf %a, %b : f32\n"
              "%kept = arith.select %dropped, %none, %greater : f32\n"
              "%t = ltc.training : i1\n"
              "%r = arith.select %t, %kept, %a : f32",
              0.3, 1.7);
}

TEST(Gradient, mapPermutesBroadcastsAndHasManyResults) {
  checkOp({{"x", "3x2xf32"}, {"g", "2xf32"}, {"s", "f32"}},
          R"(%u, %v = ltc.map(%x, %g, %s)
               maps [affine_map<(i, k, j) -> (j, i)>,
                     affine_map<(i, k, j) -> (i)>,
                     affine_map<(i, k, j) -> ()>] {
             ^bb0(%a: f32, %b: f32, %c: f32):
               %p = arith.mulf %a, %b : f32
               %q = math.sin %p : f32
               %r = arith.mulf %q, %c : f32
               ltc.yield %q, %r : f32, f32
             } : (tensor<3x2xf32>, tensor<2xf32>, tensor<f32>)
                 -> (tensor<2x4x3xf32>, tensor<2x4x3xf32>)
             %out = ltc.map(%u, %v) maps [affine_map<(i, k, j) -> (i, k, j)>,
                                          affine_map<(i, k, j) -> (i, k, j)>] {
             ^bb0(%a: f32, %b: f32):
               %p = arith.mulf %a, %b : f32
               ltc.yield %p : f32
             } : (tensor<2x4x3xf32>, tensor<2x4x3xf32>) -> tensor<2x4x3xf32>)",
          "2x4x3xf32", 3);
}

TEST(Gradient, reductions) {
  for (const char *kind : {"sum", "max", "min"})
    checkOp({{"x", "2x3x4xf32"}},
            std::string("%out = ltc.reduce ") + kind +
                " %x over [0, 2] : tensor<2x3x4xf32> -> tensor<3xf32>",
            "3xf32", 1);
}

TEST(Gradient, contraction) {
  // Batch, reduced, and free labels of both sides, in mixed order.
  checkOp({{"x", "2x3x4xf32"}, {"w", "5x4x2xf32"}},
          "%out = ltc.contract %x [0, 1, 2], %w [3, 2, 0] -> [3, 0, 1] : "
          "tensor<2x3x4xf32>, tensor<5x4x2xf32> -> tensor<5x2x3xf32>",
          "5x2x3xf32", 3);
}

TEST(Gradient, gatherAndScatterAdd) {
  Tensors ids = {{"ids", HostTensor({2, 2}, std::vector<double>{1, 3, 1, 0})}};
  checkOp({{"x", "4x3xf32"}, {"ids", "2x2xi32", false}},
          "%out = ltc.gather %x at %ids : tensor<4x3xf32>, tensor<2x2xi32> -> "
          "tensor<2x2x3xf32>",
          "2x2x3xf32", 3, ids);
  checkOp({{"x", "2x2x3xf32"}, {"ids", "2x2xi32", false}},
          "%out = ltc.scatter_add %x at %ids : tensor<2x2x3xf32>, "
          "tensor<2x2xi32> -> tensor<4x3xf32>",
          "4x3xf32", 2, ids);
}

TEST(Gradient, topKReachesTheChosenOnly) {
  checkOp({{"x", "2x3x5xf32"}},
          "%out, %c = ltc.top_k %x : tensor<2x3x5xf32> -> tensor<2x3x2xf32>, "
          "tensor<2x3x2xi32>",
          "2x3x2xf32", 3);
}

/// Slots of 3 tokens, two each; group 1 of 4 stays empty.
const Tensors kChoice = {
    {"c", HostTensor({3, 2}, std::vector<double>{2, 0, 3, 2, 2, 0})}};
const char *kRoute =
    "%s, %p, %g, %o = ltc.route %c : tensor<3x2xi32> -> tensor<6xi32>, "
    "tensor<3x2xi32>, tensor<6xi32>, tensor<5xi32>\n";

TEST(Gradient, dispatchAndCombineAreTransposes) {
  Argument choice{"c", "3x2xi32", false};
  for (const char *each : {"1", "2"}) {
    std::string lead = *each == '1' ? "3x2x" : "3x", whole = lead + "4xf32";
    std::string by = std::string(" by %s, %p each ") + each +
                     " : tensor<", types = ">, tensor<6xi32>, tensor<3x2xi32> ";
    checkOp({{"x", whole}, choice},
            kRoute + ("%out = ltc.dispatch %x" + by) + whole + types +
                "-> tensor<6x4xf32>",
            "6x4xf32", 2, kChoice);
    checkOp({{"y", "6x4xf32"}, choice},
            kRoute + ("%out = ltc.combine %y" + by) + "6x4xf32" + types +
                "-> tensor<" + whole + ">",
            whole, *each == '1' ? 3 : 2, kChoice);
  }
}

TEST(Gradient, groupedContraction) {
  Argument choice{"c", "3x2xi32", false};
  // Rows of each group with its matrix, on either side.
  checkOp({{"x", "6x3xf32"}, {"w", "4x5x3xf32"}, choice},
          kRoute + std::string(
              "%out = ltc.grouped_contract %x [0, 1], %w [2, 3, 1] by %o row 0 "
              "group 2 -> [0, 3] : tensor<6x3xf32>, tensor<4x5x3xf32>, "
              "tensor<5xi32> -> tensor<6x5xf32>"),
          "6x5xf32", 2, kChoice);
  checkOp({{"x", "6x2x3xf32"}, {"w", "3x4x5xf32"}, choice},
          kRoute + std::string(
              "%out = ltc.grouped_contract %w [1, 2, 3], %x [0, 4, 1] by %o "
              "row 0 group 2 -> [4, 0, 3] : tensor<3x4x5xf32>, "
              "tensor<6x2x3xf32>, tensor<5xi32> -> tensor<2x6x5xf32>"),
          "2x6x5xf32", 3, kChoice);
  // One sum over the rows of each group.
  checkOp({{"x", "6x3xf32"}, {"y", "6x5xf32"}, choice},
          kRoute + std::string(
              "%out = ltc.grouped_contract %x [0, 1], %y [0, 3] by %o row 0 "
              "group 2 -> [2, 3, 1] : tensor<6x3xf32>, tensor<6x5xf32>, "
              "tensor<5xi32> -> tensor<4x5x3xf32>"),
          "4x5x3xf32", 3, kChoice);
}

TEST(Gradient, shiftWithinDocuments) {
  Tensors docs = {
      {"d", HostTensor({2, 5}, std::vector<double>{0, 0, 1, 1, 1, 0, 1, 1, 2,
                                                   2})}};
  for (const char *offset : {"1", "2", "-1"})
    checkOp({{"x", "2x5x2xf32"}, {"d", "2x5xi32", false}},
            std::string("%out = ltc.shift %x by ") + offset +
                " along 1 within %d : tensor<2x5x2xf32>, tensor<2x5xi32> -> "
                "tensor<2x5x2xf32>",
            "2x5x2xf32", 3, docs);
}

TEST(Gradient, scanBothWaysWithinDocuments) {
  Tensors docs = {
      {"d", HostTensor({2, 5}, std::vector<double>{0, 0, 1, 1, 1, 0, 1, 1, 2,
                                                   2})}};
  const std::string type = "tensor<2x5x2xf32>";
  for (const char *way : {"", "reverse "}) {
    checkOp({{"x", "2x5x2xf32"}, {"a", "2x5x2xf32"}, {"d", "2x5xi32", false}},
            std::string("%out = ltc.scan %x decay %a ") + way +
                "along 1 within %d : " + type + " decay " + type +
                " within tensor<2x5xi32>",
            "2x5x2xf32", 3, docs);
    checkOp({{"x", "2x5x2xf32"}, {"d", "2x5xi32", false}},
            std::string("%out = ltc.scan %x ") + way +
                "along 1 within %d : " + type + " within tensor<2x5xi32>",
            "2x5x2xf32", 3, docs);
    // Through two: the rule of a scan the other way, too.
    checkOp({{"x", "2x5x2xf32"}, {"a", "2x5x2xf32"}},
            std::string("%m = ltc.scan %x decay %a ") + way + "along 2 : " +
                type + " decay " + type +
                "\n%out = ltc.scan %a decay %m along 0 : " + type +
                " decay " + type,
            "2x5x2xf32", 3);
  }
}

TEST(Gradient, reshapeSliceAndJoin) {
  checkOp({{"x", "2x6xf32"}, {"y", "2x2xf32"}},
          R"(%a = ltc.slice %x along 1 from 3 : tensor<2x6xf32> -> tensor<2x3xf32>
             %b = ltc.slice %x along 1 from 0 : tensor<2x6xf32> -> tensor<2x2xf32>
             %c = ltc.slice %x along 1 from 1 : tensor<2x6xf32> -> tensor<2x2xf32>
             %j = ltc.join %a, %y, %b, %c along 1 : tensor<2x3xf32>,
               tensor<2x2xf32>, tensor<2x2xf32>, tensor<2x2xf32>
               -> tensor<2x9xf32>
             %out = ltc.reshape %j : tensor<2x9xf32> -> tensor<6x3xf32>)",
          "6x3xf32", 2);
}

TEST(Gradient, attentionWithScoreKeepAndGroups) {
  checkOp({{"q", "1x3x2x2x4xf32"}, {"k", "1x3x2x4xf32"}, {"v", "1x3x2x5xf32"},
           {"d", "1x3xi32", false}},
          R"(%out, %l = ltc.attention %q, %k, %v reads %d, %d
               [affine_map<(b, g, r, t, u) -> (b, t)>,
                affine_map<(b, g, r, t, u) -> (b, u)>] scale 0.5 keep {
             ^bb0(%t: i32, %u: i32, %dt: i32, %du: i32):
               %c = arith.cmpi sle, %u, %t : i32
               %e = arith.cmpi eq, %dt, %du : i32
               %r = arith.andi %c, %e : i1
               ltc.yield %r : i1
             } score {
             ^bb0(%s: f32, %t: i32, %u: i32, %dt: i32, %du: i32):
               %h = math.tanh %s : f32
               %i = arith.subi %t, %u : i32
               %f = arith.sitofp %i : i32 to f32
               %r = arith.subf %h, %f : f32
               ltc.yield %r : f32
             } : (tensor<1x3x2x2x4xf32>, tensor<1x3x2x4xf32>,
                  tensor<1x3x2x5xf32>, tensor<1x3xi32>, tensor<1x3xi32>)
               -> (tensor<1x3x2x2x5xf32>, tensor<1x3x2x2xf32>))",
          "1x3x2x2x5xf32", 5,
          {{"d", HostTensor({1, 3}, std::vector<double>{0, 1, 1})}}, -1, 1);
}

/// Attention of 2 kv heads with 2 query heads each over 3 positions, causal;
/// `extras`: "%e: 2x2xf32 by (g, r)", ...; `score` reads %s, %t, %u, %e..
void checkScore(const std::vector<std::pair<std::string, std::string>> &extras,
                const std::string &score, bool sink = false) {
  SCOPED_TRACE(score);
  std::vector<Argument> arguments = {{"q", "1x3x2x2x4xf32"},
                                     {"k", "1x3x2x4xf32"},
                                     {"v", "1x3x2x5xf32"}};
  std::string names = "%q, %k, %v", types = "tensor<1x3x2x2x4xf32>, "
                                            "tensor<1x3x2x4xf32>, "
                                            "tensor<1x3x2x5xf32>";
  if (sink) {
    arguments.push_back({"w", "2x2xf32"});
    names += " sink %w";
    types += ", tensor<2x2xf32>";
  }
  std::string maps, inside;
  for (size_t n = 0; n < extras.size(); ++n) {
    std::string name = "e" + std::to_string(n);
    arguments.push_back({name, extras[n].first});
    names += (n ? ", %" : " reads %") + name;
    types += ", tensor<" + extras[n].first + ">";
    maps += (n ? ", " : "") + std::string("affine_map<(b, g, r, t, u) -> ") +
            extras[n].second + ">";
    inside += ", %x" + std::to_string(n) + ": f32";
  }
  checkOp(arguments,
          "%out, %l = ltc.attention " + names + " [" + maps +
              "] scale 0.5 keep {\n^bb0(%t: i32, %u: i32" + inside +
              "):\n%c = arith.cmpi sle, %u, %t : i32\nltc.yield %c : i1\n} "
              "score {\n^bb0(%s: f32, %t: i32, %u: i32" +
              inside + "):\n" + score +
              "\nltc.yield %y : f32\n} : (" + types +
              ") -> (tensor<1x3x2x2x5xf32>, tensor<1x3x2x2xf32>)",
          "1x3x2x2x5xf32", 5, {}, -1, 1);
}

TEST(Gradient, attentionsScoreReadsValues) {
  const char *product = "%y = arith.mulf %s, %x0 : f32";
  for (auto [type, map] :
       std::initializer_list<std::pair<const char *, const char *>>{
           {"2x2xf32", "(g, r)"},     {"2x2xf32", "(r, g)"},
           {"2xf32", "(r)"},          {"f32", "()"},
           {"1x3xf32", "(b, t)"},     {"3x2xf32", "(u, g)"},
           {"3xf32", "(u)"},          {"2x3xf32", "(r, u)"},
           {"3x2x2xf32", "(t, r, g)"}, {"5xf32", "(t - u + 2)"},
           {"2x5xf32", "(r, t - u + 2)"}, {"2xf32", "(t - u)"}})
    checkScore({{type, map}}, product);
  checkScore({{"2x2xf32", "(g, r)"}, {"5xf32", "(t - u + 2)"}},
             "%a = arith.mulf %x0, %x1 : f32\n%h = math.tanh %s : f32\n"
             "%y = arith.addf %a, %h : f32");
}

TEST(Gradient, attentionsSink) {
  checkScore({}, "%y = arith.negf %s : f32", true);
  checkScore({{"2x2xf32", "(g, r)"}}, "%y = arith.addf %s, %x0 : f32", true);
}

TEST(Gradient, stopGradientStops) {
  Harness h;
  h.weights["w"] = h.inverse["t"] = 1;
  ASSERT_TRUE(h.parse(lossOf(
      {{"x", "3xf32"}},
      R"(%s = ltc.stop_gradient %x : tensor<3xf32>
         %out = ltc.map(%x, %s) maps [affine_map<(i) -> (i)>,
                                      affine_map<(i) -> (i)>] {
         ^bb0(%a: f32, %b: f32):
           %r = arith.mulf %a, %b : f32
           ltc.yield %r : f32
         } : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>)",
      "3xf32", 1)));
  h.fill(0.3, 1.7);
  ASSERT_TRUE(h.differentiate());
  Tensors got = h.run("accumulate");
  for (int i = 0; i < 3; ++i) // x * stop(x): the gradient is x, not 2 x
    EXPECT_NEAR(got["gradient x"].data[i],
                h.inputs["x"].data[i] * h.inputs["coef"].data[i], 1e-12);
}
} // namespace
