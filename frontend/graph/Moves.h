// SPDX-License-Identifier: Apache-2.0
// A tensor whose elements are those of tensors of files, elsewhere: what an
// `import` says. Only moves; nothing is computed, so it can be undone exactly.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ltc::graph {

/// `size` elements, `from` apart in the file and `to` apart in the value.
struct Digit {
  int64_t size, from, to;
};

/// Elements from + sum of i * digit.from of a file's tensor, which are elements
/// to + sum of i * digit.to of the value (both counted row-major).
struct Move {
  std::string source;
  int64_t from = 0, to = 0;
  std::vector<Digit> digits;
};

struct Moved {
  std::vector<int64_t> shape;
  std::vector<Move> moves; ///< each element of the value in one of them
  int64_t elements() const;

  /// The whole tensor of a file.
  static Moved whole(const std::string &source, std::vector<int64_t> shape);
  Moved reshaped(std::vector<int64_t> shape) const;
  // None: too irregular to be a few moves.
  /// Dimension n of the result is dimension order[n] of this.
  std::optional<Moved> permuted(const std::vector<int64_t> &order) const;
  std::optional<Moved> sliced(int64_t dim, int64_t offset, int64_t size) const;
  static std::optional<Moved> joined(const std::vector<Moved> &parts,
                                     int64_t dim);
  /// Neighbouring digits as one.
  Moved simplified() const;
  /// Each element is where it was in that file.
  bool isWhole(const std::string &source) const;
};

} // namespace ltc::graph
