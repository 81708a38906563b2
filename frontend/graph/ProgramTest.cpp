// SPDX-License-Identifier: Apache-2.0
// Each text of the library becomes a module that verifies, and its lines say
// what files and arguments expect.
#include "frontend/graph/TestRequest.h"
#include "frontend/texts/Texts.h"
#include "ir/interfaces/Interpreter.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

TEST(Program, llamaBecomesOneBlockCalledOncePerLayer) {
  Built built(request("llama", tinyLlama()));
  ASSERT_TRUE(built.module) << built.said;
  auto count = [&](mlir::StringRef name) {
    unsigned calls = 0;
    built.module->lookupSymbol<mlir::func::FuncOp>(name).walk(
        [&](mlir::func::CallOp) { ++calls; });
    return calls;
  };
  EXPECT_EQ(count("loss"), 2u);
  EXPECT_EQ(count("predict"), 2u);
  EXPECT_TRUE(built.module->lookupSymbol("layer"));
  EXPECT_TRUE(built.module->lookupSymbol("apply"));
  EXPECT_TRUE(built.module->lookupSymbol("init"));
}

TEST(Program, opsDoNotGrowWithDepthExceptCalls) {
  auto opsAt = [](const char *layers) {
    Settings settings = tinyLlama();
    settings[1].second = layers;
    Built built(request("llama", settings));
    EXPECT_TRUE(built.module) << built.said;
    unsigned count = 0;
    built.module->walk(
        [&](mlir::Operation *op) { count += !mlir::isa<mlir::func::CallOp>(op); });
    return count;
  };
  EXPECT_EQ(opsAt("2"), opsAt("7"));
}

TEST(Program, everyLayerStartsFromItsOwnNumbers) {
  Built built(request("llama", tinyLlama()));
  ASSERT_TRUE(built.module) << built.said;
  auto out = Interpreter(*built.module).call("init", {HostTensor::scalar(3)});
  ASSERT_TRUE(mlir::succeeded(out));
  auto init = built.module->lookupSymbol<mlir::func::FuncOp>("init");
  std::map<std::string, HostTensor> made;
  for (unsigned i = 0; i < out->size(); ++i) {
    auto bind = init.getResultAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind");
    made[bind.getAs<mlir::StringAttr>("name").str()] = (*out)[i];
  }
  std::string q = ".self_attn.q_proj.weight", k = ".self_attn.k_proj.weight";
  EXPECT_NE(made["model.layers.0" + q].data, made["model.layers.1" + q].data);
  EXPECT_NE(made["model.layers.0" + q].data[0],
            made["model.layers.0" + k].data[0]);
  double squares = 0;
  for (double x : made["model.layers.1" + q].data)
    squares += x * x;
  EXPECT_NEAR(std::sqrt(squares / 128), 0.02, 0.004);
  EXPECT_EQ(made["model.norm.weight"].data, std::vector<double>(8, 1));
}

TEST(Program, everyArchitectureOptimizerAndScheduleBuilds) {
  std::vector<Request> requests;
  for (auto settings : {tinyLlama(), tinyLlama(), tinyLlama()}) {
    requests.push_back(request("llama", settings));
  }
  requests[1].model.settings.push_back({"tied", "true", specLine(9)});
  requests[2].model.settings.push_back({"qkv_bias", "true", specLine(9)});
  requests.push_back(request("gpt2", tinyGpt2()));
  requests[0].losses.push_back(loss("z_loss", 1e-4));
  requests[1].optimizer = use("sgd", {{"momentum", "0.9"}}, "train.optimizer");
  requests[2].optimizer = use("sgd", {{"nesterov", "true"}}, "train.optimizer");
  requests[1].schedule = use("constant", {{"peak", "0.1"}}, "train.schedule");
  requests[2].schedule =
      use("linear", {{"peak", "0.1"}, {"warmup", "3"}, {"total", "9"}},
          "train.schedule");
  for (const Request &request : requests) {
    Built built(request);
    EXPECT_TRUE(built.module) << built.said;
  }
}

TEST(Program, twoLossesShareOneApplicationOfTheModel) {
  Request two = request("llama", tinyLlama());
  two.losses.push_back(loss("z_loss", 1e-4));
  Built built(two);
  ASSERT_TRUE(built.module) << built.said;
  unsigned calls = 0;
  built.module->lookupSymbol<mlir::func::FuncOp>("loss").walk(
      [&](mlir::func::CallOp) { ++calls; });
  EXPECT_EQ(calls, 2u);
}

TEST(Program, configIsWrittenFromTheTextsOwnLines) {
  Built built(request("llama", tinyLlama()));
  ASSERT_TRUE(built.module) << built.said;
  std::string config =
      (*built.module)->getAttrOfType<mlir::StringAttr>("ltc.config_json").str();
  for (const char *line :
       {"\"model_type\": \"llama\"", "\"num_hidden_layers\": 2",
        "\"num_key_value_heads\": 2", "\"head_dim\": 4",
        "\"tie_word_embeddings\": false", "\"max_position_embeddings\": 6",
        "\"rms_norm_eps\": 1e-05", "\"rope_theta\": 10000"})
    EXPECT_NE(config.find(line), std::string::npos) << line << "\n" << config;
}

TEST(Program, aDottedConfigKeyIsAMember) {
  auto config = [](const Settings &settings) {
    Built built(request("llama", settings));
    EXPECT_TRUE(built.module) << built.said;
    return (*built.module)
        ->getAttrOfType<mlir::StringAttr>("ltc.config_json")
        .str();
  };
  std::string scaled = config(tinyLlama3()), plain = config(tinyMistral());
  EXPECT_NE(scaled.find("\"rope_scaling\": {\n    \"rope_type\": \"llama3\",\n"
                        "    \"factor\": 8,\n    \"low_freq_factor\": 1,\n"
                        "    \"high_freq_factor\": 4,\n"
                        "    \"original_max_position_embeddings\": 64"),
            std::string::npos)
      << scaled;
  EXPECT_EQ(plain.find("rope_scaling"), std::string::npos) << plain;
  EXPECT_NE(plain.find("\"model_type\": \"mistral\""), std::string::npos);
  EXPECT_NE(plain.find("\"sliding_window\": 3"), std::string::npos);
}

TEST(Texts, eachTextStandsUnderItsFolderAndName) {
  ASSERT_TRUE(libraryText("architectures", "llama"));
  EXPECT_EQ(libraryText("architectures", "llama")->path,
            "plugins/architectures/llama.ltc");
  EXPECT_FALSE(libraryText("losses", "llama"));
}

} // namespace
