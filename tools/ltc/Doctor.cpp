// SPDX-License-Identifier: Apache-2.0
// ltc doctor: what this machine has and what it measures.
#include "runtime/device/Device.h"
#include "tools/ltc/Commands.h"
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ltc::tool {
namespace {

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Bytes per second that all threads together copy, read and write counted.
double copyBandwidth(int threads) {
  constexpr size_t count = 8 << 20; // 32 MiB a thread: beyond the caches
  std::vector<std::vector<float>> from(threads), to(threads);
  for (int t = 0; t < threads; ++t) {
    from[t].assign(count, 1);
    to[t].assign(count, 0);
  }
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    double begin = now();
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t)
      workers.emplace_back(
          [&, t] { std::copy(from[t].begin(), from[t].end(), to[t].begin()); });
    for (std::thread &worker : workers)
      worker.join();
    best = std::max(best, 8.0 * count * threads / (now() - begin));
  }
  return best;
}

void doctor() {
  auto device = orLeave(Device::open("cpu", 0));
  int threads = int(std::thread::hardware_concurrency());
  std::printf("cpu device     %s\n", device->description().c_str());
  for (const char *level : {"avx512", "avx2", "baseline"})
    std::printf("  %-12s %s\n", level, device->supports(level) ? "yes" : "no");
  std::printf("cores          %d\n", threads);
  double memory = double(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  std::printf("memory         %s\n", shortBytes(memory).c_str());
  std::printf("copy bandwidth %s/s (measured, %d threads)\n",
              shortBytes(copyBandwidth(threads)).c_str(), threads);
  auto compiler = compilerLibrary();
  std::printf("compiler       %s\n", compiler.empty()
                                         ? "not beside this ltc: runs artifacts"
                                         : compiler.c_str());
}

} // namespace

void addDoctor(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "doctor", "Says what this machine has, measured where it can be.\n\n"
                "  ltc doctor");
  command->callback(doctor);
}

} // namespace ltc::tool
