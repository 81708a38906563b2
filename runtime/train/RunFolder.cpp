// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/RunFolder.h"
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
namespace ltc {
using Json = nlohmann::json;

/// Renames checkpoints/ to checkpoints.before-1, -2, ...: nothing is lost.
static Result<void> putAside(const fs::path &run) {
  std::error_code error;
  if (!fs::exists(run / "checkpoints", error))
    return {};
  int n = 1;
  while (fs::exists(run / ("checkpoints.before-" + std::to_string(n)), error))
    ++n;
  fs::rename(run / "checkpoints",
             run / ("checkpoints.before-" + std::to_string(n)), error);
  if (error)
    return fail(run.string() + ": " + error.message());
  return {};
}

static Result<void> compare(const Json &known,
                            const artifact::ArtifactT &program,
                            const fs::path &run) {
  auto check = [&](const char *key, const std::string &now,
                   const char *what) -> Result<void> {
    if (known.value(key, now) == now)
      return {};
    return fail("the run in " + run.string() + " was started with another " +
                what + "; choose another run.folder, or start again with "
                "--fresh (its checkpoints are put aside)");
  };
  LTC_TRY(check("structure_hash", program.structure_hash, "model"));
  return check("data_hash", program.data_hash, "data section");
}

Result<void> openRunFolder(const artifact::ArtifactT &program,
                           const RunOptions &options, bool fresh) {
  fs::path run = options.folder;
  std::error_code error;
  fs::create_directories(run, error);
  if (error)
    return fail("run.folder " + run.string() + ": " + error.message());
  fs::path path = run / "run.json";
  if (fresh)
    LTC_TRY(putAside(run));
  if (!fresh && fs::exists(path, error)) {
    LTC_ASSIGN(MappedFile file, MappedFile::open(path));
    auto bytes = file.bytes();
    Json known = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
    if (!known.is_object())
      return fail(path.string() + " is damaged; start again with --fresh");
    return compare(known, program, run);
  }
  Json json = {{"structure_hash", program.structure_hash},
               {"data_hash", program.data_hash}};
  return writeFile(path, json.dump(2) + "\n");
}

std::vector<std::string> changedScalars(const artifact::ArtifactT &program,
                                        const Manifest &manifest) {
  std::vector<std::string> changes;
  for (const auto &scalar : program.scalars) {
    auto before = manifest.scalars.find(scalar->key);
    if (before == manifest.scalars.end() || before->second == scalar->value)
      continue;
    changes.push_back(scalar->key + ": " + Json(before->second).dump() +
                      " -> " + Json(scalar->value).dump());
  }
  return changes;
}

} // namespace ltc
