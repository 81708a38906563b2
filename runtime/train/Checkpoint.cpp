// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Weights.h"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace fs = std::filesystem;
namespace ltc {
using Json = nlohmann::json;

static constexpr int kManifestVersion = 1;
static constexpr const char *kPrefix = "step-";

/// The files that training goes on from: states by name, "" the parameters.
static std::map<std::string, std::string> filesOf(const Program &program) {
  std::map<std::string, std::string> files;
  for (const std::string &state : stateNames(program.table()))
    files[state] = "state." + state + ".safetensors";
  files[""] = hasEvaluationWeights(program) ? "trained.safetensors"
                                            : "model.safetensors";
  return files;
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

static Result<Json> describeFile(const fs::path &path) {
  LTC_ASSIGN(MappedFile file, MappedFile::open(path));
  return Json{{"bytes", file.bytes().size()},
              {"xxh3", hexHash(hashBytes(file.bytes()))}};
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
          {"structure_hash", manifest.structureHash},
          {"data_hash", manifest.dataHash},
          {"scalars", manifest.scalars}};
}

/// Fills the folder: tensors first, the manifest with their hashes last.
static Result<void> fill(Program &program, const Manifest &manifest,
                         const fs::path &folder) {
  Json json = toJson(manifest);
  auto write = [&](const std::string &state,
                   const std::string &file) -> Result<void> {
    LTC_ASSIGN(Snapshot tensors, snapshot(program, state));
    LTC_TRY(writeSafetensors(folder / file, std::move(tensors.tensors)));
    LTC_ASSIGN(json["files"][file], describeFile(folder / file));
    return {};
  };
  for (const auto &[state, file] : filesOf(program))
    LTC_TRY(write(state, file));
  if (hasEvaluationWeights(program))
    LTC_TRY(withEvaluationWeights(
        program, [&] { return write(kEvaluation, "model.safetensors"); }));
  json["xxh3"] = hexHash(hashBytes(json.dump()));
  return writeFile(folder / "manifest.json", json.dump(2) + "\n");
}

/// Removes what is older than the newest `keep`, and left-over temporaries.
static void removeOld(const fs::path &run, int keep) {
  std::vector<fs::path> all = listCheckpoints(run);
  std::error_code ignored;
  for (size_t i = 0; i + keep < all.size(); ++i)
    fs::remove_all(all[i], ignored);
  for (const auto &entry :
       fs::directory_iterator(run / "checkpoints", ignored))
    if (entry.path().filename().string().starts_with("tmp-"))
      fs::remove_all(entry.path(), ignored);
}

Result<fs::path> saveCheckpoint(Program &program, const Manifest &manifest,
                                const fs::path &run, int keep) {
  fs::path folder = run / "checkpoints";
  std::string digits = std::to_string(manifest.progress.step);
  digits.insert(0, std::max<int>(0, 9 - int(digits.size())), '0');
  fs::path path = folder / (kPrefix + digits);
  fs::path temporary = folder / ("tmp-" + digits);
  fs::path replaced = folder / ("tmp-old-" + digits);
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::remove_all(replaced, error);
  fs::create_directories(temporary, error);
  if (error)
    return fail(temporary.string() + ": " + error.message());
  LTC_TRY(fill(program, manifest, temporary));
  if (fs::exists(path)) // saved before at the same step: the new one replaces
    fs::rename(path, replaced, error);
  fs::rename(temporary, path, error);
  if (error)
    return fail(path.string() + ": " + error.message());
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
    LTC_ASSIGN(Json found, describeFile(checkpoint / name));
    if (found != expected)
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
  json.at("structure_hash").get_to(manifest.structureHash);
  json.at("data_hash").get_to(manifest.dataHash);
  json.at("scalars").get_to(manifest.scalars);
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
  for (const auto &[state, name] : filesOf(program)) {
    fs::path path = checkpoint / name;
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
