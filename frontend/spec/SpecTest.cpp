// SPDX-License-Identifier: Apache-2.0
#include "frontend/spec/Spec.h"
#include "runtime/base/File.h"
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace fs = std::filesystem;
using namespace ltc;

namespace {

/// README.md's table of keys, from the schema.
std::string keyTable() {
  std::string text = "| key | kind | type | default | what it is |\n"
                     "| --- | --- | --- | --- | --- |\n";
  for (const Key &key : keysOfSpec()) {
    std::string initial(key.required ? "required" : key.initial);
    std::string type(nameOf(key.type));
    if (!key.check.empty())
      type += " " + std::string(key.check);
    text += "| `" + std::string(key.name) + "` | " +
            std::string(nameOf(key.kind)) + " | " + type + " | " + initial +
            " | " + std::string(key.help) + " |\n";
  }
  return text;
}

/// Run with LTC_UPDATE=1 to write the table anew.
TEST(Readme, itsTableIsTheSchemas) {
  std::ifstream file("README.md");
  std::string readme{std::istreambuf_iterator<char>(file), {}};
  size_t begin = readme.find("| key |"), end = readme.find("\n\n", begin);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  if (std::getenv("LTC_UPDATE")) {
    readme.replace(begin, end + 1 - begin, keyTable());
    ASSERT_TRUE(writeFile("README.md", readme));
    return;
  }
  EXPECT_EQ(readme.substr(begin, end + 1 - begin), keyTable())
      << "run this test with LTC_UPDATE=1";
}

class Spec : public testing::Test {
protected:
  Spec() {
    std::string name = fs::temp_directory_path() / "ltc-spec-XXXXXX";
    folder = mkdtemp(name.data());
  }
  ~Spec() override { fs::remove_all(folder); }
  spec::Spec read(const std::string &text, const char *name = "spec.yaml") {
    std::ofstream(folder / name) << text;
    problems.clear();
    return spec::readSpec(folder / name, problems);
  }
  fs::path folder;
  std::vector<spec::Problem> problems;
};

const char *kYaml = R"(model: {architecture: llama, vocab: 256, d: 64}
loss: {cross_entropy: {weight: 0.5, smoothing: 0.1}}
data:
  length: 4k
  train: [{text: "a/*.txt", weight: 2}, {jsonl: b.jsonl, field: body}]
  eval: {held: {text: c.txt}}
train: {batch: 8, micro_batch: 4, duration: 1B tok, clip: 1,
        optimizer: {adamw: {beta2: 0.95}}, schedule: cosine}
run: {folder: x, keep: 5}
)";

TEST_F(Spec, resolvedHasEveryKeyWithItsType) {
  auto json = read(kYaml).resolved();
  ASSERT_TRUE(problems.empty()) << spec::show(problems);
  EXPECT_EQ(json["data"]["length"], 4000);
  EXPECT_EQ(json["train"]["duration"], "1000000000 tokens");
  EXPECT_TRUE(json["train"]["batch"].is_number_integer());
  EXPECT_EQ(json["train"]["clip"], 1.0);
  EXPECT_EQ(json["train"]["guard"], 1e6);
  EXPECT_EQ(json["run"]["keep"], 5);
  EXPECT_EQ(json["run"]["log_every"], "10 steps");
  EXPECT_EQ(json["loss"]["cross_entropy"]["weight"], 0.5);
  EXPECT_EQ(json["model"]["init"]["from"], "none");
  EXPECT_EQ(json["data"]["train"][1]["field"], "body");
  EXPECT_EQ(json["data"]["train"][0]["text"],
            (folder / "a/*.txt").string());
  EXPECT_EQ(json["data"]["eval"]["held"][0]["line"],
            (folder / "spec.yaml").string() + ":6:16");
  for (const Key &key : keysOfSpec()) {
    auto *node = &json;
    for (size_t from = 0; from < key.name.size();) {
      size_t dot = std::min(key.name.find('.', from), key.name.size());
      node = &(*node)[std::string(key.name.substr(from, dot - from))];
      from = dot + 1;
    }
    EXPECT_FALSE(node->is_null()) << key.name;
  }
}

TEST_F(Spec, jsonIsReadTheSameWay) {
  auto yaml = read(kYaml).resolved();
  auto json = read(R"({"model": {"architecture": "llama", "vocab": 256,
    "d": 64}, "loss": {"cross_entropy": {"weight": 0.5, "smoothing": 0.1}},
    "data": {"length": "4k", "train": [{"text": "a/*.txt", "weight": 2},
      {"jsonl": "b.jsonl", "field": "body"}],
      "eval": {"held": {"text": "c.txt"}}},
    "train": {"batch": 8, "micro_batch": 4, "duration": "1B tok", "clip": 1,
      "optimizer": {"adamw": {"beta2": 0.95}}, "schedule": "cosine"},
    "run": {"folder": "x", "keep": 5}})",
                   "spec.json")
                  .resolved();
  ASSERT_TRUE(problems.empty()) << spec::show(problems);
  for (auto *data : {&yaml["data"], &json["data"]}) {
    for (auto &source : (*data)["train"])
      source.erase("line");
    (*data)["eval"]["held"][0].erase("line");
  }
  EXPECT_EQ(yaml, json);
}

TEST_F(Spec, anAliasIsACopyOfItsAnchor) {
  auto json = read("base: &b {text: a}\n").resolved();
  ASSERT_FALSE(problems.empty()); // base is no key of a spec
  json = read("model: {architecture: llama}\nloss: {cross_entropy: 1}\n"
              "data: {length: 8, train: &t [{text: a}], eval: {again: *t}}\n"
              "train: {batch: 1, micro_batch: 1, duration: 1 step, "
              "optimizer: sgd, schedule: constant}\n")
             .resolved();
  ASSERT_TRUE(problems.empty()) << spec::show(problems);
  EXPECT_EQ(json["data"]["eval"]["again"], json["data"]["train"]);
}

TEST_F(Spec, randomBytesNeverCrash) {
  uint64_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::string text = kYaml;
    for (int i = 0; i < 1 + round % 8; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      size_t at = (state >> 33) % text.size();
      if (state & 1 << 20)
        text.erase(at, (state >> 21) % 9);
      else
        text[at] = "{}[]:,&*!|>'\"#-? \n\t%@`\x01\xff"[(state >> 25) % 25];
    }
    read(text);
    spec::show(problems);
  }
}

} // namespace
