// SPDX-License-Identifier: Apache-2.0
// Steps with caches give the logits of the window, by the interpreter in
// float64: token by token, and after a chunk.
#include "frontend/graph/TestProgram.h"
#include "passes/Pipelines.h"
#include <sstream>

using namespace ltc;
using namespace ltc::graph::test;

namespace {

graph::Request ofFile(const std::string &name, Settings settings) {
  graph::Request ask = request(name, settings);
  std::ifstream in("../../tests/language/" + name + ".ltc");
  std::stringstream text;
  text << in.rdbuf();
  ask.texts = {{name + ".ltc", text.str()}};
  return ask;
}

/// A text of tests/language with the settings of its golden file.
graph::Request ofLanguage(const std::string &name) {
  std::ifstream file("../../tests/language/golden/" + name + ".json");
  nlohmann::json want = nlohmann::json::parse(file);
  Settings settings;
  for (auto &[key, value] : want["settings"].items())
    settings.push_back({key, value.dump()});
  return ofFile(name, settings);
}

/// Largest difference of logits over the positions, by their largest.
struct Stepper {
  TestProgram program;
  std::vector<double> tokens = {5, 0, 10, 6, 8, 2}, position, document;

  explicit Stepper(const graph::Request &ask, const char *stage)
      : program(ask) {
    program.fill();
    EXPECT_TRUE(mlir::succeeded(runToStage(*program.built.module, stage)));
    // Documents of four and two tokens.
    position = {0, 1, 2, 3, 0, 1};
    document = {0, 0, 0, 0, 1, 1};
  }
  mlir::func::FuncOp function(const char *name) {
    return program.built.module->lookupSymbol<mlir::func::FuncOp>(name);
  }
  void feed(size_t from, size_t count) {
    auto part = [&](const std::vector<double> &all) {
      return HostTensor({1, int64_t(count)},
                        {all.begin() + from, all.begin() + from + count});
    };
    program.values["tokens"] = part(tokens);
    program.values["position"] = part(position);
    program.values["document"] = part(document);
  }
  std::vector<double> predict(size_t at) {
    feed(0, tokens.size());
    program.values["class position"] = HostTensor::scalar(double(at));
    return program.call("predict")["logits"].data;
  }
  /// One step of @decode or @prefill; caches go on.
  std::vector<double> step(const char *name, size_t from, size_t count) {
    feed(from, count);
    program.values["past"] = HostTensor::scalar(double(from));
    program.values["class position"] =
        HostTensor::scalar(double(from + count - 1));
    auto results = program.call(name);
    for (auto &[key, value] : results)
      if (key != "logits")
        program.values[key] = value;
    return results["logits"].data;
  }
  void clear() {
    auto decode = function("decode");
    for (unsigned i = 0; i < decode.getNumArguments(); ++i) {
      auto bind = decode.getArgAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind");
      if (bind.getAs<mlir::StringAttr>("class").getValue() == "cache")
        program.values[TestProgram::nameOf(bind)] = HostTensor(
            mlir::cast<mlir::RankedTensorType>(decode.getArgumentTypes()[i])
                .getShape()
                .vec(),
            0);
    }
  }
};

void expectEqual(const std::vector<double> &got,
                 const std::vector<double> &want, size_t at) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 1e-11 * std::max(1.0, std::abs(want[i])))
        << "logit " << i << " at position " << at;
}

void expectSteps(const std::string &name, const graph::Request &ask,
                 const char *stage) {
  SCOPED_TRACE(name + " at stage " + stage);
  Stepper run(ask, stage);
  ASSERT_TRUE(run.function("decode")) << run.program.built.said;
  ASSERT_TRUE(run.function("prefill"));
  run.clear();
  for (size_t at = 0; at < 6; ++at)
    expectEqual(run.step("decode", at, 1), run.predict(at), at);
  run.clear();
  run.step("prefill", 0, 3);
  for (size_t at = 3; at < 6; ++at)
    expectEqual(run.step("decode", at, 1), run.predict(at), at);
}

void expectSteps(const std::string &name, const graph::Request &ask) {
  expectSteps(name, ask, "shard");
  expectSteps(name, ask, "kernels");
}

TEST(Generation, ofTheLibrary) {
  expectSteps("llama", request("llama", tinyLlama()));
  expectSteps("llama3", request("llama", tinyLlama3()));
  expectSteps("mistral", request("llama", tinyMistral()));
  expectSteps("gpt2", request("gpt2", tinyGpt2()));
  Settings experts = tinyLlama();
  experts.push_back({"experts", "4"});
  experts.push_back({"top", "2"});
  expectSteps("moe_llama", request("moe_llama", experts));
}

TEST(Generation, ofTextsOutsideTheLibrary) {
  for (const char *name :
       {"alibi", "fused_qkv", "latent", "local_global", "parallel", "qk_norm",
        "relative", "sinks"})
    expectSteps(name, ofLanguage(name));
  expectSteps("shared_experts",
              ofFile("shared_experts",
                     {{"vocab", "11"}, {"layers", "2"}, {"d", "8"},
                      {"heads", "4"}, {"ffn", "12"}, {"experts", "8"},
                      {"top", "2"}}));
}

/// Attention written out pairs every time with every other.
TEST(Generation, namesTheLineThatHasNoStep) {
  Stepper run(ofLanguage("by_hand"), "shard");
  EXPECT_FALSE(run.function("decode"));
  EXPECT_FALSE(run.function("prefill"));
  auto why = (*run.program.built.module)
                 ->getAttrOfType<mlir::StringAttr>("ltc.no_cache_why");
  ASSERT_TRUE(why);
  EXPECT_TRUE(why.getValue().starts_with("by_hand.ltc:")) << why.str();
  EXPECT_TRUE(why.getValue().contains("every time")) << why.str();
}

/// Shifts along time, sines of the index, a parameter by time.
TEST(Generation, ofShiftsAndPositions) {
  const char *text = R"(
model shifts(vocab, d)
input tokens[b, t]: token, position[b, t], document[b, t]
param a[vocab, d]  init normal(0.02)  as "a"
param p[t, d]      init normal(0.02)  as "p"
x = a[tokens over vocab] + p
wave[t, d] = sin(index[t] + index[d])
y = x + 0.5 * shift[t](x, 1) + 0.25 * shift[t](x * wave, 3)
return (y + 0.1 * shift[t](y, 1)) @ a
)";
  graph::Request ask = request("shifts", {{"vocab", "11"}, {"d", "8"}});
  ask.texts = {{"shifts.ltc", text}};
  expectSteps("shifts", ask);
}

} // namespace
