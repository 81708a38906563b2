// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/RunFolder.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

namespace fs = std::filesystem;
namespace ltc {
using Json = nlohmann::json;

/// Who holds the lock, from what its file says.
static std::string holderOf(int file) {
  char text[32] = "";
  ssize_t read = ::pread(file, text, sizeof text - 1, 0);
  std::string pid(text, read > 0 ? read : 0);
  pid.erase(std::min(pid.size(), pid.find_first_not_of("0123456789")));
  return pid;
}

Result<RunLock> RunLock::take(const fs::path &run) {
  fs::path path = run / "run.lock";
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0)
    return fail(path.string() + ": " + std::strerror(errno));
  RunLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    std::string pid = holderOf(file);
    return fail("the run in " + run.string() + " is being trained by " +
                (pid.empty() ? "another process; wait for its end"
                             : "process " + pid + "; wait for its end, stop "
                               "it (kill " + pid + ")") +
                ", or choose another run.folder");
  } // another failure: a file system without locks, which is no reason to stop
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file, 0) != 0 ||
      ::pwrite(file, pid.data(), pid.size(), 0) != ssize_t(pid.size()))
    return fail(path.string() + ": " + std::strerror(errno));
  return lock;
}

RunLock::~RunLock() {
  if (file >= 0)
    ::close(file);
}

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

Result<RunLock> openRunFolder(const artifact::ArtifactT &program,
                              const RunOptions &options, bool fresh) {
  fs::path run = options.folder;
  std::error_code error;
  fs::create_directories(run, error);
  if (error)
    return fail("run.folder " + run.string() + ": " + error.message());
  LTC_ASSIGN(RunLock lock, RunLock::take(run));
  fs::path path = run / "run.json";
  if (fresh)
    LTC_TRY(putAside(run));
  if (!fresh && fs::exists(path, error)) {
    LTC_ASSIGN(MappedFile file, MappedFile::open(path));
    auto bytes = file.bytes();
    Json known = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
    if (!known.is_object())
      return fail(path.string() + " is damaged; start again with --fresh");
    LTC_TRY(compare(known, program, run));
    return lock;
  }
  Json json = {{"structure_hash", program.structure_hash},
               {"data_hash", program.data_hash}};
  LTC_TRY(writeFile(path, json.dump(2) + "\n"));
  return lock;
}

std::map<std::string, std::string>
arithmeticOf(const artifact::ArtifactT &program) {
  std::map<std::string, std::string> values;
  for (const char *key : {"train.micro_batch", "train.precision", "target"})
    if (std::string value = settingOf(program, key); !value.empty())
      values[key] = value;
  return values;
}

std::vector<std::string> changesSince(const artifact::ArtifactT &program,
                                      const Manifest &manifest) {
  std::vector<std::string> changes;
  for (const auto &[key, value] : arithmeticOf(program)) {
    auto before = manifest.arithmetic.find(key);
    if (before != manifest.arithmetic.end() && before->second != value)
      changes.push_back(key + ": " + before->second + " -> " + value);
  }
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
