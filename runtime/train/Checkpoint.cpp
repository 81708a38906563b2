// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Checkpoint.h"
#include <algorithm>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <stdio.h>

namespace fs = std::filesystem;
namespace ltc {
using Json = nlohmann::json;

static constexpr int kManifestVersion = 1;
static constexpr const char *kPrefix = "step-";

/// Where a state lies; "": what training goes on from.
static std::string fileOf(const std::string &state, bool evaluatesOthers) {
  if (state == kEvaluation || (state.empty() && !evaluatesOthers))
    return "model.safetensors";
  return state.empty() ? "trained.safetensors"
                       : "state." + state + ".safetensors";
}

std::vector<fs::path> listCheckpoints(const fs::path &run) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto &entry : fs::directory_iterator(run / "checkpoints", error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) &&
        name.find_first_not_of("0123456789", 5) == std::string::npos)
      found.push_back(entry.path());
  }
  // Numbers of equal width, and longer ones are larger.
  std::sort(found.begin(), found.end(), [](const auto &a, const auto &b) {
    std::string x = a.filename(), y = b.filename();
    return x.size() != y.size() ? x.size() < y.size() : x < y;
  });
  return found;
}

static Json toJson(const FileFacts &facts) {
  return {{"bytes", facts.bytes}, {"xxh3", hexHash(facts.hash)}};
}

static Json toJson(const Manifest &manifest) {
  const Progress &at = manifest.progress;
  return {{"version", kManifestVersion},
          {"step", at.step},
          {"attempt", at.attempt},
          {"tokens", at.tokens},
          {"epochs", at.epochs},
          {"seconds", at.seconds},
          {"data_position", manifest.dataPosition},
          {"seed", manifest.seed},
          {"evaluated_attempt", manifest.evaluatedAttempt},
          {"evaluation_due", manifest.evaluationDue},
          {"structure_hash", manifest.structureHash},
          {"data_hash", manifest.dataHash},
          {"scalars", manifest.scalars},
          {"arithmetic", manifest.arithmetic}};
}

/// Fills the folder: tensors first, the manifest with their hashes last.
static Result<void> fill(const Snapshot &state, const Manifest &manifest,
                         const fs::path &folder) {
  Json json = toJson(manifest);
  for (const auto &[name, tensors] : state.files) {
    std::string file = fileOf(name, state.files.count(kEvaluation));
    LTC_ASSIGN(FileFacts facts, writeSafetensors(folder / file, tensors));
    json["files"][file] = toJson(facts);
  }
  json["xxh3"] = hexHash(hashBytes(json.dump()));
  return writeFile(folder / "manifest.json", json.dump(2) + "\n");
}

/// Removes what is older than the newest `keep`, and left-over temporaries. A
/// name that looks like a checkpoint never stands for a part of one.
static void removeOld(const fs::path &run, int keep) {
  std::vector<fs::path> all = listCheckpoints(run);
  fs::path folder = run / "checkpoints";
  std::error_code ignored;
  for (size_t i = 0; i + keep < all.size(); ++i)
    fs::rename(all[i], folder / ("tmp-old-" + all[i].filename().string()),
               ignored);
  for (const auto &entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with("tmp-"))
      fs::remove_all(entry.path(), ignored);
}

/// Gives a finished folder its name. One that has the name (saved before at
/// the same step) is exchanged for it, so that one of them is always there.
static Result<void> moveInto(const fs::path &from, const fs::path &to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                  RENAME_EXCHANGE) == 0)
    return {};
  std::error_code error;
  if (fs::exists(to)) { // a file system that cannot exchange
    fs::path old = to.parent_path() / ("tmp-old-" + to.filename().string());
    fs::remove_all(old, error);
    fs::rename(to, old, error);
  }
  fs::rename(from, to, error);
  if (error)
    return fail(to.string() + ": " + error.message());
  return {};
}

Result<fs::path> saveCheckpoint(const Snapshot &state,
                                const Manifest &manifest, const fs::path &run,
                                int keep) {
  fs::path folder = run / "checkpoints";
  std::string digits = std::to_string(manifest.progress.step);
  digits.insert(0, std::max<int>(0, 9 - int(digits.size())), '0');
  fs::path path = folder / (kPrefix + digits);
  fs::path temporary = folder / ("tmp-" + digits);
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  if (error)
    return fail(temporary.string() + " cannot be made: " + error.message());
  if (auto filled = fill(state, manifest, temporary); !filled) {
    fs::remove_all(temporary, error);
    return filled.error();
  }
  LTC_TRY(moveInto(temporary, path));
  LTC_TRY(syncFolder(folder));
  removeOld(run, keep);
  return path;
}

static Result<Json> readJson(const fs::path &path) {
  LTC_ASSIGN(MappedFile file, MappedFile::open(path));
  auto bytes = file.bytes();
  Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!json.is_object() || !json.contains("xxh3"))
    return fail(path.string() + " is not whole");
  Json hash = json["xxh3"];
  json.erase("xxh3");
  if (hash != hexHash(hashBytes(json.dump())))
    return fail(path.string() + " does not match its hash");
  return json;
}

static Result<void> checkFiles(const Json &json, const fs::path &checkpoint) {
  for (const auto &[name, expected] : json.at("files").items()) {
    LTC_ASSIGN(FileFacts found, examineFile(checkpoint / name));
    if (toJson(found) != expected)
      return fail((checkpoint / name).string() +
                  " does not match its hash in the manifest");
  }
  return {};
}

Result<Manifest> readManifest(const fs::path &checkpoint) try {
  LTC_ASSIGN(Json json, readJson(checkpoint / "manifest.json"));
  if (json.at("version") != kManifestVersion)
    return fail(checkpoint.string() + " has manifest version " +
                json.at("version").dump() + "; this ltc reads version " +
                std::to_string(kManifestVersion));
  LTC_TRY(checkFiles(json, checkpoint));
  Manifest manifest;
  json.at("step").get_to(manifest.progress.step);
  json.at("attempt").get_to(manifest.progress.attempt);
  json.at("tokens").get_to(manifest.progress.tokens);
  json.at("epochs").get_to(manifest.progress.epochs);
  json.at("seconds").get_to(manifest.progress.seconds);
  json.at("data_position").get_to(manifest.dataPosition);
  json.at("seed").get_to(manifest.seed);
  manifest.evaluatedAttempt = json.value("evaluated_attempt", int64_t(-1));
  manifest.evaluationDue = json.value("evaluation_due", false);
  json.at("structure_hash").get_to(manifest.structureHash);
  json.at("data_hash").get_to(manifest.dataHash);
  json.at("scalars").get_to(manifest.scalars);
  manifest.arithmetic = json.value("arithmetic", manifest.arithmetic);
  return manifest;
} catch (const Json::exception &error) {
  return fail((checkpoint / "manifest.json").string() +
              " is not a manifest: " + error.what());
}

FoundCheckpoint findCheckpoint(const fs::path &run) {
  FoundCheckpoint found;
  std::vector<fs::path> all = listCheckpoints(run);
  for (auto path = all.rbegin(); path != all.rend(); ++path) {
    auto manifest = readManifest(*path);
    if (manifest) {
      found.path = *path;
      found.manifest = *std::move(manifest);
      return found;
    }
    found.messages.push_back("passed over " + path->string() + ": " +
                             manifest.error().message);
  }
  return found;
}

Result<void> restoreCheckpoint(Program &program, const Manifest &manifest,
                               const fs::path &checkpoint) {
  std::set<std::string> states = stateNames(program.table());
  states.insert("");
  for (const std::string &state : states) {
    fs::path path =
        checkpoint / fileOf(state, hasEvaluationWeights(program));
    LTC_ASSIGN(SafetensorsFile file, SafetensorsFile::open(path));
    auto restored = restore(program, file, state, /*exact=*/true);
    if (!restored)
      return fail(path.string() + ": " + restored.error().message);
  }
  const auto &known = *program.table().wellknown;
  LTC_TRY(program.set<int64_t>(known.step, manifest.progress.step));
  return program.set<int64_t>(known.tokens_seen, manifest.progress.tokens);
}

Result<void> restoreScalars(Program &program, const Manifest &manifest) {
  for (const auto &scalar : program.table().scalars) {
    auto saved = manifest.scalars.find(scalar->key);
    double value =
        saved == manifest.scalars.end() ? scalar->value : saved->second;
    LTC_TRY(program.set<double>(scalar->buffer, value));
  }
  return {};
}

} // namespace ltc
