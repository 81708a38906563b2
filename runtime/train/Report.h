// SPDX-License-Identifier: Apache-2.0
// What a run says about itself, and who listens: the progress line, the
// loggers, a test. Called from the trainer's thread, between steps.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ltc {

/// Where a run stands. `step` counts updates that were taken; `attempt` also
/// those that the guard refused. `seconds` is training time, without
/// evaluation and saving, over all resumptions.
struct Progress {
  int64_t step = 0;
  int64_t attempt = 0;
  int64_t tokens = 0;
  double epochs = 0;
  double seconds = 0;
};

/// A loss term's mean over the tokens (or rows) that it counts.
using TermValue = std::pair<std::string, double>;

struct StepReport {
  Progress progress; ///< after the step
  bool ok = true;    ///< false: not finite or over the guard; nothing changed
  double loss = 0;   ///< sum of weight * mean over the terms that are trained
  std::vector<TermValue> terms;
  double gradNorm = 0; ///< before clipping
  double lr = 0;
  double batchTokens = 0; ///< tokens of this global batch that count
  double seconds = 0;     ///< of this step; of these, waiting for data:
  double dataSeconds = 0;
  double flops = 0; ///< of this step, by the formula in the artifact
};

struct EvalReport {
  Progress progress;
  std::string set; ///< name of the evaluation set
  double loss = 0;
  std::vector<TermValue> terms;
  double tokens = 0;
  double seconds = 0;
};

struct SaveReport {
  Progress progress;
  std::string folder; ///< the checkpoint
  double seconds = 0;
};

class RunListener {
public:
  virtual ~RunListener() = default;
  /// Before the first step: where the run stands. What an earlier process said
  /// about a later point is void; so are, unless `evaluated`, its evaluations
  /// of this one.
  virtual void onBegin(const Progress &, bool /*evaluated*/) {}
  virtual void onStep(const StepReport &) {}
  virtual void onEval(const EvalReport &) {}
  virtual void onSave(const SaveReport &) {}
  /// One line for the user: resumed from, changed scalars, how to go on.
  virtual void onMessage(const std::string &) {}
};

} // namespace ltc
