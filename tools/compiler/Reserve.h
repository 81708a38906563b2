// SPDX-License-Identifier: Apache-2.0
// What train.memory_budget counts beside a program's own memory, so that a
// run's resident memory (its mapped data files apart) stays below the budget.
#pragma once
#include <algorithm>
#include <cstdint>
#include <thread>

namespace ltc {

/// The program, its libraries, stacks and tables.
inline constexpr uint64_t kLtcItself = 16 << 20;
/// The artifact and its kernels, whose size is known last; most take 1 MiB.
inline constexpr uint64_t kCodeReserve = 4 << 20;
/// run.threads as a run on this machine has it; 0 is one per processor.
inline uint64_t threadsOr(int64_t wanted) {
  if (wanted > 0)
    return uint64_t(wanted);
  return std::max(1u, std::thread::hardware_concurrency());
}

} // namespace ltc
