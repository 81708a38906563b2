// SPDX-License-Identifier: Apache-2.0
// The resolved spec: what the artifact keeps of it.
#include "frontend/spec/Spec.h"

namespace ltc::spec {

using nlohmann::ordered_json;

std::string show(const Place &place) {
  return place.file + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

static ordered_json sourcesJson(const std::vector<Source> &sources) {
  ordered_json list = ordered_json::array();
  for (const Source &source : sources) {
    ordered_json json = {{source.kind, source.path},
                         {"weight", source.weight}};
    if (source.kind == "jsonl")
      json["field"] = source.field;
    json["line"] = show(source.place);
    list.push_back(json);
  }
  return list;
}

static ordered_json settingsJson(const std::vector<Setting> &settings) {
  ordered_json map = ordered_json::object();
  for (const Setting &setting : settings)
    map[setting.name] = setting.text;
  return map;
}

/// Puts a value at a dotted name.
static void put(ordered_json &json, std::string_view name,
                const ordered_json &value) {
  size_t dot = name.find('.');
  std::string own(name.substr(0, dot));
  if (dot == std::string_view::npos)
    json[own] = value;
  else
    put(json[own], name.substr(dot + 1), value);
}

ordered_json Spec::resolved() const {
  ordered_json json;
  json["model"] = settingsJson(model.settings);
  json["model"]["architecture"] = model.name;
  for (const Loss &loss : losses) {
    json["loss"][loss.name] = settingsJson(loss.settings);
    json["loss"][loss.name]["weight"] = loss.weight;
  }
  json["data"] = {{"length", length},
                  {"tokenizer", "bytes"},
                  {"train", sourcesJson(train)}};
  for (auto &[name, sources] : eval)
    json["data"]["eval"][name] = sourcesJson(sources);
  json["train"]["micro_batch"] = microBatch;
  json["train"]["precision"] = precision;
  json["train"]["memory_budget"] =
      memoryBudget ? ordered_json(*memoryBudget) : ordered_json("none");
  json["train"]["clip"] = clip ? ordered_json(*clip) : ordered_json("none");
  json["train"]["guard"] = guard;
  json["train"]["optimizer"][optimizer.name] = settingsJson(optimizer.settings);
  json["train"]["schedule"][schedule.name] = settingsJson(schedule.settings);
  for (const Host &entry : host)
    put(json, entry.key->name, entry.value);
  json["target"] = target;
  return json;
}

} // namespace ltc::spec
