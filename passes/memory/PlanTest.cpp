// SPDX-License-Identifier: Apache-2.0
#include "passes/memory/Plan.h"
#include <gtest/gtest.h>
#include <random>

namespace ltc {

static bool overlaps(const MemoryPlan &plan,
                     const std::vector<Lifetime> &blocks, size_t i, size_t j) {
  bool together = blocks[i].first <= blocks[j].last &&
                  blocks[j].first <= blocks[i].last;
  return together && plan.offsets[i] < plan.offsets[j] + blocks[j].bytes &&
         plan.offsets[j] < plan.offsets[i] + blocks[i].bytes;
}

TEST(MemoryPlan, neverSharesBytesBetweenLivingBlocks) {
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    std::vector<Lifetime> blocks(1 + random() % 60);
    for (Lifetime &block : blocks) {
      block.bytes = 1 + random() % 5000;
      block.first = random() % 40;
      block.last = block.first + random() % 12;
    }
    MemoryPlan plan = planMemory(blocks);
    EXPECT_GE(plan.bytes, peakBytes(blocks));
    EXPECT_LE(plan.bytes, 2 * peakBytes(blocks));
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(plan.offsets[i] % kAlignment, 0u);
      EXPECT_LE(plan.offsets[i] + blocks[i].bytes, plan.bytes);
      for (size_t j = 0; j < i; ++j)
        EXPECT_FALSE(overlaps(plan, blocks, i, j));
    }
  }
}

TEST(MemoryPlan, reusesWhatIsDead) {
  MemoryPlan plan = planMemory({{640, 0, 1}, {640, 1, 2}, {640, 2, 3}});
  EXPECT_EQ(plan.bytes, 1280u);
}

} // namespace ltc
