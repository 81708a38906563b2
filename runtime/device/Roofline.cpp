// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Roofline.h"
#include <algorithm>
#include <cmath>

namespace ltc {
using namespace artifact;

/// An object that the device can run is needed, and every kernel's shares.
static Result<void> check(const ArtifactT &program, const Device &device) {
  std::string levels;
  bool runs = program.objects.empty();
  for (const auto &object : program.objects) {
    runs |= device.supports(object->feature_level);
    levels += " " + object->feature_level;
  }
  if (!runs)
    return fail("its kernels are for" + levels + ", which this machine has "
                "not");
  for (const auto &kernel : program.kernels)
    if (!(kernel->flops_share > 0) || !(kernel->bytes_share > 0))
      return fail("its target does not state what part of the ceilings "
                  "kernel " + kernel->symbol + " reaches");
  return {};
}

Result<Roofline> Roofline::measure(const ArtifactT &program, Device &device) {
  LTC_TRY(check(program, device));
  LTC_ASSIGN(LtcDevicePeaks peaks,
             device.measure(LTC_PEAK_FLOPS | LTC_PEAK_COPY | LTC_PEAK_LAUNCH));
  if (!(peaks.flops > 0) || !(peaks.copyBytes > 0))
    return fail("the device does not measure its ceilings");
  return Roofline(peaks);
}

double Roofline::launch(const KernelT &kernel) const {
  double work = kernel.flops / (peaks.flops * kernel.flops_share);
  double bytes = kernel.read_bytes + kernel.written_bytes;
  double memory = bytes / (peaks.copyBytes * kernel.bytes_share);
  double tiles = double(std::max<int64_t>(kernel.tiles, 1));
  double units = std::max(peaks.parallel, 1u);
  double rounds = std::ceil(tiles / units) * units / tiles;
  return std::max(work * rounds, memory) + peaks.launchSeconds;
}

double Roofline::zeros(uint64_t bytes) const {
  return double(bytes) / peaks.copyBytes + peaks.launchSeconds;
}

std::map<int64_t, double> Roofline::phase(const ArtifactT &program,
                                          const std::string &name) const {
  std::map<int64_t, double> seconds;
  for (const auto &phase : program.phases)
    for (const auto &command : phase->commands) {
      if (phase->name != name)
        break;
      if (command->kind == CommandKind::fill_zero)
        seconds[-1] += zeros(command->bytes);
      else
        seconds[command->kernel] += launch(*program.kernels[command->kernel]);
    }
  return seconds;
}

std::map<int64_t, double> Roofline::step(const ArtifactT &program,
                                         int64_t rows) const {
  std::map<int64_t, double> seconds = phase(program, "apply");
  double micro = double(rows) / double(std::max<int64_t>(program.micro_batch,
                                                         1));
  for (auto [kernel, each] : phase(program, "accumulate"))
    seconds[kernel] += micro * each;
  return seconds;
}

double total(const std::map<int64_t, double> &seconds) {
  double sum = 0;
  for (auto [kernel, each] : seconds)
    sum += each;
  return sum;
}

} // namespace ltc
