// SPDX-License-Identifier: Apache-2.0
// What is wrong or not there yet is refused at its line, with these words.
#include "frontend/graph/TestRequest.h"
#include <gtest/gtest.h>

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

// The lines of a model around the one under test, which is line 6.
std::string model(const std::string &line) {
  return "model toy(vocab, d, ffn, layers = 2, heads = 2, k = 4)\n"
         "input tokens[b, t]: token, position[b, t], document[b, t]\n"
         "param embed[vocab, d]\n"
         "param w[ffn, d]\n"
         "x = embed[tokens over vocab]\n" +
         line + "\nreturn x @ embed\n";
}

Request toy(const std::string &text) {
  Request ask = request("toy", {{"vocab", "10"}, {"d", "8"}, {"ffn", "12"}});
  ask.texts = {{"toy.ltc", text}};
  return ask;
}

/// The first diagnostic of a text.
std::string said(const Request &ask) {
  Built built(ask);
  EXPECT_FALSE(built.module);
  return built.said.substr(0, built.said.find('\n'));
}

struct Case {
  const char *line, *message; ///< message: "column: text" of line 6
};

const Case kWrong[] = {
#include "frontend/graph/RefusalCases.inc"
};

TEST(Refusal, namesTheLineAndTheReason) {
  for (const Case &c : kWrong)
    EXPECT_EQ(said(toy(model(c.line))), std::string("toy.ltc:6:") + c.message)
        << c.line;
}

/// What is said of attention's arguments behind q, key and v.
std::string saidOfAttention(const std::string &rest) {
  std::string text = model("y = attention(q, q, q, " + rest + ")");
  // The parameter and q before x's line, which makes it a part of that line.
  size_t at = text.find("x = embed");
  text.replace(at, text.find('\n', at) - at,
               "param p[(heads k), d]; x = embed[tokens over vocab]; q = x @ p");
  return said(toy(text));
}

TEST(Refusal, ofAttentionsTexts) {
  std::string head = "toy.ltc:6:";
  EXPECT_EQ(saidOfAttention("bias = 1"),
            head + "31: attention takes keep, score, sink and scale, not "
                   "'bias'");
  EXPECT_EQ(saidOfAttention("keep(t) = true"),
            head + "34: attention's keep is written keep(t, u) = ...");
  EXPECT_EQ(saidOfAttention("score = 1"),
            head + "32: attention's score is written score(s, t, u) = ..., "
                   "with names of its own for the score and the two "
                   "positions");
  EXPECT_EQ(saidOfAttention("score(s, t, u) = s > 1"),
            head + "43: a score is a number, not a condition");
  EXPECT_EQ(saidOfAttention("score(s, t, u) = s + sum[u] s"),
            head + "45: cannot reduce inside attention's score and keep: they "
                   "are pointwise");
  EXPECT_EQ(saidOfAttention("score(s, t, u) = s + x"),
            "toy.ltc:5:34: attention's texts may read values by b, heads, t or u, "
                   "but x[b = 2, t = 6, d = 8] has dimension d");
  EXPECT_EQ(saidOfAttention("sink = x"),
            head + "31: attention's sink is one score per head, found x[b = 2, "
                   "t = 6, d = 8]");
}

/// A text put beside a working request.
std::string saidOf(const std::string &text, const Request &base) {
  Request ask = base;
  ask.texts = {{"mine.ltc", text}};
  return said(ask);
}

TEST(Refusal, ofTheSpecsSettings) {
  Request ask = request("llama", tinyLlama());
  ask.model.name = "lama";
  EXPECT_EQ(said(ask), "spec.yaml:1:3: no architecture is named 'lama'; did "
                       "you mean 'llama'?");
  Settings settings = tinyLlama();
  settings[6].first = "fnn";
  EXPECT_EQ(said(request("llama", settings)),
            "spec.yaml:8:3: 'llama' has no setting 'fnn'; did you mean 'ffn'?");
  settings.pop_back();
  EXPECT_EQ(said(request("llama", settings)),
            "spec.yaml:1:3: 'llama' needs a value for 'ffn'");
  settings.push_back({"ffn", "wide"});
  EXPECT_EQ(said(request("llama", settings)),
            "spec.yaml:8:3: setting 'ffn' of 'llama' is a number, found "
            "'wide'");
  settings.back().second = "12";
  settings.push_back({"tied", "2"});
  EXPECT_EQ(said(request("llama", settings)),
            "spec.yaml:9:3: setting 'tied' of 'llama' is true or false, found "
            "'2'");
  settings.back() = {"kv", "3"};
  settings.erase(settings.begin() + 4);
  EXPECT_EQ(said(request("llama", settings)),
            "plugins/architectures/llama.ltc:26:1: kv must divide heads (heads "
            "= 4, kv = 3)");
  settings.back() = {"ffn", "12.5"};
  EXPECT_EQ(said(request("llama", settings)).substr(0, 20),
            "plugins/architecture");
}

TEST(Refusal, whatTheTextSaysHasANoteWithTheSpecsLine) {
  Settings settings = tinyLlama();
  settings[4].second = "3";
  Built built(request("llama", settings));
  EXPECT_EQ(built.notes, "spec.yaml:1:3: while compiling 'llama', chosen here\n");
}

TEST(Refusal, ofLosses) {
  Request ask = request("llama", tinyLlama());
  ask.losses = {loss("mine", 1)};
  const Case cases[] = {
      {"loss mine(policy: model, reference: model = frozen policy) { }",
       "1:45: a frozen model (rule 12 of the graph language) is not available "
       "in this version of ltc"},
      {"loss mine(policy: model, chosen: example) { }",
       "1:26: an argument of type 'example' (rule 12 of the graph language) is "
       "not available in this version of ltc"},
      {"loss mine(policy: model) { x = policy(tokens) }",
       "1:6: the loss 'mine' has no term"},
      {"loss mine(policy: model) { term z = sum[..] policy(tokens) }",
       "1:28: a term is a sum divided by a count: term z = sum[..] x / "
       "count[..] mask; another number says 'per micro batch' behind it"},
      {"loss mine(policy: model) {\n"
       "  term z = sum[..] policy(tokens) / count[b] per micro batch }",
       "2:3: a sum divided by a count is over the whole batch: leave out 'per "
       "micro batch'"},
      {"loss mine(policy: model) { term z = sum[b] policy(tokens) / count[b] }",
       "1:28: a term's sum still has dimensions: z[t = 6, vocab = 11]"},
      {"loss mine(policy: model) { term other = sum[..] policy(tokens) / "
       "count[b] }",
       "spec.yaml"},
  };
  for (const Case &c : cases) {
    std::string message = c.message;
    std::string found = saidOf(c.line, ask);
    if (message == "spec.yaml")
      EXPECT_EQ(found, "spec.yaml:1:3: no term is trained: a loss needs a term "
                       "of its own name");
    else
      EXPECT_EQ(found, "mine.ltc:" + message) << c.line;
  }
}

TEST(Refusal, ofOptimizers) {
  Request ask = request("llama", tinyLlama());
  ask.optimizer = use("mine", {}, "train.optimizer.mine");
  const Case cases[] = {
      {"optimizer mine() on weight[rows, cols] { weight = weight }",
       "1:11: no clause of 'mine' fits parameter \"model.norm.weight\""
       "; end with one that fits all: on weight[..] { ... }"},
      {"optimizer mine() on weight[(a b), c] { }",
       "1:28: a clause's pattern names the file's dimensions, in which a group "
       "or a concatenation is one"},
      {"optimizer mine() on weight[a.., b..] { }",
       "1:33: a clause's pattern has one rest of dimensions"},
      {"optimizer mine() on weight[a, a] { }",
       "1:31: the pattern names 'a' twice"},
      {"optimizer mine(p = 1) on weight[..] if p > 0 { }",
       "1:42: a clause's condition reads role, decays, sizes and settings that "
       "are 'static', true or false"},
      {"optimizer mine() on weight[..] if role == embeding { }",
       "1:43: no value or setting is named 'embeding'; did you mean "
       "'embedding'?"},
      {"optimizer mine() on weight[..] { state r[rows] }",
       "1:42: a state's dimensions are those of the clause's pattern"},
      {"optimizer mine() on weight[batch.., c] { state r[rest..] }",
       "1:50: the clause's pattern has no 'rest..'"},
      {"optimizer mine() on weight[..] { state m, m }",
       "1:43: the name 'm' is taken"},
      {"optimizer mine() on weight[..] { state lr }",
       "1:40: the name 'lr' is taken"},
      {"optimizer mine() on weight[..] { state m: f32 init ones }",
       "1:52: a state starts as zeros or as the weight: init zeros, init "
       "weight"},
      {"optimizer mine() on weight[..] { state n[]: f32 init weight }",
       "1:40: a state that starts as the weight has its dimensions: write "
       "state n: f32 init weight"},
      {"optimizer mine() on weight[..] { if decays { state m } }",
       "1:46: this stands at the top of a clause, not inside an if or a loop"},
      {"optimizer mine() on weight[b.., c] { state r[b..]; r = grad }",
       "1:52: 'r' is stored as r[b = 11], but becomes value[b = 11, c = 8]"},
      {"optimizer mine() on weight[..] { project m = weight }",
       "1:42: only the weight is projected: project weight = ..."},
      {"optimizer mine() on weight[..] { }\nevaluate with weight",
       "2:1: 'evaluate with' stands inside a clause, whose weight and states "
       "it reads"},
      {"optimizer mine() on weight[..] { evaluate with lr }",
       "1:48: no value or setting is named 'lr'"},
      {"optimizer mine() on weight[..] { evaluate with 1 }",
       "1:48: 'evaluate with' gives a weight, but is value[]"},
      {"optimizer mine() on weight[..] { return weight }",
       "1:18: a clause returns nothing: it stores its states and the weight"},
      {"optimizer mine() on weight[b.., c] { weight = weight - sum[a..] grad }",
       "1:60: no rest of dimensions is named 'a..'"},
      {"optimizer mine(n = 3) on weight[..] { for i in n { } }",
       "1:48: a loop's count must be a number known when compiling"},
      {"optimizer mine()", "1:17: an optimizer needs a clause: on weight[..] "
                           "{ ... }"},
      {"optimizer mine() on weight[..] { state m: bf16 }",
       "1:34: a state is f32 in this version of ltc, not bf16"},
      {"optimizer mine() on weight[..] { weight = weight - lr * gard }",
       "1:57: no value or setting is named 'gard'; did you mean 'grad'?"},
  };
  for (const Case &c : cases)
    EXPECT_EQ(saidOf(c.line, ask), std::string("mine.ltc:") + c.message)
        << c.line;
}

TEST(Refusal, ofWholeFiles) {
  Request ask = request("llama", tinyLlama());
  const Case cases[] = {
      {"adapter lora(rank) on w[out.., in..] { }",
       "1:1: an adapter (rule 14 of the graph language) is not available in "
       "this version of ltc"},
      {"use \"missing.ltc\"",
       "1:5: cannot read the text \"missing.ltc\": there is no missing.ltc"},
      {"x = 1", "1:1: expected model, block, function, loss, optimizer, "
                "schedule or use, found 'x'"},
      {"function f(x) { return x", "1:15: this { is never closed"},
      {"function f(x) = x +",
       "1:20: expected a value, found the end of the text"},
  };
  for (const Case &c : cases)
    EXPECT_EQ(saidOf(c.line, ask), std::string("mine.ltc:") + c.message)
        << c.line;
}

} // namespace
