// SPDX-License-Identifier: Apache-2.0
// Places blocks with lifetimes in one arena.
#pragma once
#include <cstdint>
#include <vector>

namespace ltc {

/// Alive from command `first` to command `last`, both included.
struct Lifetime {
  uint64_t bytes = 0;
  int64_t first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<uint64_t> offsets; ///< one per block, 64-byte aligned
  uint64_t bytes = 0;            ///< of the arena
};

inline constexpr uint64_t kAlignment = 64;
inline uint64_t alignUp(uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Largest blocks first, each in the smallest gap that fits among those that
/// live at the same time (Sekiyama et al. 2018). The same input, the same plan.
MemoryPlan planMemory(const std::vector<Lifetime> &blocks);

/// Bytes alive at once at the worst command: no plan needs less.
uint64_t peakBytes(const std::vector<Lifetime> &blocks);

} // namespace ltc
