// SPDX-License-Identifier: Apache-2.0
// One scalar at several values: which values, what came of them, kept in a file
// so that a sweep goes on where it was.
#pragma once
#include "runtime/artifact/Artifact_generated.h"
#include "runtime/base/Result.h"
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ltc {

/// KEY=LOW..HIGH or KEY=A,B,C of a scalar.
struct SweepRange {
  std::string key;
  std::vector<double> list; ///< empty: low to high
  double low = 0, high = 0;
  bool logarithmic = false; ///< equal ratios and not equal steps
  bool whole = false;       ///< a count

  /// Whether `assignment` varies a scalar of the program.
  static bool varies(const artifact::ArtifactT &program,
                     const std::string &assignment);
  /// Values are checked as --set checks them.
  static Result<SweepRange> parse(const artifact::ArtifactT &program,
                                  const std::string &assignment, bool linear);
  /// Rising; of four significant digits, so that they read well.
  std::vector<double> values(int points) const;
};

struct SweepPoint {
  double value = 0;
  double loss = 0;      ///< what the sweep goes by; of no meaning if diverged
  double trainLoss = 0; ///< mean of the last tenth of the steps
  std::string diverged; ///< why; "": it did not
  int64_t steps = 0;
  double seconds = 0;
};

/// The index of the lowest loss; -1: every point diverged.
int bestOf(const std::vector<SweepPoint> &points);

/// Values halfway between the best point and its neighbours, where none was
/// tried; `points` by rising value.
std::vector<double> zoomInto(const SweepRange &range,
                             const std::vector<SweepPoint> &points);

/// sweep.json in a sweep's folder: what all points share, and the points.
class SweepFile {
public:
  /// Reads what is there. Points made with other settings are refused, naming
  /// the first that differs and --fresh.
  static Result<SweepFile> open(const std::filesystem::path &folder,
                                const nlohmann::json &settings, bool fresh);

  /// The points at `values`, by value.
  std::vector<SweepPoint> of(const std::vector<double> &values) const;
  const SweepPoint *find(double value) const;
  Result<void> add(const SweepPoint &point);
  const std::vector<SweepPoint> &points() const { return all; } ///< rising

private:
  Result<void> write() const;
  std::filesystem::path path;
  nlohmann::json settings;
  std::vector<SweepPoint> all;
};

/// What two points must share beside the key that is varied: the model, the
/// data, every other scalar, and the host keys of the training.
nlohmann::json sweepSettings(const artifact::ArtifactT &program,
                             const std::string &key);

} // namespace ltc
