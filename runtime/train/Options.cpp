// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Options.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ltc {
using namespace artifact;
using Json = nlohmann::json;

namespace {
struct UnitName {
  const char *name;
  Duration::Unit unit;
  double factor;
};
constexpr UnitName kUnits[] = {
    {"step", Duration::Unit::steps, 1},
    {"steps", Duration::Unit::steps, 1},
    {"epoch", Duration::Unit::epochs, 1},
    {"epochs", Duration::Unit::epochs, 1},
    {"tok", Duration::Unit::tokens, 1},
    {"token", Duration::Unit::tokens, 1},
    {"tokens", Duration::Unit::tokens, 1},
    {"s", Duration::Unit::seconds, 1},
    {"sec", Duration::Unit::seconds, 1},
    {"seconds", Duration::Unit::seconds, 1},
    {"min", Duration::Unit::seconds, 60},
    {"minute", Duration::Unit::seconds, 60},
    {"minutes", Duration::Unit::seconds, 60},
    {"h", Duration::Unit::seconds, 3600},
    {"hour", Duration::Unit::seconds, 3600},
    {"hours", Duration::Unit::seconds, 3600}};
} // namespace

/// The number at the front, times k, M, B or T; `text` keeps the rest.
static double takeAmount(std::string &text) {
  size_t used = 0;
  double amount = NAN;
  try {
    amount = std::stod(text, &used);
  } catch (const std::exception &) {
    return NAN;
  }
  const char *scales = "kMBT";
  if (used < text.size() && text[used])
    if (const char *scale = std::strchr(scales, text[used])) {
      amount *= std::pow(1000.0, double(scale - scales + 1));
      ++used;
    }
  used = std::min(text.find_first_not_of(' ', used), text.size());
  text.erase(0, used);
  return amount;
}

Result<Duration> Duration::parse(const std::string &text) {
  std::string rest = text;
  double amount = takeAmount(rest);
  if (rest.empty())
    rest = "steps";
  for (const UnitName &unit : kUnits)
    if (rest == unit.name && amount >= 0 && std::isfinite(amount))
      return Duration{unit.unit, amount * unit.factor};
  return fail("'" + text + "' is no duration; write a number and steps, "
              "epochs, tokens or min, e.g. 2000 steps or 1.5B tokens");
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

static Result<void> readCount(const ArtifactT &program, const std::string &key,
                              int64_t least, int64_t &value) {
  std::string text = textOf(program, key);
  if (text.empty())
    return {};
  size_t used = 0;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception &) {
    used = 0;
  }
  if (used == text.size() && value >= least)
    return {};
  return fail(key + " is '" + text + "'; it should be a whole number of at "
              "least " + std::to_string(least));
}

static Result<void> readDuration(const ArtifactT &program,
                                 const std::string &key, Duration &value) {
  std::string text = textOf(program, key);
  if (text.empty())
    return {};
  auto parsed = Duration::parse(text);
  if (!parsed)
    return fail(key + ": " + parsed.error().message);
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
  options.initFrom = textOf(program, "model.init.from");
  if (options.batch == 0)
    options.batch = program.micro_batch;
  if (program.micro_batch > 0 && options.batch % program.micro_batch != 0)
    return fail("train.batch is " + std::to_string(options.batch) +
                "; it should be a multiple of train.micro_batch, " +
                std::to_string(program.micro_batch));
  return options;
}

static Result<double> scalarValue(const ScalarT &scalar,
                                  const std::string &text) {
  std::string rest = text;
  double value = takeAmount(rest);
  if (scalar.type == ScalarType::boolean && (text == "true" || text == "false"))
    return text == "true" ? 1.0 : 0.0;
  bool plain = rest.empty() || rest == scalar.unit ||
               scalar.type == ScalarType::duration;
  bool whole = scalar.type != ScalarType::count || value == std::floor(value);
  if (plain && whole && std::isfinite(value))
    return value;
  return fail(scalar.key + "=" + text + ": expected a " +
              EnumNameScalarType(scalar.type) + "; " + scalar.help);
}

/// Edits between two words, for "did you mean".
static size_t distance(const std::string &a, const std::string &b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t change = corner + (a[i - 1] != b[j - 1]);
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

static Error unknownKey(const ArtifactT &program, const std::string &key) {
  Json spec = Json::parse(program.spec_json, nullptr, false);
  if (findKey(spec, key))
    return fail(key + " is part of the program's structure; change it in the "
                "spec and compile again");
  std::string nearest;
  size_t best = key.size() / 2 + 1;
  auto consider = [&](const std::string &name) {
    if (size_t d = distance(key, name); d < best) {
      best = d;
      nearest = name;
    }
  };
  for (const auto &scalar : program.scalars)
    consider(scalar->key);
  for (const auto &entry : program.host)
    consider(entry->key);
  return fail("there is no key '" + key + "'" +
              (nearest.empty() ? "; ltc inspect lists the keys"
                               : "; did you mean " + nearest + "?"));
}

Result<void> applySetting(ArtifactT &program, const std::string &assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos)
    return fail("--set " + assignment + ": expected key=value");
  std::string key = assignment.substr(0, equals);
  std::string text = assignment.substr(equals + 1);
  for (auto &scalar : program.scalars)
    if (scalar->key == key) {
      LTC_ASSIGN(scalar->value, scalarValue(*scalar, text));
      return {};
    }
  for (auto &entry : program.host)
    if (entry->key == key) {
      Json json = Json::parse(text, nullptr, false);
      entry->value = json.is_discarded() ? Json(text).dump() : json.dump();
      return {};
    }
  return unknownKey(program, key);
}

} // namespace ltc
