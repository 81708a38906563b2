// SPDX-License-Identifier: Apache-2.0
// What the trainer reads: global batches made of packed rows of equal length.
// The program's inputs are matched with columns by name.
#pragma once
#include "runtime/base/Result.h"
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ltc {

/// One named column of a global batch, rows x length elements, row-major.
/// Exactly one of the two vectors is filled: floats for masks and weights.
struct Column {
  std::string name; ///< tokens, labels, position, document, mask, ...
  std::string kind; ///< token, label, position, document, mask, index
  std::vector<int32_t> ints;
  std::vector<float> floats;
  double sum = 0; ///< of a float column over the whole batch: terms' counts
};

/// Micro batch i of m rows is rows [i*m, (i+1)*m) of every column. A row that
/// only fills the batch up (the end of an evaluation set) has mask 0.
struct GlobalBatch {
  int64_t rows = 0;
  int64_t length = 0;
  std::vector<Column> columns;
  double tokens = 0; ///< sum of the mask: what the loss is taken over
};

/// A stream of global batches. A training stream never ends; an evaluation
/// stream ends with a batch of 0 rows and then starts again.
/// Used from one thread; what is prefetched behind it is its own business.
class Batches {
public:
  virtual ~Batches() = default;
  /// The next global batch; valid until the next call.
  virtual Result<const GlobalBatch *> next() = 0;
  /// JSON: where the stream stands after the last batch that next() gave out,
  /// per source. seek() of it makes next() give the batch that follows.
  virtual std::string position() const = 0;
  virtual Result<void> seek(std::string_view position) = 0;
  /// How often the training data has been seen, e.g. 1.5.
  virtual double epochs() const = 0;
};

} // namespace ltc
