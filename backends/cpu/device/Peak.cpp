// SPDX-License-Identifier: Apache-2.0
// A tile is a loop of independent multiply-adds on registers: 12 chains hide
// the latency of 4 cycles on two ports, and fit 16 registers.
#include "backends/cpu/device/Peak.h"
#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace ltc::cpu {

static constexpr int kChains = 12;
static constexpr int64_t kTurns = 20000; // of all chains, per tile

#if defined(__x86_64__)
// The loops are assembler, so that they are the same at every optimisation
// level of the build. Registers 0 to 11 are the chains, s = s * x + y.
static const float kHalf = 0.5f, kOne = 1.0f;

#define LTC_EACH(op, r)                                                     \
  op(r, 0) op(r, 1) op(r, 2) op(r, 3) op(r, 4) op(r, 5)      \
  op(r, 6) op(r, 7) op(r, 8) op(r, 9) op(r, 10) op(r, 11)
#define LTC_ZERO(r, i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n"
#define LTC_FMA(r, i)                                                       \
  "vfmadd213ps %%" r "13, %%" r "12, %%" r #i "\n"
#define LTC_ZERO_SSE(r, i) "xorps %%xmm" #i ", %%xmm" #i "\n"
#define LTC_MULADD_SSE(r, i)                                                \
  "mulps %%xmm12, %%xmm" #i "\n addps %%xmm13, %%xmm" #i "\n"
#define LTC_CLOBBERED                                                          \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",      \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "cc"

static void fmaAvx512(void *const *, int64_t begin, int64_t end, void *) {
  int64_t turns = (end - begin) * kTurns;
  if (turns <= 0)
    return;
  asm volatile("vbroadcastss %1, %%zmm12\n"
               "vbroadcastss %2, %%zmm13\n" LTC_EACH(LTC_ZERO, "")
               "1:\n" LTC_EACH(LTC_FMA, "zmm")
               "dec %0\n jnz 1b\n vzeroupper\n"
               : "+r"(turns)
               : "m"(kHalf), "m"(kOne)
               : LTC_CLOBBERED);
}

static void fmaAvx2(void *const *, int64_t begin, int64_t end, void *) {
  int64_t turns = (end - begin) * kTurns;
  if (turns <= 0)
    return;
  asm volatile("vbroadcastss %1, %%ymm12\n"
               "vbroadcastss %2, %%ymm13\n" LTC_EACH(LTC_ZERO, "")
               "1:\n" LTC_EACH(LTC_FMA, "ymm")
               "dec %0\n jnz 1b\n vzeroupper\n"
               : "+r"(turns)
               : "m"(kHalf), "m"(kOne)
               : LTC_CLOBBERED);
}

static void fmaBaseline(void *const *, int64_t begin, int64_t end, void *) {
  int64_t turns = (end - begin) * kTurns;
  if (turns <= 0)
    return;
  asm volatile("movss %1, %%xmm12\n shufps $0, %%xmm12, %%xmm12\n"
               "movss %2, %%xmm13\n shufps $0, %%xmm13, %%xmm13\n"
               LTC_EACH(LTC_ZERO_SSE, "")
               "1:\n" LTC_EACH(LTC_MULADD_SSE, "")
               "dec %0\n jnz 1b\n"
               : "+r"(turns)
               : "m"(kHalf), "m"(kOne)
               : LTC_CLOBBERED);
}
#else
static volatile float sink; // keeps the result from being optimised away

static void fmaBaseline(void *const *, int64_t begin, int64_t end, void *) {
  typedef float Vector __attribute__((vector_size(16)));
  Vector sum[kChains] = {}, x = {0.5f, 0.5f, 0.5f, 0.5f}, y = {1, 1, 1, 1};
  for (int64_t i = 0, n = (end - begin) * kTurns; i < n; ++i)
    for (Vector &s : sum)
      s = s * x + y;
  for (Vector &s : sum)
    sink = s[0];
}
#endif

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
  int64_t tiles = 32; // 32 MiB each: beyond the caches
  std::vector<char> to(tiles * kCopyTile), from(tiles * kCopyTile, 1);
  void *bindings[] = {to.data(), from.data()};
  Job job{copyTiles, bindings, tiles, 0};
  return 2.0 * double(to.size()) / bestSeconds(pool, job, 0.12);
}

static void nothing(void *const *, int64_t, int64_t, void *) {}

double measureLaunch(Pool &pool) {
  Job job{nothing, nullptr, pool.threads(), 0};
  return bestSeconds(pool, job, 0.01);
}

} // namespace ltc::cpu
