// SPDX-License-Identifier: Apache-2.0
// Moves say of every element what an array of numbers says, whatever was done
// to both.
#include "frontend/graph/Moves.h"
#include <functional>
#include <gtest/gtest.h>
#include <numeric>
#include <random>

using namespace ltc::graph;

namespace {

/// A tensor of numbers, each the place in the file that it came from.
struct Numbers {
  std::vector<int64_t> shape, data;
};

/// The numbers of a tensor of `shape`, each read where `at` says.
Numbers read(const Numbers &from, std::vector<int64_t> shape,
             std::function<std::vector<int64_t>(std::vector<int64_t>)> at) {
  Numbers made{shape, {}};
  int64_t count = std::accumulate(shape.begin(), shape.end(), int64_t(1),
                                  std::multiplies<int64_t>());
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int64_t> place(shape.size());
    for (int64_t d = int64_t(shape.size()) - 1, rest = i; d >= 0; --d) {
      place[d] = rest % shape[d];
      rest /= shape[d];
    }
    int64_t flat = 0;
    std::vector<int64_t> source = at(place);
    for (size_t d = 0; d < source.size(); ++d)
      flat = flat * from.shape[d] + source[d];
    made.data.push_back(from.data[flat]);
  }
  return made;
}

std::vector<int64_t> expanded(const Moved &value) {
  std::vector<int64_t> found(value.elements(), -1);
  std::function<void(const Move &, size_t, int64_t, int64_t)> visit =
      [&](const Move &move, size_t q, int64_t from, int64_t to) {
        if (q == move.digits.size()) {
          EXPECT_EQ(found.at(to), -1) << "twice";
          found.at(to) = from;
          return;
        }
        for (int64_t i = 0; i < move.digits[q].size; ++i)
          visit(move, q + 1, from + i * move.digits[q].from,
                to + i * move.digits[q].to);
      };
  for (const Move &move : value.moves)
    visit(move, 0, move.from, move.to);
  return found;
}

struct Walk {
  std::mt19937 random;
  Numbers numbers;
  Moved moved;

  int64_t below(int64_t n) { return int64_t(random() % uint64_t(n)); }
  explicit Walk(unsigned seed) : random(seed) {
    std::vector<int64_t> shape;
    for (int d = 0; d < 3; ++d)
      shape.push_back(1 + below(6));
    moved = Moved::whole("file", shape);
    numbers = {shape, std::vector<int64_t>(moved.elements())};
    std::iota(numbers.data.begin(), numbers.data.end(), 0);
  }

  void step() {
    switch (below(4)) {
    case 0:
      return reshape();
    case 1:
      return permute();
    case 2:
      return slice();
    default:
      return turn();
    }
  }
  /// Two dimensions as one, or one as two.
  void reshape() {
    std::vector<int64_t> shape = numbers.shape;
    int64_t d = below(int64_t(shape.size()));
    if (below(2) && d + 1 < int64_t(shape.size())) {
      shape[d] *= shape[d + 1];
      shape.erase(shape.begin() + d + 1);
    } else {
      int64_t part = 1 + below(shape[d]);
      if (shape[d] % part)
        return;
      shape[d] /= part;
      shape.insert(shape.begin() + d + 1, part);
    }
    numbers.shape = shape;
    moved = moved.reshaped(shape);
  }
  void permute() {
    std::vector<int64_t> order(numbers.shape.size()), shape;
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (int64_t d : order)
      shape.push_back(numbers.shape[d]);
    numbers = read(numbers, shape, [&](std::vector<int64_t> place) {
      std::vector<int64_t> source(place.size());
      for (size_t n = 0; n < order.size(); ++n)
        source[order[n]] = place[n];
      return source;
    });
    moved = moved.permuted(order).value();
  }
  Numbers part(int64_t dim, int64_t offset, int64_t size) {
    std::vector<int64_t> shape = numbers.shape;
    shape[dim] = size;
    return read(numbers, shape, [&](std::vector<int64_t> place) {
      place[dim] += offset;
      return place;
    });
  }
  void slice() {
    int64_t d = below(int64_t(numbers.shape.size()));
    int64_t offset = below(numbers.shape[d]);
    int64_t size = 1 + below(numbers.shape[d] - offset);
    numbers = part(d, offset, size);
    moved = moved.sliced(d, offset, size).value();
  }
  /// The second part of a dimension before the first.
  void turn() {
    int64_t d = below(int64_t(numbers.shape.size()));
    int64_t whole = numbers.shape[d], first = below(whole);
    if (!first)
      return;
    Moved low = moved.sliced(d, 0, first).value();
    Moved high = moved.sliced(d, first, whole - first).value();
    numbers = read(numbers, numbers.shape, [&](std::vector<int64_t> place) {
      place[d] = (place[d] + first) % whole;
      return place;
    });
    moved = Moved::joined({high, low}, d).value();
  }
};

TEST(Moves, sayOfEveryElementWhereItWas) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    Walk walk(seed);
    for (int n = 0; n < 6; ++n)
      walk.step();
    ASSERT_EQ(expanded(walk.moved), walk.numbers.data) << seed;
    ASSERT_EQ(expanded(walk.moved.simplified()), walk.numbers.data) << seed;
  }
}

TEST(Moves, areFewWhereTheOrderIsRegular) {
  // (heads pair two), d -> heads, (two pair), d
  Moved raw = Moved::whole("file", {32 * 64 * 2, 4096});
  Moved split = raw.reshaped({32, 64, 2, 4096});
  Moved turned = split.permuted({0, 2, 1, 3}).value().simplified();
  ASSERT_EQ(turned.moves.size(), 1u);
  EXPECT_EQ(turned.moves[0].digits.size(), 4u);
  EXPECT_FALSE(turned.isWhole("file"));
  Moved back = turned.permuted({0, 2, 1, 3}).value().simplified();
  EXPECT_TRUE(back.isWhole("file"));
  EXPECT_FALSE(back.isWhole("other"));
}

} // namespace
