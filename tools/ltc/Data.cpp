// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Data.h"
#include <nlohmann/json.hpp>

namespace ltc::tool {

static std::vector<SourceOptions> sourcesOf(const nlohmann::json &list) {
  std::vector<SourceOptions> sources;
  for (const auto &item : list) {
    SourceOptions source;
    source.weight = item.value("weight", 1.0);
    source.line = item.value("line", "");
    nlohmann::json config = item;
    config.erase("line");
    for (const char *kind : {"text", "jsonl"})
      if (item.contains(kind)) {
        source.kind = kind;
        config["path"] = item[kind];
      }
    source.config = config.dump();
    sources.push_back(source);
  }
  return sources;
}

static nlohmann::json dataOf(const artifact::ArtifactT &table) {
  auto spec = nlohmann::json::parse(table.spec_json, nullptr, false);
  return spec.is_object() ? spec.value("data", nlohmann::json::object())
                          : nlohmann::json::object();
}

DataOptions trainingData(const artifact::ArtifactT &table,
                         const RunOptions &options) {
  auto data = dataOf(table);
  return {sourcesOf(data.value("train", nlohmann::json::array())),
          table.length, options.batch, uint64_t(options.seed)};
}

std::vector<std::pair<std::string, DataOptions>>
evaluationData(const artifact::ArtifactT &table) {
  std::vector<std::pair<std::string, DataOptions>> sets;
  auto data = dataOf(table);
  if (data.contains("eval"))
    for (auto &[name, list] : data["eval"].items())
      sets.push_back(
          {name, {sourcesOf(list), table.length, table.micro_batch, 0}});
  return sets;
}

} // namespace ltc::tool
