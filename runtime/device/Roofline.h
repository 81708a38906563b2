// SPDX-License-Identifier: Apache-2.0
// How long a program's commands should take: of a kernel, the longer of its
// FLOPs and its bytes at the share of the device's measured ceilings that
// kernels of its kind reach (the target states it), whole rounds of tiles, and
// what a launch costs.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/device/Device.h"
#include <map>
#include <string>

namespace ltc {

class Roofline {
public:
  /// What measuring takes for a while, at most.
  static constexpr uint64_t kMeasureBytes = 64 << 20;
  /// Measures the device. Fails, saying why, where no time can be told.
  static Result<Roofline> measure(const artifact::ArtifactT &program,
                                  Device &device);
  explicit Roofline(const LtcDevicePeaks &peaks) : peaks(peaks) {}

  double launch(const artifact::KernelT &kernel) const; ///< seconds
  double zeros(uint64_t bytes) const;
  /// Seconds of a phase by kernel; -1: its zeros.
  std::map<int64_t, double> phase(const artifact::ArtifactT &program,
                                  const std::string &name) const;
  /// The same for a step of so many rows.
  std::map<int64_t, double> step(const artifact::ArtifactT &program,
                                 int64_t rows) const;

  LtcDevicePeaks peaks;
};

/// Of all kernels.
double total(const std::map<int64_t, double> &seconds);

} // namespace ltc
