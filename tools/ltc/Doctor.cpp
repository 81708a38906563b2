// SPDX-License-Identifier: Apache-2.0
// ltc doctor: what this machine has and what it measures.
#include "runtime/device/Device.h"
#include "tools/ltc/Commands.h"
#include <cstdio>
#include <sched.h>
#include <thread>
#include <unistd.h>

namespace ltc::tool {
namespace {

std::string processorName() {
  std::string name = "unknown";
  FILE *file = std::fopen("/proc/cpuinfo", "r");
  char line[256];
  while (file && std::fgets(line, sizeof line, file))
    if (std::string_view(line).starts_with("model name")) {
      name = std::string(line).substr(std::string_view(line).find(':') + 2);
      name.erase(name.find_last_not_of('\n') + 1);
      break;
    }
  if (file)
    std::fclose(file);
  return name;
}

void doctor() {
  auto device = orLeave(Device::open("cpu", 0));
  std::printf("processor       %s\n", processorName().c_str());
  std::printf("cpu device      %s of %u\n", device->description().c_str(),
              std::thread::hardware_concurrency());
  std::printf("features       ");
  for (const char *level : {"avx512", "avx2", "baseline"})
    std::printf(" %s %s%s", level, device->supports(level) ? "yes" : "no",
                level[0] == 'b' ? "\n" : ",");
  double pages = double(sysconf(_SC_PAGESIZE));
  std::printf("memory          %s, %s free\n",
              shortBytes(pages * double(sysconf(_SC_PHYS_PAGES))).c_str(),
              shortBytes(pages * double(sysconf(_SC_AVPHYS_PAGES))).c_str());
  auto peaks = orLeave(device->measure(LTC_PEAK_FLOPS | LTC_PEAK_COPY));
  std::printf("FMA peak        %s (measured: %s)\n",
              shortFlops(peaks.flops).c_str(), peaks.how);
  std::printf("copy bandwidth  %s/s (measured: read and written)\n",
              shortBytes(peaks.copyBytes).c_str());
  auto compiler = compilerLibrary();
  std::printf("compiler        %s\n", compiler.empty()
                                          ? "not beside this ltc: it runs "
                                            "artifacts compiled elsewhere"
                                          : compiler.c_str());
}

} // namespace

void addDoctor(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "doctor", "Says what this machine has, and measures what it can do at "
                "best.");
  command->footer(
      "The FMA peak is the 100 % of the MFU that a run shows: f32\n"
      "multiply-adds on registers by all threads. Close other programs first:\n"
      "what they take is missing in the figures.\n"
      "\n"
      "  ltc doctor\n"
      "\n"
      "Next: ltc plan SPEC says what a run needs of this.");
  command->callback(doctor);
}

} // namespace ltc::tool
