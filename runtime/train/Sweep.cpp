// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Sweep.h"
#include "runtime/base/File.h"
#include "runtime/train/Options.h"
#include "runtime/train/RunFolder.h"
#include <algorithm>
#include <cmath>

namespace fs = std::filesystem;
namespace ltc {
using Json = nlohmann::json;
using namespace artifact;

static const ScalarT *scalarNamed(const ArtifactT &program,
                                  const std::string &key) {
  for (const auto &scalar : program.scalars)
    if (scalar->key == key)
      return scalar.get();
  return nullptr;
}

static bool looksVaried(const std::string &text) {
  return text.find("..") != std::string::npos ||
         text.find(',') != std::string::npos;
}

static std::string scalarNames(const ArtifactT &program) {
  std::string names;
  for (const auto &scalar : program.scalars)
    names += (names.empty() ? "" : ", ") + scalar->key;
  return names;
}

bool SweepRange::varies(const ArtifactT &program,
                        const std::string &assignment) {
  size_t equals = assignment.find('=');
  return equals != std::string::npos &&
         scalarNamed(program, assignment.substr(0, equals)) &&
         looksVaried(assignment.substr(equals + 1));
}

/// One value of the key, as --set reads it.
static Result<double> valueOf(const std::string &key, const std::string &text,
                              const ArtifactT &program) {
  auto scalar = std::make_unique<ScalarT>(*scalarNamed(program, key));
  ArtifactT probe;
  probe.scalars.push_back(std::move(scalar));
  LTC_TRY(applySetting(probe, key + "=" + text));
  return probe.scalars[0]->value;
}

Result<SweepRange> SweepRange::parse(const ArtifactT &program,
                                     const std::string &assignment,
                                     bool linear) {
  size_t equals = assignment.find('=');
  std::string text = assignment.substr(equals + 1);
  SweepRange range;
  range.key = assignment.substr(0, equals);
  const ScalarT *scalar = scalarNamed(program, range.key);
  if (!scalar)
    return fail("--set " + range.key + ": a sweep varies a scalar; scalars "
                "here: " + scalarNames(program));
  range.whole = scalar->type == ScalarType::count;
  size_t dots = text.find("..");
  if (dots == std::string::npos) {
    for (size_t from = 0; from <= text.size();) {
      size_t comma = std::min(text.find(',', from), text.size());
      LTC_ASSIGN(double value, valueOf(range.key,
                                       text.substr(from, comma - from),
                                       program));
      range.list.push_back(value);
      from = comma + 1;
    }
    std::sort(range.list.begin(), range.list.end());
    range.list.erase(std::unique(range.list.begin(), range.list.end()),
                     range.list.end());
    range.low = range.list.front();
    range.high = range.list.back();
  } else {
    LTC_ASSIGN(range.low, valueOf(range.key, text.substr(0, dots), program));
    LTC_ASSIGN(range.high, valueOf(range.key, text.substr(dots + 2), program));
    if (scalar->type == ScalarType::boolean || !(range.low < range.high))
      return fail("--set " + assignment + ": expected LOW..HIGH, two numbers "
                  "with the lower one first, or values with commas between");
  }
  range.logarithmic = range.low > 0 && !linear;
  return range;
}

static double rounded(double value, bool whole) {
  if (whole)
    return std::round(value);
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

/// The value a part of the way from a to b.
static double between(const SweepRange &range, double a, double b,
                      double part) {
  double value = range.logarithmic ? a * std::pow(b / a, part)
                                   : a + (b - a) * part;
  return rounded(value, range.whole);
}

std::vector<double> SweepRange::values(int points) const {
  if (!list.empty())
    return list;
  std::vector<double> values;
  for (int i = 0; i < points; ++i) // the ends exactly as they were given
    values.push_back(i == 0            ? low
                     : i == points - 1 ? high
                                       : between(*this, low, high,
                                                 double(i) / (points - 1)));
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

int bestOf(const std::vector<SweepPoint> &points) {
  int best = -1;
  for (size_t i = 0; i < points.size(); ++i)
    if (points[i].diverged.empty() &&
        (best < 0 || points[i].loss < points[best].loss))
      best = int(i);
  return best;
}

std::vector<double> zoomInto(const SweepRange &range,
                             const std::vector<SweepPoint> &points) {
  int best = bestOf(points);
  std::vector<double> values;
  for (int neighbour : {best - 1, best + 1}) {
    if (best < 0 || neighbour < 0 || neighbour >= int(points.size()))
      continue;
    double value = between(range, points[best].value, points[neighbour].value,
                           0.5);
    if (value != points[best].value && value != points[neighbour].value)
      values.push_back(value);
  }
  return values;
}

Json sweepSettings(const ArtifactT &program, const std::string &key) {
  Json settings = {{"key", key},
                   {"structure_hash", program.structure_hash},
                   {"data_hash", program.data_hash}};
  for (const auto &[name, value] : arithmeticOf(program))
    settings[name] = value;
  for (const auto &scalar : program.scalars)
    if (scalar->key != key)
      settings[scalar->key] = scalar->value;
  for (const auto &entry : program.host)
    if (!entry->key.starts_with("run."))
      settings[entry->key] = entry->value;
  return settings;
}

/// A number that is not finite has no JSON; it was said why in `diverged`.
static double finite(double value) { return std::isfinite(value) ? value : 0; }

static Json toJson(const SweepPoint &point) {
  return {{"value", point.value},        {"loss", finite(point.loss)},
          {"train_loss", finite(point.trainLoss)},
          {"diverged", point.diverged},  {"steps", point.steps},
          {"seconds", point.seconds}};
}

static SweepPoint fromJson(const Json &json) {
  SweepPoint point;
  json.at("value").get_to(point.value);
  json.at("loss").get_to(point.loss);
  json.at("train_loss").get_to(point.trainLoss);
  json.at("diverged").get_to(point.diverged);
  json.at("steps").get_to(point.steps);
  json.at("seconds").get_to(point.seconds);
  return point;
}

/// The first setting that the two do not share, for people; "" if none.
static std::string differenceOf(const Json &before, const Json &now) {
  for (const auto &[key, value] : now.items())
    if (!before.contains(key) || before[key] != value)
      return key + " (then " + before.value(key, Json()).dump() + ", now " +
             value.dump() + ")";
  return before.size() == now.size() ? "" : "its keys";
}

Result<SweepFile> SweepFile::open(const fs::path &folder, const Json &settings,
                                  bool fresh) try {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return fail("--folder " + folder.string() + ": " + error.message());
  SweepFile file;
  file.path = folder / "sweep.json";
  file.settings = settings;
  if (fresh || !fs::exists(file.path, error))
    return file;
  LTC_ASSIGN(MappedFile mapped, MappedFile::open(file.path));
  auto bytes = mapped.bytes();
  Json json = Json::parse(bytes.begin(), bytes.end());
  std::string other = differenceOf(json.at("settings"), settings);
  if (!other.empty())
    return fail("the sweep in " + folder.string() + " was made with another " +
                other + "; choose another --folder, or start anew with "
                "--fresh");
  for (const Json &point : json.at("points"))
    file.all.push_back(fromJson(point));
  return file;
} catch (const Json::exception &error) {
  return fail((folder / "sweep.json").string() + " is damaged (" +
              error.what() + "); start anew with --fresh");
}

const SweepPoint *SweepFile::find(double value) const {
  for (const SweepPoint &point : all)
    if (point.value == value)
      return &point;
  return nullptr;
}

std::vector<SweepPoint>
SweepFile::of(const std::vector<double> &values) const {
  std::vector<SweepPoint> found;
  for (const SweepPoint &point : all)
    if (std::find(values.begin(), values.end(), point.value) != values.end())
      found.push_back(point);
  return found;
}

Result<void> SweepFile::add(const SweepPoint &point) {
  all.push_back(point);
  std::sort(all.begin(), all.end(),
            [](auto &a, auto &b) { return a.value < b.value; });
  return write();
}

Result<void> SweepFile::write() const {
  Json json = {{"settings", settings}, {"points", Json::array()}};
  for (const SweepPoint &point : all)
    json["points"].push_back(toJson(point));
  return writeFile(path, json.dump(1) + "\n");
}

} // namespace ltc
