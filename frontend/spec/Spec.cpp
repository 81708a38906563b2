// SPDX-License-Identifier: Apache-2.0
#include "frontend/spec/Spec.h"
#include <algorithm>
#include <filesystem>

namespace ltc::spec {
namespace {

using enum KeyKind;
using enum ValueType;

constexpr Key kTrain[] = {
    {"batch", host, count, "", true, "rows of a global batch"},
    {"micro_batch", structure, count, "", true, "rows computed at once"},
    {"precision", structure, text, "fp32", false, "policy: fp32 or bf16"},
    {"duration", host, duration, "", true, "how long to train"},
    {"seed", host, count, "1", false, "of the weights and the data's order"},
    {"clip", scalar, number, "none", false, "largest global gradient norm"},
    {"guard", scalar, number, "1e6", false,
     "a step whose gradient norm is not below changes nothing"},
    {"eval_every", host, duration, "0 steps", false,
     "between evaluations; 0: at the end only"},
    {"optimizer", structure, word, "", true, "a text and its settings"},
    {"schedule", structure, word, "", true, "of the learning rate"},
};
constexpr Key kRun[] = {
    {"folder", host, text, "run", false, "where the run keeps its files"},
    {"log_every", host, duration, "10 steps", false, "between lines"},
    {"save_every", host, duration, "0 steps", false,
     "between checkpoints; 0: at the end only"},
    {"keep", host, count, "3", false, "checkpoints that stay"},
    {"threads", host, count, "0", false, "0: one per core"},
};
constexpr Key kData[] = {
    {"length", structure, count, "", true, "tokens of a row"},
    {"tokenizer", structure, word, "bytes", false, "bytes"},
    {"train", structure, word, "", true, "sources"},
    {"eval", structure, word, "", false, "named sets of sources"},
};

class Reader {
public:
  Reader(Spec &spec, std::vector<Problem> &problems)
      : spec(spec), problems(problems) {}

  void run(const Tree &root);

private:
  void error(const Place &place, std::string message) {
    problems.push_back({place, std::move(message)});
  }
  void unknown(const Tree::Entry &entry, std::vector<std::string> names,
               const std::string &where) {
    std::string near = nearest(entry.key, names);
    error(entry.place, "unknown key '" + entry.key + "'" + where +
                           (near.empty() ? "" : "; did you mean '" + near +
                                                    "'?"));
  }
  bool isMap(const Tree &tree, const std::string &what) {
    if (tree.kind == Tree::Map)
      return true;
    error(tree.place, what + " must be a map of keys");
    return false;
  }
  /// Checks a section's keys and gives each value's text, defaults included.
  std::map<std::string, std::pair<std::string, Place>>
  section(const Tree &root, const std::string &name,
          std::span<const Key> keys);
  void readModel(const Tree &root);
  void readLosses(const Tree &root);
  void readData(const Tree &root);
  void readTrain(const Tree &root);
  void readRun(const Tree &root);
  Use readUse(const Tree &tree, const std::string &what);
  std::vector<Setting> readSettings(const Tree &tree);
  std::vector<Source> readSources(const Tree &tree);
  int64_t countOf(const std::pair<std::string, Place> &value, int64_t least) {
    auto parsed = parseCount(value.first, least);
    if (parsed)
      return *parsed;
    error(value.second, parsed.error().message);
    return least;
  }

  Spec &spec;
  std::vector<Problem> &problems;
};

std::map<std::string, std::pair<std::string, Place>>
Reader::section(const Tree &root, const std::string &name,
                std::span<const Key> keys) {
  std::map<std::string, std::pair<std::string, Place>> values;
  const Tree::Entry *found = root.find(name);
  Tree none;
  none.kind = Tree::Map;
  none.place = root.place;
  const Tree &tree = found ? found->value : none;
  if (!isMap(tree, "'" + name + "'"))
    return values;
  std::vector<std::string> names;
  for (const Key &key : keys)
    names.push_back(std::string(key.name));
  for (const Tree::Entry &entry : tree.entries)
    if (std::find(names.begin(), names.end(), entry.key) == names.end())
      unknown(entry, names, " in '" + name + "'");
  for (const Key &key : keys) {
    std::string id(key.name);
    const Tree::Entry *entry = tree.find(id);
    if (!entry && key.required) {
      error(found ? found->place : root.place,
            "'" + name + "." + id + "' is missing: " + std::string(key.help));
      continue;
    }
    if (!entry) {
      values[id] = {std::string(key.initial), tree.place};
      continue;
    }
    if (key.type == word)
      continue; // a nested section, read by its own method
    if (entry->value.kind != Tree::Scalar) {
      error(entry->value.place, "'" + name + "." + id + "' takes one value");
      continue;
    }
    bool none = entry->value.text == "none" && key.initial == "none";
    auto checked = none ? Result<void>() : checkValue(key.type, entry->value.text);
    if (!checked)
      error(entry->value.place, "'" + name + "." + id + "': " +
                                    checked.error().message);
    else
      values[id] = {entry->value.text, entry->value.place};
  }
  return values;
}

std::vector<Setting> Reader::readSettings(const Tree &tree) {
  std::vector<Setting> settings;
  for (const Tree::Entry &entry : tree.entries) {
    if (entry.value.kind != Tree::Scalar)
      error(entry.value.place, "setting '" + entry.key + "' takes one value");
    else
      settings.push_back({entry.key, entry.value.text, entry.value.place});
  }
  return settings;
}

/// `adamw`, or `{adamw: {beta1: 0.9}}`.
Use Reader::readUse(const Tree &tree, const std::string &what) {
  Use use;
  use.place = tree.place;
  if (tree.kind == Tree::Scalar) {
    use.name = tree.text;
    return use;
  }
  if (tree.kind != Tree::Map || tree.entries.size() != 1) {
    error(tree.place, "'" + what + "' takes one name, alone or with its "
                                   "settings: {name: {setting: value}}");
    return use;
  }
  const Tree::Entry &entry = tree.entries[0];
  use.name = entry.key;
  use.place = entry.place;
  if (entry.value.kind == Tree::Map)
    use.settings = readSettings(entry.value);
  else if (!entry.value.text.empty() || entry.value.kind == Tree::List)
    error(entry.value.place, "the settings of '" + entry.key +
                                 "' must be a map: {setting: value}");
  return use;
}

void Reader::readModel(const Tree &root) {
  const Tree::Entry *model = root.find("model");
  if (!model)
    return error(root.place, "'model' is missing: the architecture and its "
                             "settings");
  if (!isMap(model->value, "'model'"))
    return;
  const Tree::Entry *architecture = model->value.find("architecture");
  if (!architecture)
    error(model->place, "'model.architecture' is missing: llama, gpt2 or the "
                        "path of a .ltc text");
  for (const Tree::Entry &entry : model->value.entries) {
    if (entry.key == "architecture") {
      spec.model.name = entry.value.text;
      spec.model.place = entry.value.place;
    } else if (entry.key == "init") {
      const Tree::Entry *from = entry.value.find("from");
      if (!from || entry.value.entries.size() != 1)
        error(entry.place, "'model.init' is written {from: FOLDER}");
      else
        spec.initFrom = from->value.text;
    } else if (entry.value.kind != Tree::Scalar) {
      error(entry.value.place, "setting '" + entry.key + "' takes one value");
    } else {
      spec.model.settings.push_back(
          {entry.key, entry.value.text, entry.value.place});
    }
  }
}

void Reader::readLosses(const Tree &root) {
  const Tree::Entry *losses = root.find("loss");
  if (!losses)
    return error(root.place, "'loss' is missing: for example "
                             "{cross_entropy: 1}");
  if (!isMap(losses->value, "'loss'"))
    return;
  for (const Tree::Entry &entry : losses->value.entries) {
    Loss loss;
    loss.name = entry.key;
    loss.place = entry.place;
    std::string weight = entry.value.text;
    Place place = entry.value.place;
    if (entry.value.kind == Tree::Map) {
      weight = "1";
      for (Setting &setting : readSettings(entry.value)) {
        if (setting.name != "weight") {
          loss.settings.push_back(setting);
          continue;
        }
        weight = setting.text;
        place = setting.place;
      }
    }
    auto number = parseNumber(weight);
    if (number)
      loss.weight = *number;
    else
      error(place, "weight of '" + entry.key + "': " + number.error().message);
    spec.losses.push_back(loss);
  }
  if (spec.losses.empty())
    error(losses->place, "'loss' names no loss");
}

std::vector<Source> Reader::readSources(const Tree &tree) {
  std::vector<Source> sources;
  std::vector<const Tree *> items;
  if (tree.kind == Tree::List)
    for (const Tree &item : tree.items)
      items.push_back(&item);
  else
    items.push_back(&tree);
  std::filesystem::path base =
      std::filesystem::absolute(spec.path).parent_path();
  for (const Tree *item : items) {
    Source source;
    source.place = item->place;
    if (!isMap(*item, "a source"))
      continue;
    for (const Tree::Entry &entry : item->entries) {
      if (entry.key == "text" || entry.key == "jsonl") {
        if (!source.kind.empty())
          error(entry.place, "a source is text or jsonl, not both");
        source.kind = entry.key;
        source.path = (base / entry.value.text).lexically_normal().string();
      } else if (entry.key == "weight") {
        auto number = parseNumber(entry.value.text);
        if (!number || *number <= 0)
          error(entry.value.place, "a source's weight is a number above 0");
        else
          source.weight = *number;
      } else if (entry.key == "field") {
        source.field = entry.value.text;
      } else {
        unknown(entry, {"text", "jsonl", "weight", "field"}, " in a source");
      }
    }
    if (source.kind.empty())
      error(item->place, "a source needs text: GLOB or jsonl: GLOB");
    sources.push_back(source);
  }
  return sources;
}

void Reader::readData(const Tree &root) {
  auto values = section(root, "data", kData);
  const Tree::Entry *data = root.find("data");
  if (!data)
    return;
  if (values.count("length")) {
    spec.length = countOf(values["length"], 2);
    spec.lengthPlace = values["length"].second;
  }
  if (const Tree::Entry *tokenizer = data->value.find("tokenizer"))
    if (tokenizer->value.text != "bytes")
      error(tokenizer->value.place, "tokenizer '" + tokenizer->value.text +
                                        "' is not available in this version "
                                        "of ltc: bytes is");
  if (const Tree::Entry *train = data->value.find("train"))
    spec.train = readSources(train->value);
  const Tree::Entry *eval = data->value.find("eval");
  if (eval && isMap(eval->value, "'data.eval'"))
    for (const Tree::Entry &set : eval->value.entries)
      spec.eval.push_back({set.key, readSources(set.value)});
}

void Reader::readTrain(const Tree &root) {
  auto values = section(root, "train", kTrain);
  auto text = [&](const char *key) { return values[key].first; };
  if (values.count("batch") && values.count("micro_batch")) {
    spec.batch = countOf(values["batch"], 1);
    spec.microBatch = countOf(values["micro_batch"], 1);
    if (spec.batch % spec.microBatch != 0)
      error(values["micro_batch"].second,
            "train.batch = " + std::to_string(spec.batch) +
                " is no multiple of train.micro_batch = " +
                std::to_string(spec.microBatch));
    spec.host.push_back({"train.batch", spec.batch});
  }
  if (values.count("precision")) {
    spec.precision = text("precision");
    if (spec.precision != "fp32" && spec.precision != "bf16")
      error(values["precision"].second,
            "train.precision = " + spec.precision +
                " is not available in this version of ltc: fp32 and bf16 are");
  }
  for (const char *key : {"duration", "eval_every"})
    if (auto parsed = parseDuration(text(key)); values.count(key) && parsed) {
      spec.host.push_back({std::string("train.") + key, parsed->text()});
      if (std::string(key) == "duration")
        spec.duration = *parsed;
    }
  if (values.count("seed"))
    spec.host.push_back({"train.seed", countOf(values["seed"], 0)});
  if (values.count("clip")) {
    spec.clipPlace = values["clip"].second;
    if (text("clip") != "none")
      spec.clip = *parseNumber(text("clip"));
  }
  if (values.count("guard")) {
    spec.guardPlace = values["guard"].second;
    spec.guard = *parseNumber(text("guard"));
  }
  const Tree::Entry *train = root.find("train");
  if (!train)
    return;
  if (const Tree::Entry *use = train->value.find("optimizer"))
    spec.optimizer = readUse(use->value, "train.optimizer");
  if (const Tree::Entry *use = train->value.find("schedule"))
    spec.schedule = readUse(use->value, "train.schedule");
}

void Reader::readRun(const Tree &root) {
  auto values = section(root, "run", kRun);
  for (const Key &key : kRun) {
    std::string id(key.name);
    if (!values.count(id))
      continue;
    const std::string &value = values[id].first;
    nlohmann::json json = value;
    if (key.type == count)
      json = countOf(values[id], 0);
    else if (key.type == duration)
      json = parseDuration(value)->text();
    spec.host.push_back({"run." + id, json});
  }
}

void Reader::run(const Tree &root) {
  if (!isMap(root, "a spec"))
    return;
  for (const Tree::Entry &entry : root.entries) {
    static const std::vector<std::string> names = {"model", "loss", "data",
                                                   "train", "run", "target"};
    if (std::find(names.begin(), names.end(), entry.key) == names.end())
      unknown(entry, names, " in the spec");
  }
  readModel(root);
  readLosses(root);
  readData(root);
  readTrain(root);
  readRun(root);
  const Tree::Entry *target = root.find("target");
  spec.target = target ? target->value.text : "cpu";
  if (spec.target != "cpu")
    error(target->value.place, "target '" + spec.target +
                                   "' is not available in this version of "
                                   "ltc: cpu is");
}

nlohmann::ordered_json sourcesJson(const std::vector<Source> &sources) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Source &source : sources)
    list.push_back({{source.kind, source.path},
                    {"weight", source.weight},
                    {"field", source.field}});
  return list;
}

nlohmann::ordered_json settingsJson(const std::vector<Setting> &settings) {
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (const Setting &setting : settings)
    map[setting.name] = setting.text;
  return map;
}

} // namespace

nlohmann::ordered_json Spec::resolved() const {
  nlohmann::ordered_json json;
  json["model"] = settingsJson(model.settings);
  json["model"]["architecture"] = model.name;
  if (!initFrom.empty())
    json["model"]["init"]["from"] = initFrom;
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
  json["train"]["optimizer"][optimizer.name] = settingsJson(optimizer.settings);
  json["train"]["schedule"][schedule.name] = settingsJson(schedule.settings);
  for (auto &[key, value] : host) {
    size_t dot = key.find('.');
    json[key.substr(0, dot)][key.substr(dot + 1)] = value;
  }
  json["target"] = target;
  return json;
}

Spec readSpec(const std::string &path, std::vector<Problem> &problems) {
  Spec spec;
  spec.path = path;
  Tree root = readTree(path, problems);
  if (problems.empty())
    Reader(spec, problems).run(root);
  return spec;
}

std::string show(const std::vector<Problem> &problems) {
  std::string text;
  for (const Problem &problem : problems)
    text += problem.place.file + ":" + std::to_string(problem.place.line) +
            ":" + std::to_string(problem.place.column) +
            ": error: " + problem.message + "\n";
  return text;
}

} // namespace ltc::spec
