// SPDX-License-Identifier: Apache-2.0
// What a run will take: its work by formula, its time by measured ceilings.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/device/Roofline.h"
#include "runtime/train/Options.h"
#include <optional>

namespace ltc::tool {

struct Work {
  double parameters = 0;
  double embeddings = 0; ///< of these, parameters whose role is embedding
  double flopsPerToken = 0, attentionPerToken = 0;
  double tokensPerStep = 0;
  /// Parameters that a token meets in contractions: a tied table once, of
  /// experts the chosen ones.
  double contracted() const { return (flopsPerToken - attentionPerToken) / 6; }
};
Work workOf(const artifact::ArtifactT &table, const RunOptions &options);

struct Expectation {
  double stepSeconds = 0;
  LtcDevicePeaks peaks{};
  std::string device, how; ///< how the peaks were measured
  std::vector<std::pair<std::string, double>> byForm; ///< seconds of a step
};
/// On this machine, which is measured now.
Result<Expectation> expectHere(const artifact::ArtifactT &table,
                               const RunOptions &options);

/// Steps of the run's duration; `epochTokens` 0: not known. Nothing where it is
/// told by time, or cannot be told.
std::optional<double> stepsOf(const RunOptions &options, const Work &work,
                              double epochTokens);

} // namespace ltc::tool
