// SPDX-License-Identifier: Apache-2.0
// NVIDIA's GPUs as a device.
#include "backends/gpu/device/Finder.h"

namespace {

constexpr ltc::gpu::Vendor kVendor = {"NVIDIA", "NVIDIA driver",
                                      "libcuda.so.1", "cuInit",
                                      "cuDeviceGetCount"};

int open(const LtcDeviceOptions *options, LtcDevice **device, char *error,
         size_t errorBytes) {
  return ltc::gpu::openNothing(kVendor, options, device, error, errorBytes);
}

const LtcDeviceApi kApi = {.size = sizeof(LtcDeviceApi),
                           .major = LTC_DEVICE_MAJOR,
                           .minor = LTC_DEVICE_MINOR,
                           .name = "cuda",
                           .open = open};

} // namespace

extern "C" const LtcDeviceApi *ltcDevice_cuda(void) { return &kApi; }
