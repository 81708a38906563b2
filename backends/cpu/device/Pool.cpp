// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/device/Pool.h"
#include <algorithm>
#include <cstdlib>

namespace ltc::cpu {

// A launch of a small model takes some 20 us, so that a thread that waits this
// long (about 50 us) before it sleeps is awake when the next one comes.
static constexpr int kSpins = 1500;
// More chunks than threads even out cores of unequal speed.
static constexpr int64_t kChunksPerThread = 8;

static void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

Pool::Pool(int threads) : scratch(std::max(threads, 1), nullptr) {
  for (int i = 1; i < threads; ++i)
    workers.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  stopping = true;
  wake.fetch_add(1);
  wake.notify_all();
  for (std::thread &worker : workers)
    worker.join();
  for (void *memory : scratch)
    std::free(memory);
}

bool Pool::reserveScratch(uint64_t bytes) {
  if (bytes <= scratchCapacity)
    return true;
  uint64_t capacity = (bytes + 63) / 64 * 64;
  scratchCapacity = 0;
  for (void *&memory : scratch) {
    std::free(memory);
    memory = std::aligned_alloc(64, capacity);
    if (!memory)
      return false;
  }
  scratchCapacity = capacity;
  return true;
}

bool Pool::claim(uint32_t &chunk) {
  uint64_t seen = state.load(std::memory_order_acquire);
  while (uint32_t(seen) != 0) {
    if (!state.compare_exchange_weak(seen, seen - 1,
                                     std::memory_order_acq_rel))
      continue;
    // The job cannot change until this chunk has been finished.
    chunk = uint32_t(chunks) - uint32_t(seen);
    return true;
  }
  return false;
}

void Pool::runChunk(uint32_t chunk, int thread) {
  int64_t begin = job.tiles * chunk / chunks;
  int64_t end = job.tiles * (chunk + 1) / chunks;
  job.kernel(job.bindings, begin, end, scratch[thread]);
}

bool Pool::run(const Job &next) {
  if (next.tiles <= 0)
    return true;
  if (!reserveScratch(next.scratchBytes))
    return false;
  if (workers.empty() || next.tiles == 1) {
    next.kernel(next.bindings, 0, next.tiles, scratch[0]);
    return true;
  }
  job = next;
  chunks = std::min<int64_t>(next.tiles, threads() * kChunksPerThread);
  finished.store(0, std::memory_order_relaxed);
  uint64_t number = (state.load(std::memory_order_relaxed) >> 32) + 1;
  state.store(number << 32 | uint64_t(chunks));
  if (sleepers.load() > 0) {
    wake.fetch_add(1);
    wake.notify_all();
  }
  uint32_t chunk;
  while (claim(chunk)) {
    runChunk(chunk, 0);
    finished.fetch_add(1, std::memory_order_acq_rel);
  }
  for (int spins = 0; finished.load(std::memory_order_acquire) != chunks;)
    if (++spins < kSpins)
      pause();
    else
      std::this_thread::yield();
  return true;
}

/// Spins a bounded time, then sleeps until a job comes or the pool ends.
bool Pool::waitForWork() {
  for (int spins = 0; spins < kSpins; ++spins) {
    if (uint32_t(state.load(std::memory_order_acquire)) != 0)
      return true;
    pause();
  }
  sleepers.fetch_add(1);
  uint32_t ticket = wake.load();
  // Sequentially consistent with run(): either it sees the sleeper, or this
  // load sees its job.
  if (uint32_t(state.load()) == 0 && !stopping)
    wake.wait(ticket);
  sleepers.fetch_sub(1);
  return !stopping;
}

void Pool::work(int thread) {
  while (!stopping && waitForWork()) {
    uint32_t chunk;
    while (claim(chunk)) {
      runChunk(chunk, thread);
      finished.fetch_add(1, std::memory_order_acq_rel);
    }
  }
}

} // namespace ltc::cpu
