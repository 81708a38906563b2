// SPDX-License-Identifier: Apache-2.0
// The folder of a run remembers what may continue it: run.json holds the
// structure and data hashes of the artifact that started it.
#pragma once
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Options.h"

namespace ltc {

/// Makes the folder ready. One that another model or other data started is
/// refused, naming --fresh; `fresh` puts its checkpoints aside instead.
Result<void> openRunFolder(const artifact::ArtifactT &program,
                           const RunOptions &options, bool fresh);

/// "train.optimizer.lr: 0.001 -> 0.0003", for scalars that the checkpoint knew
/// with other values.
std::vector<std::string> changedScalars(const artifact::ArtifactT &program,
                                        const Manifest &manifest);

} // namespace ltc
