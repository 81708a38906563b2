// SPDX-License-Identifier: Apache-2.0
// A tile is a loop of independent multiply-adds on registers: 12 chains hide
// the latency of 4 cycles on two ports, and fit 16 registers.
#include "backends/cpu/device/Peak.h"
#include <algorithm>
#include <chrono>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ltc::cpu {

static constexpr int kChains = 12;
static constexpr int64_t kTurns = 20000; // of all chains, per tile

/// Keeps the results from being optimised away.
static volatile float sink;

// Each chain is a variable of its own, so that it stays in a register at every
// optimisation level.
#define LTC_CHAINS(X)                                                          \
  X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h) X(i) X(j) X(k) X(l)
#define LTC_LOOP(Vector, start, fma, first)                                    \
  Vector x = start(0.5f), y = start(1.0f);                                     \
  LTC_CHAINS(LTC_DECLARE)                                                      \
  for (int64_t turn = 0, n = (end - begin) * kTurns; turn < n; ++turn) {       \
    LTC_CHAINS(fma)                                                            \
  }                                                                            \
  LTC_CHAINS(first)
#define LTC_DECLARE(s) auto s = y;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void
fmaAvx512(void *const *, int64_t begin, int64_t end, void *) {
#define LTC_FMA(s) s = _mm512_fmadd_ps(s, x, y);
#define LTC_FIRST(s) sink = _mm512_cvtss_f32(s);
  LTC_LOOP(__m512, _mm512_set1_ps, LTC_FMA, LTC_FIRST)
#undef LTC_FMA
#undef LTC_FIRST
}

__attribute__((target("avx2,fma"))) static void
fmaAvx2(void *const *, int64_t begin, int64_t end, void *) {
#define LTC_FMA(s) s = _mm256_fmadd_ps(s, x, y);
#define LTC_FIRST(s) sink = _mm256_cvtss_f32(s);
  LTC_LOOP(__m256, _mm256_set1_ps, LTC_FMA, LTC_FIRST)
#undef LTC_FMA
#undef LTC_FIRST
}
#endif

typedef float Vector4 __attribute__((vector_size(16)));
static Vector4 splat(float value) { return Vector4{} + value; }
static void fmaBaseline(void *const *, int64_t begin, int64_t end, void *) {
#define LTC_FMA(s) s = s * x + y;
#define LTC_FIRST(s) sink = s[0];
  LTC_LOOP(Vector4, splat, LTC_FMA, LTC_FIRST)
#undef LTC_FMA
#undef LTC_FIRST
}

FmaKernel widestFma() {
  double flops = 2.0 * kChains * kTurns;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return {fmaAvx512, "avx512", 16 * flops};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {fmaAvx2, "avx2", 8 * flops};
#endif
  return {fmaBaseline, "baseline", 4 * flops};
}

static double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

/// The best of several runs of a job, in seconds; the first warms up.
static double bestSeconds(Pool &pool, const Job &job, double budget) {
  double best = 1e30, began = now();
  do {
    double before = now();
    pool.run(job);
    best = std::min(best, now() - before);
  } while (now() - began < budget);
  return best;
}

double measureFlops(Pool &pool) {
  FmaKernel fma = widestFma();
  // Some 0.1 ms a tile: short runs, of which a busy machine leaves one alone.
  Job job{fma.kernel, nullptr, 32 * pool.threads(), 0};
  return fma.flopsOfATile * double(job.tiles) / bestSeconds(pool, job, 0.08);
}

static constexpr size_t kCopyTile = 1 << 20;
static void copyTiles(void *const *bindings, int64_t begin, int64_t end,
                      void *) {
  std::memcpy(static_cast<char *>(bindings[0]) + begin * kCopyTile,
              static_cast<const char *>(bindings[1]) + begin * kCopyTile,
              (end - begin) * kCopyTile);
}

double measureCopy(Pool &pool) {
  int64_t tiles = 64; // 64 MiB each: beyond the caches
  std::vector<char> to(tiles * kCopyTile), from(tiles * kCopyTile, 1);
  void *bindings[] = {to.data(), from.data()};
  Job job{copyTiles, bindings, tiles, 0};
  return 2.0 * double(to.size()) / bestSeconds(pool, job, 0.12);
}

} // namespace ltc::cpu
