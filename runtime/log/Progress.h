// SPDX-License-Identifier: Apache-2.0
// What a run shows while it goes: one live line on a terminal, plain lines
// elsewhere; and metrics.jsonl, one JSON object a step or evaluation.
#pragma once
#include "runtime/base/Result.h"
#include "runtime/train/Options.h"
#include "runtime/train/Report.h"
#include <chrono>
#include <cstdio>
#include <memory>

namespace ltc {

struct LogOptions {
  std::string folder;  ///< of the run: metrics.jsonl goes there
  Duration logEvery;
  Duration duration;
  double peakFlops = 0; ///< of this machine per second; 0: MFU is not shown
};

/// Opens metrics.jsonl; lines of steps after `resumedStep` are dropped when
/// the first step is reported.
Result<std::unique_ptr<RunListener>> openLog(const LogOptions &options);

/// The loss curve of a metrics.jsonl for a terminal: `width` x `height`
/// characters, training loss over steps, evaluations named below.
Result<std::string> drawCurve(const std::string &metricsPath, int width = 64,
                              int height = 14);

} // namespace ltc
