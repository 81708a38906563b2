// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Options.h"
#include "runtime/schema/Schema.h"
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ltc {
using namespace artifact;
using Json = nlohmann::json;

Result<Duration> Duration::parse(const std::string &text) {
  LTC_ASSIGN(DurationValue value, parseDuration(text));
  if (value.unit == "minutes")
    return Duration{Unit::seconds, value.amount * 60};
  Unit unit = value.unit == "steps"    ? Unit::steps
              : value.unit == "epochs" ? Unit::epochs
                                       : Unit::tokens;
  return Duration{unit, value.amount};
}

std::string Duration::text() const {
  static const char *const units[] = {"steps", "epochs", "tokens", "min"};
  char text[48];
  std::snprintf(text, sizeof text, "%.10g %s",
                unit == Unit::seconds ? amount / 60 : amount,
                units[static_cast<int>(unit)]);
  return text;
}

double Duration::measure(const Progress &progress) const {
  switch (unit) {
  case Unit::steps:
    return double(progress.step);
  case Unit::epochs:
    return progress.epochs;
  case Unit::tokens:
    return double(progress.tokens);
  case Unit::seconds:
    return progress.seconds;
  }
  return 0;
}

bool Duration::due(const Progress &before, const Progress &now) const {
  return amount > 0 && std::floor(measure(now) / amount) >
                           std::floor(measure(before) / amount);
}

/// The value at a dotted path; null if there is none.
static const Json *findKey(const Json &tree, const std::string &key) {
  const Json *node = &tree;
  for (size_t from = 0; from <= key.size();) {
    size_t dot = std::min(key.find('.', from), key.size());
    if (!node->is_object())
      return nullptr;
    auto found = node->find(key.substr(from, dot - from));
    if (found == node->end())
      return nullptr;
    node = &*found;
    from = dot + 1;
  }
  return node;
}

std::string settingOf(const ArtifactT &program, const std::string &key) {
  for (const auto &entry : program.host)
    if (entry->key == key)
      return entry->value;
  Json spec = Json::parse(program.spec_json, nullptr, false);
  const Json *found = findKey(spec, key);
  return found ? found->dump() : "";
}

/// A setting as plain text: strings without their quotes.
static std::string textOf(const ArtifactT &program, const std::string &key) {
  std::string value = settingOf(program, key);
  Json json = Json::parse(value, nullptr, false);
  if (json.is_string())
    return json.get<std::string>();
  return json.is_null() ? "" : value;
}

std::string lineOf(const ArtifactT &program, const std::string &key) {
  for (const auto &entry : program.host)
    if (entry->key == key && !entry->line.empty())
      return entry->line + ": ";
  return "";
}

static Result<void> readCount(const ArtifactT &program, const std::string &key,
                              int64_t least, int64_t &value) {
  std::string text = textOf(program, key);
  if (text.empty())
    return {};
  auto parsed = parseCount(text, least);
  if (!parsed)
    return fail(lineOf(program, key) + key + ": " + parsed.error().message);
  value = *parsed;
  return {};
}

static Result<void> readDuration(const ArtifactT &program,
                                 const std::string &key, Duration &value) {
  std::string text = textOf(program, key);
  if (text.empty())
    return {};
  auto parsed = Duration::parse(text);
  if (!parsed)
    return fail(lineOf(program, key) + key + ": " + parsed.error().message);
  value = *parsed;
  return {};
}

Result<RunOptions> readOptions(const ArtifactT &program) {
  RunOptions options;
  int64_t threads = 0, keep = options.keep;
  LTC_TRY(readCount(program, "train.batch", 1, options.batch));
  LTC_TRY(readCount(program, "train.seed", INT64_MIN, options.seed));
  LTC_TRY(readCount(program, "run.threads", 0, threads));
  LTC_TRY(readCount(program, "run.keep", 1, keep));
  LTC_TRY(readDuration(program, "train.duration", options.duration));
  LTC_TRY(readDuration(program, "train.eval_every", options.evalEvery));
  LTC_TRY(readDuration(program, "run.save_every", options.saveEvery));
  LTC_TRY(readDuration(program, "run.log_every", options.logEvery));
  options.threads = int(std::min<int64_t>(threads, 1 << 16));
  options.keep = int(std::min<int64_t>(keep, 1 << 30));
  std::string folder = textOf(program, "run.folder");
  if (!folder.empty())
    options.folder = folder;
  std::string loggers = textOf(program, "run.loggers");
  if (!loggers.empty())
    options.loggers = loggers;
  options.initFrom = textOf(program, "model.init.from");
  if (options.initFrom == "none")
    options.initFrom.clear();
  options.initLine = lineOf(program, "model.init.from");
  if (options.batch == 0)
    options.batch = program.micro_batch;
  if (program.micro_batch > 0 && options.batch % program.micro_batch != 0)
    return fail(lineOf(program, "train.batch") + "train.batch is " +
                std::to_string(options.batch) + "; it should be a multiple "
                "of train.micro_batch, " +
                std::to_string(program.micro_batch));
  return options;
}

static Result<double> scalarValue(const ScalarT &scalar,
                                  const std::string &text) {
  LTC_ASSIGN(auto value,
             readValue(typeNamed(EnumNameScalarType(scalar.type)), text,
                       scalar.check));
  return value.is_boolean() ? double(value.get<bool>()) : value.get<double>();
}

/// The settable key that `key` is but for one part too many, as in
/// train.optimizer.adamw.lr; or "".
static std::string withoutOnePart(const std::string &key,
                                  const std::vector<std::string> &names) {
  for (size_t from = 0; from != std::string::npos;) {
    size_t dot = key.find('.', from);
    std::string shorter =
        dot == std::string::npos
            ? key.substr(0, from ? from - 1 : 0)
            : key.substr(0, from) + key.substr(dot + 1);
    if (std::find(names.begin(), names.end(), shorter) != names.end())
      return shorter;
    from = dot == std::string::npos ? dot : dot + 1;
  }
  return "";
}

static Error unknownKey(const ArtifactT &program, const std::string &key) {
  std::vector<std::string> names;
  for (const auto &scalar : program.scalars)
    names.push_back(scalar->key);
  for (const auto &entry : program.host)
    names.push_back(entry->key);
  std::string near = withoutOnePart(key, names);
  Json spec = Json::parse(program.spec_json, nullptr, false);
  if (near.empty() && findKey(spec, key))
    return fail("--set " + key + ": " + key + " is part of the program's "
                "structure; change it in the spec and compile again");
  if (near.empty())
    near = nearest(key, names);
  return fail("--set " + shown(key) + ": there is no key '" + shown(key) +
              "'" + (near.empty() ? "; ltc inspect lists the keys"
                                  : "; did you mean '" + near + "'?"));
}

/// What is wrong with a value, and what the key is for.
static Error badValue(const std::string &key, const Error &error,
                      const std::string &help) {
  return fail("--set " + key + ": " + error.message +
              (help.empty() ? "" : " (" + help + ")"));
}

Result<void> applySetting(ArtifactT &program, const std::string &assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos)
    return fail("--set " + shown(assignment) + ": expected KEY=VALUE");
  std::string key = assignment.substr(0, equals);
  std::string text = assignment.substr(equals + 1);
  for (auto &scalar : program.scalars)
    if (scalar->key == key) {
      auto value = scalarValue(*scalar, text);
      if (!value)
        return badValue(key, value.error(), scalar->help);
      scalar->value = *value;
      return {};
    }
  for (auto &entry : program.host)
    if (entry->key == key) {
      auto value = readValue(typeNamed(entry->type), text, entry->check,
                             entry->initial);
      if (!value)
        return badValue(key, value.error(), entry->help);
      entry->value = value->dump();
      entry->line.clear(); // the spec's line does not say this
      return {};
    }
  return unknownKey(program, key);
}

} // namespace ltc
