// SPDX-License-Identifier: Apache-2.0
// Settings of a model that the program reads, and where random numbers stand.
#include "frontend/graph/TestRequest.h"
#include <gtest/gtest.h>

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

std::string built(const std::string &model, Settings settings,
                  const std::pair<std::string, std::string> &more = {}) {
  if (!more.first.empty())
    settings.push_back(more);
  Built made(request(model, settings));
  EXPECT_TRUE(made.module) << made.said;
  std::string text;
  if (made.module)
    llvm::raw_string_ostream(text) << *made.module;
  return text;
}

TEST(Scalar, noneAndZeroAreTheProgramWithout) {
  std::string without = built("gpt2", tinyGpt2());
  EXPECT_EQ(without.find("ltc.random"), std::string::npos);
  for (const char *name : {"residual_dropout", "embedding_dropout"})
    for (const char *number : {"none", "0", "0.0"})
      EXPECT_EQ(built("gpt2", tinyGpt2(), {name, number}), without)
          << name << " = " << number;
}

TEST(Scalar, aNumberIsReadByTheProgram) {
  std::string tenth = built("gpt2", tinyGpt2(), {"residual_dropout", "0.125"});
  std::string other = built("gpt2", tinyGpt2(), {"residual_dropout", "0.25"});
  std::string entry = "check = \">= 0, < 1\", help = \"setting "
                      "residual_dropout of gpt2\", key = "
                      "\"model.residual_dropout\"";
  ASSERT_NE(tenth.find(entry), std::string::npos) << tenth;
  EXPECT_NE(tenth.find("ltc.random"), std::string::npos);
  EXPECT_NE(tenth, other);
  std::string was = "value = 1.250000e-01", is = "value = 2.500000e-01";
  size_t at = tenth.find(was, tenth.find(entry));
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(tenth.replace(at, was.size(), is), other);
}

/// The first diagnostic of a model with these settings and this line.
std::string said(const std::string &settings, const std::string &line) {
  Request ask = request("toy", {{"vocab", "10"}, {"d", "8"}});
  std::string text = "model toy(vocab, d, heads = 2, k = 4, " + settings +
                     ")\ninput tokens[b, t]: token\n"
                     "param embed[vocab, d]; param w[(heads k), d]\n" +
                     line +
                     "\nx = embed[tokens over vocab]\nreturn x @ embed\n";
  ask.texts = {{"toy.ltc", text}};
  Built made(ask);
  return made.said.substr(0, made.said.find('\n'));
}

TEST(Scalar, isRefusedWhereItWouldBeCompiledIn) {
  const char *const cases[][3] = {
      {"p: scalar = 1, q = 2 * p", "",
       "1:62: a default does not read 'p', which may change without compiling"},
      {"p: scalar = 3", "param g[p]",
       "4:9: the setting 'p' may change without compiling: it is no size"},
      {"p: scalar = 3", "if p > 2 { x = 1 }",
       "4:1: 'if' needs a condition on settings and static arguments, known "
       "when compiling; for values write where(c, a, b)"},
      {"p: scalar = 3", "for i in p { x = 1 }",
       "4:10: a loop's count must be a number known when compiling"},
      {"p: scalar = 0.5", "assert p + 1 < 2",
       "4:14: 'p' is a scalar: an assertion bounds it by a number, as in p < "
       "1, joined by 'and'"},
      {"p: scalar = 0.5", "assert p < 0.25 \"p is small\"",
       "4:1: p is small (p = 0.5)"},
      {"p: scalar = 0.5", "function f(y, n: scalar) = y * n",
       "4:15: ': scalar' is of a model's settings; those of a loss, optimizer "
       "or schedule are scalars, arguments are values"},
  };
  for (auto &[settings, line, message] : cases)
    EXPECT_EQ(said(settings, line), std::string("toy.ltc:") + message) << line;
  EXPECT_EQ(said("p: scalar = 0.5", "assert 0 <= p and p < 1"), "");
}

TEST(Scalar, isANumberOrNone) {
  Settings settings = tinyGpt2();
  settings.push_back({"residual_dropout", "high"});
  Built made(request("gpt2", settings));
  EXPECT_EQ(made.said, "spec.yaml:8:3: setting 'residual_dropout' of 'gpt2' is "
                       "a number or none, found 'high'\n");
  settings.back().second = "1";
  Built one(request("gpt2", settings));
  std::string words = "this assertion does not hold (residual_dropout = 1)";
  EXPECT_NE(one.said.find(words), std::string::npos) << one.said;
}

TEST(Random, isRefusedWhereItHasNoKey) {
  const char *const cases[][2] = {
      {"y = attention(q, q, q, score(s, t, u) = s * uniform[b, t])",
       "7:45: uniform stands in models, blocks, losses and functions that they "
       "call, outside of attention's score and keep"},
      {"y = attention(q, q, q, score(s, t, u) = training ? s : 0)",
       "7:41: training is read outside of attention's score and keep: give it "
       "a name before, as in on = training ? 1 : 0"},
      {"y = attention(q, q, q, keep(t, u) = uniform[b, t] < 0.5)",
       "7:37: uniform stands in models, blocks, losses and functions that they "
       "call, outside of attention's score and keep"},
  };
  for (auto &[line, message] : cases)
    EXPECT_EQ(said("n = 1", std::string("x = embed[tokens over vocab]\n"
                                        "q = x @ w\n") +
                                "\n" + line),
              std::string("toy.ltc:") + message)
        << line;
}

} // namespace
