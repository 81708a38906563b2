// SPDX-License-Identifier: Apache-2.0
// The CPU as a device: everything it can do is in the table at the end.
#include "backends/cpu/device/Peak.h"
#include "plugins/sdk/Device.h"
#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#include <map>
#include <memory>
#include <sched.h>
#include <set>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using namespace ltc::cpu;

namespace {
struct Mapping {
  void *base;
  size_t bytes;
};
} // namespace

struct LtcDevice {
  explicit LtcDevice(int threads) : pool(threads) {}
  Pool pool;
  std::map<void *, Mapping> memory;
  std::set<LtcModule *> modules; ///< handles of dlopen
  std::string error, description, how;
};

static int failWith(LtcDevice *device, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  device->error = text;
  return 1;
}

static int usableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

static int openCpu(const LtcDeviceOptions *options, LtcDevice **device,
                   char *error, size_t errorBytes) {
  *device = nullptr;
  int threads = options->threads > 0 ? options->threads : usableCores();
  if (threads > 1024) {
    std::snprintf(error, errorBytes,
                  "%d threads asked for; the cpu device takes at most 1024",
                  threads);
    return 1;
  }
  *device = new LtcDevice(threads);
  (*device)->description = "cpu, " + std::to_string(threads) +
                           (threads == 1 ? " thread" : " threads");
  return 0;
}

static void closeCpu(LtcDevice *device) {
  for (LtcModule *module : device->modules)
    dlclose(module);
  for (auto &[data, mapping] : device->memory)
    munmap(mapping.base, mapping.bytes);
  delete device;
}

static const char *errorOf(LtcDevice *device) { return device->error.c_str(); }
static const char *descriptionOf(LtcDevice *device) {
  return device->description.c_str();
}

static int supports(LtcDevice *, const char *level) {
  if (!level || !*level || !std::strcmp(level, "baseline"))
    return 1;
#if defined(__x86_64__)
  if (!std::strcmp(level, "avx2"))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool bf16 = !std::strcmp(level, "avx512_bf16");
  if (bf16 && !__builtin_cpu_supports("avx512bf16"))
    return 0;
  if (bf16 || !std::strcmp(level, "avx512"))
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#endif
  return 0;
}

/// Memory that ends at a page which faults, so that a kernel that runs past its
/// arena stops there. The start is 64-byte aligned.
static int allocate(LtcDevice *device, uint64_t bytes, void **memory) {
  uint64_t page = sysconf(_SC_PAGESIZE);
  uint64_t used = (bytes + 63) / 64 * 64;
  uint64_t body = (used + page - 1) / page * page;
  *memory = nullptr;
  if (bytes > UINT64_MAX - 2 * page - 64)
    return failWith(device, "%llu bytes of memory cannot be addressed",
                    (unsigned long long)bytes);
  void *base = mmap(nullptr, body + page, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return failWith(device, "no memory: %llu bytes asked for: %s",
                    (unsigned long long)bytes, std::strerror(errno));
  mprotect(static_cast<char *>(base) + body, page, PROT_NONE);
  madvise(base, body, MADV_HUGEPAGE); // a hint: fewer TLB misses
  *memory = static_cast<char *>(base) + (body - used);
  device->memory[*memory] = {base, body + page};
  return 0;
}

static void release(LtcDevice *device, void *memory) {
  auto found = device->memory.find(memory);
  if (found == device->memory.end())
    return;
  munmap(found->second.base, found->second.bytes);
  device->memory.erase(found);
}

static int copy(LtcDevice *, void *to, const void *from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  return 0;
}

/// Zeros past the caches: a plain store would read every line first.
static void streamZeros(char *to, uint64_t bytes) {
#if defined(__x86_64__)
  for (; bytes >= 64; to += 64, bytes -= 64) // `to` is 64-byte aligned
    for (int i = 0; i < 64; i += 16)
      _mm_stream_si128(reinterpret_cast<__m128i *>(to + i),
                       _mm_setzero_si128());
  _mm_sfence();
#endif
  std::memset(to, 0, bytes);
}

/// bindings: memory, &bytes. A tile is 64 KiB.
static constexpr uint64_t kZeroTile = 1 << 16;
static constexpr uint64_t kStreamedZeros = 32 << 20; ///< more than caches hold
static void zeroTiles(void *const *bindings, int64_t begin, int64_t end,
                      void *) {
  uint64_t bytes = *static_cast<const uint64_t *>(bindings[1]);
  uint64_t from = begin * kZeroTile;
  uint64_t to = std::min<uint64_t>(end * kZeroTile, bytes);
  char *memory = static_cast<char *>(bindings[0]);
  if (bytes >= kStreamedZeros)
    return streamZeros(memory + from, to - from);
  std::memset(memory + from, 0, to - from);
}

static int fillZero(LtcDevice *device, void *memory, uint64_t bytes) {
  void *bindings[2] = {memory, &bytes};
  int64_t tiles = int64_t((bytes + kZeroTile - 1) / kZeroTile);
  device->pool.run({zeroTiles, bindings, tiles, 0});
  return 0;
}

/// The object's bytes become an anonymous file, so that the system's own
/// loader maps it; nothing is written to disk.
static int loadModule(LtcDevice *device, const void *bytes, uint64_t size,
                      const char *level, LtcModule **module) {
  *module = nullptr;
  if (!supports(device, level))
    return failWith(device,
                    "the program's kernels need a processor with %s, which "
                    "this one has not; compile it on this machine", level);
  int fd = memfd_create("ltc-kernels", MFD_CLOEXEC);
  if (fd < 0)
    return failWith(device, "memfd_create: %s", std::strerror(errno));
  uint64_t done = 0;
  while (done < size) {
    ssize_t n = ::write(fd, static_cast<const char *>(bytes) + done,
                        size - done);
    if (n <= 0)
      break;
    done += n;
  }
  std::string why = done == size ? "" : std::strerror(errno);
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  void *handle = done == size ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)
                              : nullptr;
  if (done == size && !handle)
    why = dlerror();
  close(fd);
  if (!handle)
    return failWith(device, "the kernels cannot be loaded: %s", why.c_str());
  *module = reinterpret_cast<LtcModule *>(handle);
  device->modules.insert(*module);
  return 0;
}

static void unloadModule(LtcDevice *device, LtcModule *module) {
  if (device->modules.erase(module))
    dlclose(module);
}

static int findKernel(LtcDevice *device, LtcModule *module, const char *symbol,
                      LtcKernel **kernel) {
  *kernel = reinterpret_cast<LtcKernel *>(dlsym(module, symbol));
  if (!*kernel)
    return failWith(device, "kernel %s is not in the program's object", symbol);
  return 0;
}

static int launch(LtcDevice *device, const LtcLaunch *launch) {
  Job job{reinterpret_cast<KernelFn>(launch->kernel), launch->bindings,
          launch->tiles, launch->scratchBytes};
  if (!device->pool.run(job))
    return failWith(device, "no memory for %llu bytes of scratch per thread",
                    (unsigned long long)launch->scratchBytes);
  return 0;
}

static int synchronize(LtcDevice *) { return 0; } // launches are done already

static int measure(LtcDevice *device, LtcDevicePeaks *peaks) {
  if (peaks->size < offsetof(LtcDevicePeaks, how) + sizeof(peaks->how))
    return failWith(device, "the struct of peaks is too short: %zu bytes",
                    peaks->size);
  device->how = std::string("f32 FMA, ") + widestFma().name + ", " +
                device->description.substr(5);
  peaks->how = device->how.c_str();
  if (peaks->wanted & LTC_PEAK_FLOPS)
    peaks->flops = measureFlops(device->pool);
  if (peaks->wanted & LTC_PEAK_COPY)
    peaks->copyBytes = measureCopy(device->pool);
  if (peaks->size < offsetof(LtcDevicePeaks, parallel) + sizeof(uint32_t))
    return 0; // asked by the first minor version
  peaks->parallel = uint32_t(device->pool.threads());
  if (peaks->wanted & LTC_PEAK_LAUNCH)
    peaks->launchSeconds = measureLaunch(device->pool);
  return 0;
}

extern "C" const LtcDeviceApi *ltcDevice_cpu(void) {
  static const LtcDeviceApi api = {
      sizeof(LtcDeviceApi), LTC_DEVICE_MAJOR, LTC_DEVICE_MINOR, "cpu",
      openCpu,      closeCpu,     errorOf,    descriptionOf, supports,
      allocate,     release,      copy,       copy,          fillZero,
      loadModule,   unloadModule, findKernel, launch,        synchronize,
      measure};
  return &api;
}
