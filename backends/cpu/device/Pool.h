// SPDX-License-Identifier: Apache-2.0
// Threads that run the tiles of one kernel after another. Which thread runs a
// tile is open; what a tile computes depends on its index only, so bits do not
// depend on the number of threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace ltc::cpu {

using KernelFn = void (*)(void *const *bindings, int64_t tileBegin,
                          int64_t tileEnd, void *scratch);

struct Job {
  KernelFn kernel = nullptr;
  void *const *bindings = nullptr;
  int64_t tiles = 0;
  uint64_t scratchBytes = 0; ///< per thread
};

class Pool {
public:
  /// The calling thread is one of `threads`.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  /// Runs the job to its end. False: no memory for scratch.
  bool run(const Job &job);
  int threads() const { return int(scratch.size()); }

private:
  void work(int thread);
  bool claim(uint32_t &chunk);
  void runChunk(uint32_t chunk, int thread);
  bool waitForWork();
  bool reserveScratch(uint64_t bytes);

  Job job;
  int64_t chunks = 0;
  // High half: number of the job; low half: chunks that nobody took yet. One
  // word, so a thread that wakes late can never take a chunk of a finished job.
  std::atomic<uint64_t> state{0};
  alignas(64) std::atomic<uint32_t> finished{0};
  alignas(64) std::atomic<uint32_t> wake{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stopping{false};
  std::vector<void *> scratch; ///< one per thread
  uint64_t scratchCapacity = 0;
  std::vector<std::thread> workers;
};

} // namespace ltc::cpu
