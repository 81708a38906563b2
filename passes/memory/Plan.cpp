// SPDX-License-Identifier: Apache-2.0
#include "passes/memory/Plan.h"
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

namespace ltc {
namespace {

struct Taken {
  uint64_t begin, end;
};

/// The start of the smallest gap of `bytes` between `taken`, sorted by begin.
uint64_t bestGap(const std::vector<Taken> &taken, uint64_t bytes) {
  uint64_t best = 0, smallest = std::numeric_limits<uint64_t>::max(), at = 0;
  bool found = false;
  for (const Taken &block : taken) {
    if (block.begin > at && block.begin - at >= bytes &&
        block.begin - at < smallest) {
      smallest = block.begin - at;
      best = at;
      found = true;
    }
    at = std::max(at, block.end);
  }
  return found ? best : at;
}

} // namespace

MemoryPlan planMemory(const std::vector<Lifetime> &blocks) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return blocks[a].bytes > blocks[b].bytes;
  });
  MemoryPlan plan;
  plan.offsets.assign(blocks.size(), 0);
  std::vector<size_t> placed;
  for (size_t i : order) {
    std::vector<Taken> taken;
    for (size_t j : placed)
      if (blocks[i].first <= blocks[j].last &&
          blocks[j].first <= blocks[i].last)
        taken.push_back({plan.offsets[j],
                         plan.offsets[j] + alignUp(blocks[j].bytes)});
    std::sort(taken.begin(), taken.end(), [](const Taken &a, const Taken &b) {
      return a.begin < b.begin;
    });
    uint64_t bytes = alignUp(blocks[i].bytes);
    plan.offsets[i] = bestGap(taken, bytes);
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + bytes);
    placed.push_back(i);
  }
  return plan;
}

uint64_t peakBytes(const std::vector<Lifetime> &blocks) {
  std::map<int64_t, int64_t> change;
  for (const Lifetime &block : blocks) {
    change[block.first] += int64_t(alignUp(block.bytes));
    change[block.last + 1] -= int64_t(alignUp(block.bytes));
  }
  int64_t alive = 0, peak = 0;
  for (auto [at, bytes] : change)
    peak = std::max(peak, alive += bytes);
  return uint64_t(peak);
}

} // namespace ltc
