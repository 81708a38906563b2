// SPDX-License-Identifier: Apache-2.0
#include "runtime/schema/Schema.h"
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>

namespace ltc {
namespace {

std::string trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos)
    return "";
  size_t end = text.find_last_not_of(" \t");
  return std::string(text.substr(begin, end - begin + 1));
}

/// Splits "1.5 GiB" into a number and the word behind it.
Result<std::pair<double, std::string>> numberAndWord(std::string_view text) {
  std::string word = trimmed(text);
  char *end = nullptr;
  double number = std::strtod(word.c_str(), &end);
  if (end == word.c_str() || !std::isfinite(number))
    return fail("'" + word + "' does not begin with a number");
  return std::pair(number, trimmed(end));
}

unsigned distance(std::string_view a, std::string_view b) {
  std::vector<unsigned> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    unsigned diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      unsigned next = std::min({row[j] + 1, row[j + 1] + 1,
                                diagonal + (a[i] != b[j])});
      diagonal = row[j + 1];
      row[j + 1] = next;
    }
  }
  return row.back();
}

} // namespace

Result<double> parseNumber(std::string_view text) {
  auto parts = numberAndWord(text);
  if (!parts || !parts->second.empty())
    return fail("expected a number such as 0.1 or 1e-4, found '" +
                shown(trimmed(text)) + "'");
  return parts->first;
}

Result<int64_t> parseCount(std::string_view text, int64_t least) {
  static const std::map<std::string, double> scale = {
      {"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"B", 1e9}};
  auto parts = numberAndWord(text);
  auto unit = parts ? scale.find(parts->second) : scale.end();
  double number = unit == scale.end() ? 0.5 : parts->first * unit->second;
  if (std::abs(number) > 9e15)
    return fail("expected a count of at most 9e15, found " + trimmed(text));
  if (number != std::floor(number))
    return fail("expected a whole number such as 32 or 4k, found '" +
                shown(trimmed(text)) + "'");
  if (number < double(least))
    return fail("expected at least " + std::to_string(least) + ", found " +
                trimmed(text));
  return int64_t(number);
}

Result<bool> parseBoolean(std::string_view text) {
  std::string word = trimmed(text);
  if (word == "true" || word == "yes" || word == "on")
    return true;
  if (word == "false" || word == "no" || word == "off")
    return false;
  return fail("expected true or false, found '" + shown(word) + "'");
}

Result<uint64_t> parseBytes(std::string_view text) {
  static const std::map<std::string, double> scale = {
      {"", 1},
      {"B", 1},
      {"KiB", 1024.0},
      {"MiB", 1048576.0},
      {"GiB", 1073741824.0},
      {"kB", 1e3},
      {"MB", 1e6},
      {"GB", 1e9}};
  auto parts = numberAndWord(text);
  auto unit = parts ? scale.find(parts->second) : scale.end();
  if (unit == scale.end() || parts->first < 0)
    return fail("expected a size such as 512MiB or 2GiB, found '" +
                shown(trimmed(text)) + "'");
  return uint64_t(parts->first * unit->second);
}

std::string DurationValue::text() const {
  char number[64];
  std::snprintf(number, sizeof number, "%.15g", amount);
  return std::string(number) + " " + unit;
}

Result<DurationValue> parseDuration(std::string_view text) {
  static const std::map<std::string, std::pair<double, const char *>> units = {
      {"step", {1, "steps"}},       {"steps", {1, "steps"}},
      {"epoch", {1, "epochs"}},     {"epochs", {1, "epochs"}},
      {"tok", {1, "tokens"}},       {"token", {1, "tokens"}},
      {"tokens", {1, "tokens"}},    {"min", {1, "minutes"}},
      {"minute", {1, "minutes"}},   {"minutes", {1, "minutes"}},
      {"h", {60, "minutes"}},       {"hour", {60, "minutes"}},
      {"hours", {60, "minutes"}},   {"s", {1.0 / 60, "minutes"}},
      {"sec", {1.0 / 60, "minutes"}}, {"seconds", {1.0 / 60, "minutes"}}};
  static const std::map<char, double> scale = {
      {'k', 1e3}, {'K', 1e3}, {'M', 1e6}, {'B', 1e9}, {'T', 1e12}};
  auto parts = numberAndWord(text);
  std::string expected = "expected a duration such as 500 steps, 3 epochs, "
                         "1B tok or 20 min, found '" +
                         shown(trimmed(text)) + "'";
  if (!parts || parts->first < 0)
    return fail(expected);
  double amount = parts->first;
  std::string word = parts->second;
  auto unit = units.find(word);
  if (unit == units.end() && !word.empty() && scale.count(word[0])) {
    amount *= scale.at(word[0]);
    unit = units.find(trimmed(word.substr(1)));
  }
  if (amount == 0 && word.empty())
    return DurationValue{0, "steps"}; // 0: never
  if (unit == units.end() || amount > 9e15)
    return fail(expected);
  return DurationValue{amount * unit->second.first, unit->second.second};
}

static Result<void> checkBound(double value, const std::string &bound) {
  size_t digits = bound.find_first_of("-0123456789.");
  std::string relation = trimmed(bound.substr(0, digits));
  double limit = std::strtod(bound.c_str() + digits, nullptr);
  bool holds = relation == ">"    ? value > limit
               : relation == ">=" ? value >= limit
               : relation == "<"  ? value < limit
                                  : value <= limit;
  if (holds)
    return {};
  static const std::map<std::string, const char *> words = {
      {">", "more than "},
      {">=", "at least "},
      {"<", "less than "},
      {"<=", "at most "}};
  char found[32];
  std::snprintf(found, sizeof found, "%.15g", value);
  return fail("expected " + (words.at(relation) + bound.substr(digits)) +
              ", found " + found);
}

Result<void> checkBounds(double value, std::string_view bounds) {
  while (!bounds.empty()) {
    size_t comma = std::min(bounds.find(", "), bounds.size());
    LTC_TRY(checkBound(value, std::string(bounds.substr(0, comma))));
    bounds.remove_prefix(std::min(comma + 2, bounds.size()));
  }
  return {};
}

Result<nlohmann::json> readValue(ValueType type, std::string_view text,
                                 std::string_view bounds,
                                 std::string_view initial) {
  using nlohmann::json;
  if (initial == "none" && trimmed(text) == "none")
    return json("none");
  switch (type) {
  case ValueType::text:
  case ValueType::word:
    if (trimmed(text).empty())
      return fail("expected a value, found nothing");
    return json(std::string(text));
  case ValueType::number: {
    LTC_ASSIGN(double number, parseNumber(text));
    LTC_TRY(checkBounds(number, bounds));
    return json(number);
  }
  case ValueType::count: {
    LTC_ASSIGN(int64_t count, parseCount(text, INT64_MIN));
    LTC_TRY(checkBounds(double(count), bounds));
    return json(count);
  }
  case ValueType::boolean: {
    LTC_ASSIGN(bool truth, parseBoolean(text));
    return json(truth);
  }
  case ValueType::duration: {
    LTC_ASSIGN(DurationValue duration, parseDuration(text));
    return json(duration.text());
  }
  case ValueType::bytes: {
    LTC_ASSIGN(uint64_t size, parseBytes(text));
    return json(size);
  }
  }
  return fail("a key of an unknown type");
}

std::string shown(std::string_view text) {
  std::string result;
  for (unsigned char c : text.substr(0, 60)) {
    char code[8];
    std::snprintf(code, sizeof code, "\\x%02x", c);
    bool plain = c >= 32 && c != 127 && (c < 128 || text.size() > 1);
    result += plain ? std::string(1, char(c)) : std::string(code);
  }
  return text.size() > 60 ? result + "..." : result;
}

static constexpr std::string_view kKinds[] = {"structure", "scalar", "host"};
static constexpr std::string_view kTypes[] = {
    "text", "word", "number", "count", "boolean", "duration", "bytes"};

std::string_view nameOf(KeyKind kind) { return kKinds[int(kind)]; }
std::string_view nameOf(ValueType type) { return kTypes[int(type)]; }
ValueType typeNamed(std::string_view name) {
  auto found = std::find(std::begin(kTypes), std::end(kTypes), name);
  return found == std::end(kTypes) ? ValueType::text
                                   : ValueType(found - std::begin(kTypes));
}

std::string nearest(std::string_view name,
                    std::span<const std::string> names) {
  std::string best;
  // A third of the letters may be wrong; two of a short name, one of three.
  unsigned bound =
      name.size() < 4 ? 2 : std::max(2u, unsigned(name.size() / 3)) + 1;
  for (const std::string &candidate : names) {
    unsigned away = distance(name, candidate);
    if (away < bound && away < name.size()) { // some letter is right
      best = candidate;
      bound = away;
    }
  }
  return best;
}

} // namespace ltc
