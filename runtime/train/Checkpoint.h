// SPDX-License-Identifier: Apache-2.0
// Checkpoints: folders of safetensors by external name, and a manifest. They
// are there whole or not at all, and what is read is checked first.
//   <run>/checkpoints/step-000000500/
//     model.safetensors   state.<name>.safetensors ...   manifest.json
// Where evaluation uses other weights than training, model.safetensors has
// those, and trained.safetensors the ones that training goes on from.
#pragma once
#include "runtime/device/Program.h"
#include "runtime/train/Report.h"
#include "runtime/train/Weights.h"
#include <filesystem>

namespace ltc {

/// What a checkpoint holds beside tensors. No offsets, layouts or ranks.
struct Manifest {
  Progress progress;
  std::string dataPosition; ///< JSON, per source: see Batches::position
  int64_t seed = 0;
  int64_t evaluatedAttempt = -1; ///< of the last evaluation
  bool evaluationDue = false;    ///< a signal came before it: it is made up
  std::string structureHash, dataHash;
  std::map<std::string, double> scalars;
  std::map<std::string, std::string> arithmetic; ///< see arithmeticOf
};

/// Writes a checkpoint under `run`, keeps the newest `keep`, returns its path.
/// An error leaves the older ones as they were and nothing half-written.
Result<std::filesystem::path> saveCheckpoint(const Snapshot &state,
                                             const Manifest &manifest,
                                             const std::filesystem::path &run,
                                             int keep);

/// Reads the manifest and compares every file with its hash there.
Result<Manifest> readManifest(const std::filesystem::path &checkpoint);

/// Fills parameters, states, step and tokens from a checkpoint that
/// readManifest has accepted.
Result<void> restoreCheckpoint(Program &program, const Manifest &manifest,
                               const std::filesystem::path &checkpoint);

/// The scalars as they were when the checkpoint was saved: for what reads a
/// run without training on.
Result<void> restoreScalars(Program &program, const Manifest &manifest);

/// The newest checkpoint of a run that is whole. Says in `messages` which it
/// passed over and why. An empty path: there is none.
struct FoundCheckpoint {
  std::filesystem::path path;
  Manifest manifest;
  std::vector<std::string> messages;
};
FoundCheckpoint findCheckpoint(const std::filesystem::path &run);

/// All checkpoint folders of a run, oldest first.
std::vector<std::filesystem::path>
listCheckpoints(const std::filesystem::path &run);

} // namespace ltc
