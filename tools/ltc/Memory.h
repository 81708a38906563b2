// SPDX-License-Identifier: Apache-2.0
// What `ltc run` allocates and maps, by line: what ltc plan shows, and what
// train.memory_budget bounds.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/train/Options.h"
#include <string>
#include <vector>

namespace ltc::tool {

/// Bytes of a class of buffers, which are one allocation; 0 if there is none.
uint64_t arenaBytes(const artifact::ArtifactT &table,
                    artifact::BufferClass kind);

/// What the streams of a run read: bytes of files, documents, batches held.
struct DataNeed {
  uint64_t files = 0, documents = 0, batches = 0;
  double epochTokens = 0; ///< of the training sources
  std::string problem;
};

/// Opens the run's data. What cannot be read is not counted and named.
DataNeed dataNeed(const artifact::ArtifactT &table, const RunOptions &options);

/// A part of the memory that `ltc run` takes.
struct Line {
  std::string name;
  uint64_t bytes;
  std::string note;
};

/// Everything over 1 MiB that a run allocates or maps is in one of these.
std::vector<Line> memoryLines(const ArtifactFile &file,
                              const RunOptions &options, const DataNeed &data);
/// Of what lives at once. Resuming is over when activations come: the larger
/// counts. So is measuring before anything but the code is touched.
uint64_t totalOf(const std::vector<Line> &lines);
/// What counts for train.memory_budget: all but mapped data files, and ltc
/// itself, which is no line.
uint64_t budgetedOf(std::vector<Line> lines);
/// Fails where settings or data, which compiling did not know, take a run above
/// the budget.
Result<void> checkBudget(const ArtifactFile &file, const RunOptions &options);

} // namespace ltc::tool
