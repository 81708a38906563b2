// SPDX-License-Identifier: Apache-2.0
#include "frontend/graph/Moves.h"
#include <algorithm>
#include <functional>

namespace ltc::graph {
namespace {

constexpr size_t kMost = 4096; ///< moves of one value

std::vector<int64_t> stridesOf(const std::vector<int64_t> &shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;)
    strides[d - 1] = strides[d] * shape[d];
  return strides;
}

/// A move by coordinates: each digit goes along one dimension of the value.
struct Placed {
  Move move;                   ///< `to` of its digits are steps along `dims`
  std::vector<int64_t> start;  ///< per dimension
  std::vector<size_t> dims;    ///< of each digit
  /// One past the last index along `dim`.
  int64_t end(size_t dim) const {
    int64_t last = start[dim];
    for (size_t q = 0; q < dims.size(); ++q)
      if (dims[q] == dim)
        last += (move.digits[q].size - 1) * move.digits[q].to;
    return last + 1;
  }
};

/// Cuts moves until each digit goes along one dimension.
class Placer {
public:
  explicit Placer(const std::vector<int64_t> &shape)
      : shape(shape), strides(stridesOf(shape)) {}

  std::vector<Placed> placed;
  bool place(const Move &move) {
    if (placed.size() > kMost)
      return false;
    Placed made{move, {}, {}};
    for (size_t d = 0; d < shape.size(); ++d)
      made.start.push_back(move.to / strides[d] % shape[d]);
    made.move.digits.clear();
    std::vector<Digit> open = move.digits;
    while (!open.empty()) {
      Digit digit = open.back();
      open.pop_back();
      if (digit.size == 1)
        continue;
      size_t d = shape.size();
      for (size_t n = shape.size(); n-- > 0 && d == shape.size();)
        if (shape[n] > 1 && digit.to < strides[n] * shape[n])
          d = n;
      if (d == shape.size())
        return false;
      int64_t extent = strides[d] * shape[d];
      bool fits = digit.to % strides[d] == 0;
      int64_t inner = extent / digit.to;
      if (fits && digit.to * digit.size > extent && extent % digit.to == 0 &&
          digit.size % inner == 0) {
        open.push_back({digit.size / inner, digit.from * inner, extent});
        open.push_back({inner, digit.from, digit.to});
        continue;
      }
      if (!fits || digit.to * (digit.size - 1) >= extent)
        return explode(move, digit);
      made.move.digits.push_back({digit.size, digit.from,
                                  digit.to / strides[d]});
      made.dims.push_back(d);
    }
    for (size_t d = 0; d < shape.size(); ++d)
      if (made.end(d) > shape[d])
        return explode(move, largest(move));
    placed.push_back(made);
    return true;
  }

  /// The elements of a digit one by one; `part` may be a piece of one of the
  /// move's digits.
  bool explode(const Move &move, const Digit &part) {
    for (size_t q = 0; q < move.digits.size(); ++q) {
      const Digit &digit = move.digits[q];
      if (digit.to > part.to || digit.to * digit.size < part.to * part.size)
        continue;
      for (int64_t i = 0; i < digit.size; ++i) {
        Move one = move;
        one.digits.erase(one.digits.begin() + q);
        one.from += i * digit.from;
        one.to += i * digit.to;
        if (!place(one))
          return false;
      }
      return true;
    }
    return false;
  }

private:
  static Digit largest(const Move &move) {
    return *std::max_element(move.digits.begin(), move.digits.end(),
                             [](const Digit &a, const Digit &b) {
                               return a.to * a.size < b.to * b.size;
                             });
  }

  const std::vector<int64_t> &shape;
  std::vector<int64_t> strides;
};

/// The moves in another shape: `at` says where a dimension goes, and how far it
/// is shifted there.
struct Target {
  size_t dim;
  int64_t shift;
};
void putInto(Moved &result, std::vector<Placed> placed,
             const std::vector<Target> &at) {
  std::vector<int64_t> strides = stridesOf(result.shape);
  for (Placed &p : placed) {
    p.move.to = 0;
    for (size_t d = 0; d < at.size(); ++d)
      p.move.to += (p.start[d] + at[d].shift) * strides[at[d].dim];
    for (size_t q = 0; q < p.dims.size(); ++q)
      p.move.digits[q].to *= strides[at[p.dims[q]].dim];
    result.moves.push_back(std::move(p.move));
  }
}

std::vector<Target> same(size_t rank) {
  std::vector<Target> at;
  for (size_t d = 0; d < rank; ++d)
    at.push_back({d, 0});
  return at;
}

} // namespace

int64_t Moved::elements() const {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

Moved Moved::whole(const std::string &source, std::vector<int64_t> shape) {
  Moved result{std::move(shape), {}};
  result.moves.push_back({source, 0, 0, {{result.elements(), 1, 1}}});
  return result;
}

Moved Moved::reshaped(std::vector<int64_t> shape) const {
  return Moved{std::move(shape), moves};
}

std::optional<Moved>
Moved::permuted(const std::vector<int64_t> &order) const {
  Moved result;
  std::vector<Target> at(order.size());
  for (size_t n = 0; n < order.size(); ++n) {
    result.shape.push_back(shape[order[n]]);
    at[order[n]] = {n, 0};
  }
  Placer placer(shape);
  for (const Move &move : moves)
    if (!placer.place(move))
      return std::nullopt;
  putInto(result, placer.placed, at);
  return result;
}

std::optional<Moved> Moved::sliced(int64_t dim, int64_t offset,
                                   int64_t size) const {
  Moved result{shape, {}};
  result.shape[dim] = size;
  std::vector<Placed> kept;
  std::vector<Move> open = moves;
  while (!open.empty()) {
    Move move = open.back();
    open.pop_back();
    Placer placer(shape);
    if (!placer.place(move) || kept.size() > kMost)
      return std::nullopt;
    for (Placed &p : placer.placed) {
      int64_t first = p.start[dim], end = p.end(dim);
      if (end <= offset || first >= offset + size)
        continue;
      if (first >= offset && end <= offset + size) {
        kept.push_back(p);
        continue;
      }
      // A part of it: its longest digit along the dimension, one by one.
      std::vector<int64_t> strides = stridesOf(shape);
      size_t longest = p.dims.size();
      for (size_t q = 0; q < p.dims.size(); ++q)
        if (p.dims[q] == size_t(dim) &&
            (longest == p.dims.size() ||
             p.move.digits[q].to > p.move.digits[longest].to))
          longest = q;
      Moved one{shape, {}};
      putInto(one, {p}, same(shape.size()));
      Digit digit = one.moves[0].digits[longest];
      one.moves[0].digits.erase(one.moves[0].digits.begin() + longest);
      for (int64_t low = 0, count; low < digit.size; low += count) {
        // Those that are in whole remain one move.
        auto inside = [&](int64_t i) {
          int64_t at = digit.to / strides[dim] * i;
          return first + at >= offset &&
                 end + at - digit.to / strides[dim] * (digit.size - 1) <=
                     offset + size;
        };
        count = 1;
        while (inside(low) && low + count < digit.size && inside(low + count))
          ++count;
        Move part = one.moves[0];
        part.from += low * digit.from;
        part.to += low * digit.to;
        part.digits.push_back({count, digit.from, digit.to});
        open.push_back(part);
      }
    }
  }
  std::vector<Target> at = same(shape.size());
  at[dim].shift = -offset;
  putInto(result, kept, at);
  return result;
}

std::optional<Moved> Moved::joined(const std::vector<Moved> &parts,
                                   int64_t dim) {
  Moved result{parts[0].shape, {}};
  result.shape[dim] = 0;
  for (const Moved &part : parts)
    result.shape[dim] += part.shape[dim];
  int64_t offset = 0;
  for (const Moved &part : parts) {
    Placer placer(part.shape);
    for (const Move &move : part.moves)
      if (!placer.place(move))
        return std::nullopt;
    std::vector<Target> at = same(part.shape.size());
    at[dim].shift = offset;
    putInto(result, placer.placed, at);
    offset += part.shape[dim];
  }
  return result;
}

Moved Moved::simplified() const {
  Moved result{shape, {}};
  for (Move move : moves) {
    std::vector<Digit> &digits = move.digits;
    std::erase_if(digits, [](const Digit &d) { return d.size == 1; });
    std::sort(digits.begin(), digits.end(),
              [](const Digit &a, const Digit &b) { return a.to > b.to; });
    for (size_t q = 1; q < digits.size();) {
      Digit &outer = digits[q - 1], &inner = digits[q];
      if (outer.from != inner.from * inner.size ||
          outer.to != inner.to * inner.size) {
        ++q;
        continue;
      }
      outer = {outer.size * inner.size, inner.from, inner.to};
      digits.erase(digits.begin() + q);
    }
    result.moves.push_back(std::move(move));
  }
  std::sort(result.moves.begin(), result.moves.end(),
            [](const Move &a, const Move &b) { return a.to < b.to; });
  return result;
}

bool Moved::isWhole(const std::string &source) const {
  return std::all_of(moves.begin(), moves.end(), [&](const Move &move) {
    return move.source == source && move.from == move.to &&
           std::all_of(move.digits.begin(), move.digits.end(),
                       [](const Digit &d) { return d.from == d.to; });
  });
}

} // namespace ltc::graph
