// SPDX-License-Identifier: Apache-2.0
// Reads the tree of a spec by the schema (runtime/schema/Keys.cpp).
#include "frontend/spec/Spec.h"
#include <algorithm>
#include <filesystem>
#include <map>

namespace ltc::spec {
namespace {

struct Given {
  std::string text;
  Place place;
  bool written = false; ///< false: the default stands
};
using Section = std::map<std::string, Given>;

class Reader {
public:
  Reader(Spec &spec, std::vector<Problem> &problems)
      : spec(spec), problems(problems) {}

  void run(const Tree &root);

private:
  void error(const Place &place, std::string message) {
    problems.push_back({place, std::move(message)});
  }
  void unknown(const Tree::Entry &entry, const std::vector<std::string> &names,
               const std::string &where);
  bool isMap(const Tree &tree, const std::string &what);
  /// The text of a value that must be one word or number.
  std::string one(const Tree &tree, const std::string &what);
  double weightOf(const Tree &tree, const std::string &what);
  Section section(const Tree &root, const std::string &name);
  /// Checks a value; a host key's joins spec.host.
  void checkKey(const Key &key, const Given &given);
  void readInit(const Tree &model);
  void readModel(const Tree &root);
  void readLoss(const Tree::Entry &entry);
  void readLosses(const Tree &root);
  void readData(const Tree &root);
  void readTrain(const Tree &root);
  void readTarget(const Tree &root);
  Use readUse(const Tree &tree, const std::string &what);
  std::vector<Setting> readSettings(const Tree &tree);
  void readSourceKey(const Tree::Entry &entry, Source &source);
  std::vector<Source> readSources(const Tree &tree, const std::string &what);

  Spec &spec;
  std::vector<Problem> &problems;
};

void Reader::unknown(const Tree::Entry &entry,
                     const std::vector<std::string> &names,
                     const std::string &where) {
  std::string near = nearest(entry.key, names), all;
  for (const std::string &name : names)
    all += (all.empty() ? "" : ", ") + name;
  error(entry.place,
        "unknown key '" + shown(entry.key) + "' in " + where +
            (near.empty() ? "; there are: " + all
                          : "; did you mean '" + near + "'?"));
}

bool Reader::isMap(const Tree &tree, const std::string &what) {
  if (tree.kind == Tree::Map)
    return true;
  error(tree.place, what + " must be a map of keys: {key: value}");
  return false;
}

std::string Reader::one(const Tree &tree, const std::string &what) {
  if (tree.kind != Tree::Scalar)
    error(tree.place, what + " takes one value, not a " +
                          (tree.kind == Tree::Map ? "map" : "list"));
  else if (tree.text.empty())
    error(tree.place, what + ": expected a value, found nothing");
  else
    return tree.text;
  return "";
}

double Reader::weightOf(const Tree &tree, const std::string &what) {
  std::string text = one(tree, what);
  if (text.empty())
    return 1;
  auto number = readValue(ValueType::number, text);
  if (number)
    return number->get<double>();
  error(tree.place, what + ": " + number.error().message);
  return 1;
}

/// The key's own name inside its section.
std::string inSection(const Key &key, const std::string &section) {
  if (!key.name.starts_with(section + "."))
    return "";
  std::string rest(key.name.substr(section.size() + 1));
  return rest.substr(0, rest.find('.'));
}

/// Checks a section's keys by the schema and gives each value's text, defaults
/// included. What holds more than one value is left to its own method.
Section Reader::section(const Tree &root, const std::string &name) {
  Section values;
  const Tree::Entry *found = root.find(name);
  Tree none;
  none.kind = Tree::Map;
  none.place = root.place;
  const Tree &tree = found ? found->value : none;
  if (!isMap(tree, "'" + name + "'"))
    return values;
  std::vector<std::string> names;
  for (const Key &key : keysOfSpec())
    if (std::string own = inSection(key, name); !own.empty())
      names.push_back(own);
  for (const Tree::Entry &entry : tree.entries)
    if (std::find(names.begin(), names.end(), entry.key) == names.end())
      unknown(entry, names, "'" + name + "'");
  for (const Key &key : keysOfSpec()) {
    std::string own = inSection(key, name);
    if (own.empty())
      continue;
    const Tree::Entry *entry = tree.find(own);
    if (!entry && key.required)
      error(found ? found->place : root.place, "'" + std::string(key.name) +
                                                   "' is missing: " +
                                                   std::string(key.help));
    values[own] = {std::string(key.initial),
                   entry ? entry->value.place : tree.place, entry != nullptr};
    if (entry ? key.type == ValueType::word : key.required)
      continue;
    if (entry)
      values[own].text =
          one(entry->value, "'" + std::string(key.name) + "'");
    checkKey(key, values[own]);
  }
  return values;
}

void Reader::checkKey(const Key &key, const Given &given) {
  if (given.text.empty())
    return; // said already
  auto value = readValue(key.type, given.text, key.check, key.initial);
  if (!value)
    error(given.place,
          "'" + std::string(key.name) + "': " + value.error().message);
  else if (key.kind == KeyKind::host)
    spec.host.push_back({&key, *value, given.place, given.written});
}

std::vector<Setting> Reader::readSettings(const Tree &tree) {
  std::vector<Setting> settings;
  for (const Tree::Entry &entry : tree.entries) {
    std::string text =
        one(entry.value, "setting '" + shown(entry.key) + "'");
    if (!text.empty())
      settings.push_back({entry.key, text, entry.value.place});
  }
  return settings;
}

/// `adamw`, or `{adamw: {beta1: 0.9}}`.
Use Reader::readUse(const Tree &tree, const std::string &what) {
  Use use;
  use.place = tree.place;
  if (tree.kind == Tree::Scalar) {
    use.name = one(tree, "'" + what + "'");
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

/// A path of the spec is seen from the spec's own folder.
std::string besideSpec(const Spec &spec, const std::string &path) {
  return (std::filesystem::absolute(spec.path).parent_path() / path)
      .lexically_normal()
      .string();
}

void Reader::readInit(const Tree &model) {
  Given given = {"none", model.place};
  if (const Tree::Entry *init = model.find("init")) {
    const Tree::Entry *from = init->value.find("from");
    if (!from || init->value.entries.size() != 1)
      return error(init->place, "'model.init' is written {from: FOLDER}");
    std::string folder = one(from->value, "'model.init.from'");
    if (!folder.empty() && folder != "none")
      folder = besideSpec(spec, folder);
    given = {folder, from->value.place, true};
  }
  for (const Key &key : keysOfSpec())
    if (key.name == "model.init.from")
      checkKey(key, given);
}

void Reader::readModel(const Tree &root) {
  const Tree::Entry *model = root.find("model");
  if (!model)
    return error(root.place, "'model' is missing: the architecture and its "
                             "settings");
  if (!isMap(model->value, "'model'"))
    return;
  if (!model->value.find("architecture"))
    error(model->place, "'model.architecture' is missing: llama, gpt2 or the "
                        "path of a .ltc text");
  for (const Tree::Entry &entry : model->value.entries) {
    if (entry.key == "architecture") {
      spec.model.name = one(entry.value, "'model.architecture'");
      spec.model.place = entry.value.place;
    } else if (entry.key == "init") {
      continue; // read below
    } else if (std::string text =
                   one(entry.value, "setting '" + shown(entry.key) + "'");
               !text.empty()) {
      spec.model.settings.push_back({entry.key, text, entry.value.place});
    }
  }
  readInit(model->value);
}

/// `cross_entropy: 1`, or `cross_entropy: {weight: 1, smoothing: 0.1}`.
void Reader::readLoss(const Tree::Entry &entry) {
  Loss loss;
  loss.name = entry.key;
  loss.place = entry.place;
  std::string what = "weight of '" + shown(entry.key) + "'";
  if (entry.value.kind != Tree::Map) {
    loss.weight = weightOf(entry.value, what);
    return spec.losses.push_back(loss);
  }
  Tree settings = entry.value;
  std::erase_if(settings.entries, [](auto &e) { return e.key == "weight"; });
  loss.settings = readSettings(settings);
  if (const Tree::Entry *weight = entry.value.find("weight"))
    loss.weight = weightOf(weight->value, what);
  spec.losses.push_back(loss);
}

void Reader::readLosses(const Tree &root) {
  const Tree::Entry *losses = root.find("loss");
  if (!losses)
    return error(root.place, "'loss' is missing: for example "
                             "{cross_entropy: 1}");
  if (!isMap(losses->value, "'loss'"))
    return;
  for (const Tree::Entry &entry : losses->value.entries)
    readLoss(entry);
  if (losses->value.entries.empty())
    error(losses->place, "'loss' names no loss: for example "
                         "{cross_entropy: 1}");
}

void Reader::readSourceKey(const Tree::Entry &entry, Source &source) {
  if (entry.key == "text" || entry.key == "jsonl") {
    if (!source.kind.empty())
      error(entry.place, "a source is text or jsonl, not both");
    source.kind = entry.key;
    std::string path = one(entry.value, "'" + entry.key + "'");
    if (!path.empty())
      source.path = besideSpec(spec, path);
  } else if (entry.key == "weight") {
    source.weight = weightOf(entry.value, "a source's weight");
    if (source.weight <= 0)
      error(entry.value.place, "a source's weight is a number above 0");
  } else if (entry.key == "field") {
    source.field = one(entry.value, "'field'");
  } else {
    unknown(entry, {"text", "jsonl", "weight", "field"}, "a source");
  }
}

std::vector<Source> Reader::readSources(const Tree &tree,
                                        const std::string &what) {
  std::vector<Source> sources;
  std::vector<const Tree *> items;
  if (tree.kind == Tree::List)
    for (const Tree &item : tree.items)
      items.push_back(&item);
  else
    items.push_back(&tree);
  if (items.empty())
    error(tree.place, what + " names no source: [{text: GLOB}]");
  for (const Tree *item : items) {
    Source source;
    source.place = item->place;
    if (!isMap(*item, "a source"))
      continue;
    for (const Tree::Entry &entry : item->entries)
      readSourceKey(entry, source);
    if (source.kind.empty())
      error(item->place, "a source needs text: GLOB or jsonl: GLOB");
    if (source.kind == "text" && item->find("field"))
      error(item->find("field")->place,
            "'field' is of jsonl: a text source has none");
    sources.push_back(source);
  }
  return sources;
}

void Reader::readData(const Tree &root) {
  Section values = section(root, "data");
  const Tree::Entry *data = root.find("data");
  if (!data || data->value.kind != Tree::Map)
    return;
  if (auto length = parseCount(values["length"].text))
    spec.length = *length;
  spec.lengthPlace = values["length"].place;
  if (const Tree::Entry *tokenizer = data->value.find("tokenizer")) {
    std::string name = one(tokenizer->value, "'data.tokenizer'");
    if (!name.empty() && name != "bytes")
      error(tokenizer->value.place, "tokenizer '" + shown(name) +
                                        "' is not available in this version "
                                        "of ltc: bytes is");
  }
  if (const Tree::Entry *train = data->value.find("train"))
    spec.train = readSources(train->value, "'data.train'");
  const Tree::Entry *eval = data->value.find("eval");
  if (!eval || (eval->value.kind == Tree::Scalar && eval->value.text == "none"))
    return;
  if (!isMap(eval->value, "'data.eval'"))
    return;
  for (const Tree::Entry &set : eval->value.entries) {
    std::string what = "'data.eval." + shown(set.key) + "'";
    spec.eval.push_back({set.key, readSources(set.value, what)});
  }
}

void Reader::readTrain(const Tree &root) {
  Section values = section(root, "train");
  const Tree::Entry *train = root.find("train");
  if (!train || train->value.kind != Tree::Map)
    return;
  auto batch = parseCount(values["batch"].text, 1);
  auto microBatch = parseCount(values["micro_batch"].text, 1);
  spec.batch = batch ? *batch : 1;
  spec.microBatch = microBatch ? *microBatch : 1;
  if (batch && microBatch && *batch % *microBatch != 0)
    error(values["micro_batch"].place,
          "train.batch = " + std::to_string(*batch) +
              " is no multiple of train.micro_batch = " +
              std::to_string(*microBatch));
  const Given &precision = values["precision"];
  spec.precision = precision.text;
  if (!precision.text.empty() && spec.precision != "fp32" &&
      spec.precision != "bf16")
    error(precision.place, "train.precision = " + spec.precision +
                               " is not available in this version of ltc: "
                               "fp32 and bf16 are");
  if (double(spec.microBatch) * double(spec.length) > 1 << 30)
    error(values["micro_batch"].place,
          "train.micro_batch x data.length is more than 2^30 tokens at once: "
          "take a smaller micro batch");
  const Given &budget = values["memory_budget"];
  spec.memoryBudgetPlace = budget.place;
  if (auto bytes = parseBytes(budget.text); bytes && budget.text != "none")
    spec.memoryBudget = *bytes;
  if (auto duration = parseDuration(values["duration"].text))
    spec.duration = *duration;
  spec.clipPlace = values["clip"].place;
  if (auto clip = parseNumber(values["clip"].text))
    spec.clip = *clip;
  spec.guardPlace = values["guard"].place;
  if (auto guard = parseNumber(values["guard"].text))
    spec.guard = *guard;
  if (const Tree::Entry *use = train->value.find("optimizer"))
    spec.optimizer = readUse(use->value, "train.optimizer");
  if (const Tree::Entry *use = train->value.find("schedule"))
    spec.schedule = readUse(use->value, "train.schedule");
}

void Reader::readTarget(const Tree &root) {
  const Tree::Entry *target = root.find("target");
  spec.target = target ? one(target->value, "'target'") : "cpu";
  spec.targetPlace = target ? target->value.place : root.place;
}

void Reader::run(const Tree &root) {
  if (!isMap(root, "a spec"))
    return;
  static const std::vector<std::string> names = {"model", "loss", "data",
                                                 "train", "run", "target"};
  for (const Tree::Entry &entry : root.entries)
    if (std::find(names.begin(), names.end(), entry.key) == names.end())
      unknown(entry, names, "the spec");
  readModel(root);
  readLosses(root);
  readData(root);
  readTrain(root);
  section(root, "run");
  readTarget(root);
}

} // namespace

Spec readSpec(const std::string &path, std::vector<Problem> &problems) {
  Spec spec;
  spec.path = path;
  Tree root = readTree(path, problems);
  if (problems.empty())
    Reader(spec, problems).run(root);
  return spec;
}

} // namespace ltc::spec
