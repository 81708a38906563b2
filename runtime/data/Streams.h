// SPDX-License-Identifier: Apache-2.0
// The built-in streams of packed rows of byte tokens.
//
// A document of n bytes is n positions: position i holds byte i - 1 (token 0
// at the start) and its label is byte i, so each byte is predicted once. A
// piece of `length` bytes has a row of its own; shorter ones are packed one
// after another, cut where a row ends. In a row, positions restart and
// documents count up with each piece.
#pragma once
#include "runtime/data/Batches.h"
#include "runtime/data/Source.h"

namespace ltc {

struct SourceOptions {
  std::string kind, config; ///< JSON object: path, field, ...
  double weight = 1;        ///< share of the bytes among several sources
  std::string line = "";    ///< "spec.yaml:9:3", where the spec names it
};

struct DataOptions {
  std::vector<SourceOptions> sources;
  int64_t length = 0; ///< tokens of a row
  int64_t rows = 0;   ///< of a global batch
  uint64_t seed = 0;
};

/// Never ends; which pieces a batch holds is a function of seed and position.
/// Batches are made ahead on a thread of their own.
Result<std::unique_ptr<Batches>> openTraining(const DataOptions &options);

/// Every piece once, in order; rows that fill the last batch up have mask 0.
Result<std::unique_ptr<Batches>> openEvaluation(const DataOptions &options);

/// Of one batch of either stream. Training holds Ahead::kBatches of them, an
/// evaluation one.
uint64_t batchBytes(const DataOptions &options);

} // namespace ltc
