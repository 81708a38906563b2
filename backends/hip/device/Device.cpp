// SPDX-License-Identifier: Apache-2.0
// AMD's GPUs as a device.
#include "backends/gpu/device/Finder.h"

namespace {

constexpr ltc::gpu::Vendor kVendor = {"AMD", "HIP runtime",
                                      "libamdhip64.so", "hipInit",
                                      "hipGetDeviceCount"};

int open(const LtcDeviceOptions *options, LtcDevice **device, char *error,
         size_t errorBytes) {
  return ltc::gpu::openNothing(kVendor, options, device, error, errorBytes);
}

const LtcDeviceApi kApi = {.size = sizeof(LtcDeviceApi),
                           .major = LTC_DEVICE_MAJOR,
                           .minor = LTC_DEVICE_MINOR,
                           .name = "hip",
                           .open = open};

} // namespace

extern "C" const LtcDeviceApi *ltcDevice_hip(void) { return &kApi; }
