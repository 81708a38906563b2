// SPDX-License-Identifier: Apache-2.0
// Parameters and optimizer states between a program and safetensors files, by
// external name in the file's shape (row-major in the arena too: no transpose).
#pragma once
#include "runtime/device/Program.h"
#include "runtime/formats/Safetensors.h"
#include <deque>
#include <functional>
#include <map>
#include <set>

namespace ltc {

/// A program's state at one moment, as files of tensors by external name: all
/// that a checkpoint's writer sees of the program. Saving is synchronous, so
/// the tensors are read from the device while they are written and nothing is
/// held twice; the snapshot is good until the next step starts.
inline constexpr const char *kEvaluation = "(evaluation)";
struct Snapshot {
  /// By state; "" for the parameters themselves, kEvaluation for those of
  /// evaluation where they are others (read inside withEvaluationWeights).
  std::map<std::string, std::vector<TensorSource>> files;
};
Snapshot snapshot(const Program &program);

/// Names of the optimizer's states, e.g. m and v.
std::set<std::string> stateNames(const artifact::ArtifactT &table);

/// True if the optimizer evaluates other weights than it trains (`evaluate
/// with` in its text).
bool hasEvaluationWeights(const Program &program);

/// Does `work` while phases that predict, and snapshot of kEvaluation, read
/// the weights for evaluation. They lie over the gradients, between steps.
Result<void> withEvaluationWeights(Program &program,
                                   const std::function<Result<void>()> &work);

/// Fills the parameters (or one state of them) from a file. F32, BF16 and F16
/// are taken. Every parameter must be there with its shape; so must, if
/// `exact`, be nothing else.
Result<void> restore(Program &program, const SafetensorsFile &file,
                     const std::string &state, bool exact);

/// Fills all parameters from a Hugging Face folder: model.safetensors, or the
/// files of model.safetensors.index.json. Returns the names that it left out.
Result<std::vector<std::string>>
loadModelFolder(Program &program, const std::filesystem::path &folder);

/// Writes a Hugging Face folder: model.safetensors and, if the architecture
/// has one, config.json. Tied parameters are one parameter here, written once.
/// The weights are those of evaluation.
Result<void> exportModelFolder(Program &program,
                               const std::filesystem::path &folder);

} // namespace ltc
