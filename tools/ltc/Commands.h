// SPDX-License-Identifier: Apache-2.0
// The commands of `ltc`, one file each, and what they share.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/base/Result.h"
#include "runtime/base/Units.h"
#include <CLI/CLI.hpp>
#include <filesystem>

namespace ltc::tool {

void addCompile(CLI::App &app);
void addRun(CLI::App &app);
void addPlan(CLI::App &app);
void addSweep(CLI::App &app);
void addInspect(CLI::App &app);
void addGenerate(CLI::App &app);
void addExport(CLI::App &app);
void addBatches(CLI::App &app);
void addDoctor(CLI::App &app);

/// Prints the error and leaves with status 1.
[[noreturn]] void leave(const Error &error);
/// The value, or leaves.
template <typename T> T orLeave(Result<T> result) {
  if (!result)
    leave(result.error());
  return *std::move(result);
}
inline void orLeave(Result<void> result) {
  if (!result)
    leave(result.error());
}

/// How to compile; empty strings mean: not asked for.
struct CompileJob {
  std::string spec, output, emit, debugDir, report;
  bool timing = false;
  std::string target; ///< instead of the spec's
};
/// Opens libLtcCompiler.so and compiles; prints diagnostics. False: errors.
/// In a process of its own: with it goes the compiler's memory, and a crash of
/// it is reported by the spec's line, with a file that replays it.
bool compile(const CompileJob &job);
/// The artifact, run folder's artifact, or spec, which is compiled; or leaves.
ArtifactFile openProgram(const std::string &path);
/// Where the compiler would be opened from, or "".
std::filesystem::path compilerLibrary();

/// True for *.yaml, *.yml and *.json: a spec; anything else is an artifact.
bool isSpec(const std::filesystem::path &path);
/// The artifact of a run: a file itself, or artifact.ltca in a run folder.
std::filesystem::path artifactOf(const std::filesystem::path &runOrFile);

/// 1234567 as "1.23 M".
std::string shortNumber(double value);
/// "312 GFLOP/s"
std::string shortFlops(double perSecond);

} // namespace ltc::tool
