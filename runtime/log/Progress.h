// SPDX-License-Identifier: Apache-2.0
// What a run shows while it goes: one live line on a terminal, plain lines
// elsewhere. Recording is the loggers' (Loggers.h), which are told here.
#pragma once
#include "runtime/base/Result.h"
#include "runtime/train/Options.h"
#include "runtime/train/Report.h"
#include <memory>

namespace ltc {

struct LogOptions {
  std::string folder; ///< of the run
  Duration logEvery;
  Duration duration;
  double peakFlops = 0; ///< of this machine per second; 0: MFU is not shown
  std::string loggers = "jsonl"; ///< names, or none
};

/// The display and the loggers as one listener.
Result<std::unique_ptr<RunListener>> openLog(const LogOptions &options);

/// One part of the progress line; of those that do not fit, the least important
/// (largest `rank`) go first.
struct LinePart {
  int rank;
  std::string text;
};
/// The parts that fit into `width` columns, in their order. 0: all.
std::string fitLine(const std::vector<LinePart> &parts, size_t width);

/// Time left, told from how fast the run has gone since `begin`.
struct Pace {
  double done = 0, clock = 0; ///< at the beginning: measure, seconds
  /// Seconds to go until `amount`, or nothing while none can be told.
  std::optional<double> left(double doneNow, double clockNow,
                             double amount) const;
};

/// The loss curve of a metrics.jsonl for a terminal: `width` x `height`
/// characters; training loss as dots, evaluations as letters with a legend.
/// The first steps may be far above the rest: the scale then begins at what
/// nine tenths of the curve need, and says so.
Result<std::string> drawCurve(const std::string &metricsPath, int width = 64,
                              int height = 14);

/// Results over a varied number, by rising x, joined by lines; the lowest is a
/// letter. What is not finite stands at the top as an x.
std::string drawPoints(const std::vector<std::pair<double, double>> &points,
                       bool logarithmic, int width = 64, int height = 12);

} // namespace ltc
