// SPDX-License-Identifier: Apache-2.0
// The host's part of a spec, read from an artifact: how long, how often, where.
#pragma once
#include "runtime/artifact/Artifact_generated.h"
#include "runtime/base/Result.h"
#include "runtime/train/Report.h"
#include <string>
#include <vector>

namespace ltc {

/// "2000 steps", "3 epochs", "1.5B tokens", "20 min"; 0 stands for never.
struct Duration {
  enum class Unit { steps, epochs, tokens, seconds };
  Unit unit = Unit::steps;
  double amount = 0;

  static Result<Duration> parse(const std::string &text);
  std::string text() const; ///< "200 steps"
  /// How much of this unit a run has behind it.
  double measure(const Progress &progress) const;
  bool reached(const Progress &progress) const {
    return measure(progress) >= amount;
  }
  /// A multiple of this duration lies in (before, now].
  bool due(const Progress &before, const Progress &now) const;
};

struct RunOptions {
  std::string folder = "run";
  int threads = 0;      ///< 0: one per core
  int64_t batch = 0;    ///< rows of a global batch; 0: one micro batch
  int64_t seed = 1;
  int keep = 3;         ///< checkpoints that stay
  std::string loggers = "jsonl"; ///< names, or none
  Duration duration, evalEvery, saveEvery, logEvery;
  std::string initFrom; ///< folder with weights to start from; "": init phase
  std::string initLine; ///< "spec.yaml:3:9: ", where the spec names it
};

/// The keys under model.init, train and run, documented in frontend/spec.
Result<RunOptions> readOptions(const artifact::ArtifactT &program);

/// A setting of the artifact as JSON text: a host key, else a key of the
/// resolved spec; "" if there is none.
std::string settingOf(const artifact::ArtifactT &program,
                      const std::string &key);

/// `--set key=value`, for scalar and host keys. A structural key is refused by
/// name, an unknown one with the nearest.
Result<void> applySetting(artifact::ArtifactT &program,
                          const std::string &assignment);

} // namespace ltc
