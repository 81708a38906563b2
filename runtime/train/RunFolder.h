// SPDX-License-Identifier: Apache-2.0
// The folder of a run remembers what may continue it: run.json holds the
// structure and data hashes of the artifact that started it.
#pragma once
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Options.h"

namespace ltc {

/// A run's folder in use: while this lives, no other process trains there. The
/// system forgets it with the process, however that ends.
class RunLock {
public:
  static Result<RunLock> take(const std::filesystem::path &run);
  RunLock(RunLock &&other) noexcept : file(std::exchange(other.file, -1)) {}
  ~RunLock();

private:
  explicit RunLock(int file) : file(file) {}
  int file; ///< run.lock, which names the process
};

/// Makes the folder ready. One that another model or other data started is
/// refused, naming --fresh; `fresh` puts its checkpoints aside instead.
Result<RunLock> openRunFolder(const artifact::ArtifactT &program,
                              const RunOptions &options, bool fresh);

/// The keys of the spec that say how and not what is computed: another value
/// goes on with the same run.
std::map<std::string, std::string>
arithmeticOf(const artifact::ArtifactT &program);

/// "train.optimizer.lr: 0.001 -> 0.0003", for scalars and arithmetic that the
/// checkpoint knew with other values.
std::vector<std::string> changesSince(const artifact::ArtifactT &program,
                                        const Manifest &manifest);

} // namespace ltc
