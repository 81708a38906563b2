// SPDX-License-Identifier: Apache-2.0
// Parameters and optimizer states between a program and safetensors files, by
// external name in the file's shape (row-major in the arena too: no transpose).
#pragma once
#include "runtime/device/Program.h"
#include "runtime/formats/Safetensors.h"
#include <deque>
#include <functional>
#include <set>

namespace ltc {

/// Host copies of one tensor per parameter; the views point into `storage`.
struct Snapshot {
  std::vector<TensorData> tensors;
  std::deque<std::vector<char>> storage; ///< its elements never move
};

/// Names of the optimizer's states, e.g. m and v.
std::set<std::string> stateNames(const artifact::ArtifactT &table);

/// True if the optimizer evaluates other weights than it trains (`evaluate
/// with` in its text).
bool hasEvaluationWeights(const Program &program);

/// Does `work` while phases that predict, and snapshot of kEvaluation, read
/// the weights for evaluation. They lie over the gradients, between steps.
Result<void> withEvaluationWeights(Program &program,
                                   const std::function<Result<void>()> &work);

/// Copies from the device. `state`: "" for the parameters themselves;
/// kEvaluation for those of evaluation.
inline constexpr const char *kEvaluation = "(evaluation)";
Result<Snapshot> snapshot(const Program &program, const std::string &state);

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
