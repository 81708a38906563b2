// SPDX-License-Identifier: Apache-2.0
// Time by kernel of a running program, measured around each launch. A phase's
// first run is left out: it touches memory for the first time.
#pragma once
#include "runtime/artifact/File.h"
#include <cstdint>
#include <map>
#include <string>

namespace ltc {

class Profile {
public:
  /// One command of `phase` took `seconds`; `kernel` -1: zeros of `bytes`.
  void add(const std::string &phase, int64_t kernel, uint64_t bytes,
           double seconds);
  /// A run of `phase` has ended.
  void endRun(const std::string &phase) { ++phases[phase].runs; }
  bool counts(const std::string &phase) const { return phases.count(phase); }

  /// Seconds of one run of the phase by kernel (-1: zeros); empty: none ran.
  std::map<int64_t, double> perRun(const std::string &phase) const;

  /// Rows by time, with GFLOP/s and GB/s where the artifact knows the work.
  std::string table(const artifact::ArtifactT &program) const;

private:
  struct Row {
    double seconds = 0, bytes = 0;
    int64_t launches = 0;
  };
  struct Phase {
    int64_t runs = -1; ///< the first run only makes the entry
    std::map<int64_t, Row> kernels;
  };
  std::map<std::string, Phase> phases;
};

} // namespace ltc
