// SPDX-License-Identifier: Apache-2.0
// NVIDIA's GPUs as a device. This version finds the driver and says what is
// there; it does not run programs yet.
#include "plugins/sdk/Device.h"
#include <cstdio>
#include <dlfcn.h>

namespace {

template <typename F> F find(void *library, const char *name) {
  return reinterpret_cast<F>(dlsym(library, name));
}

int refuse(char *error, size_t bytes, const char *text, const char *why) {
  std::snprintf(error, bytes, text, why);
  return 1;
}

int open(const LtcDeviceOptions *options, LtcDevice **device, char *error,
         size_t errorBytes) {
  *device = nullptr;
  void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver)
    return refuse(error, errorBytes,
                  "this machine has no NVIDIA driver (%s); run the artifact "
                  "where there is one, or compile with --target cpu",
                  dlerror());
  auto init = find<int (*)(unsigned)>(driver, "cuInit");
  auto count = find<int (*)(int *)>(driver, "cuDeviceGetCount");
  int devices = 0;
  bool counted =
      init && count && init(0) == 0 && count(&devices) == 0;
  dlclose(driver);
  if (!counted || options->index >= devices)
    return refuse(error, errorBytes, "no device: %s",
                  counted ? "the NVIDIA driver finds too few GPUs"
                          : "the NVIDIA driver does not start");
  return refuse(error, errorBytes, "%s",
                "this version of ltc compiles for NVIDIA GPUs and does not run "
                "programs there yet");
}

const LtcDeviceApi kApi = {.size = sizeof(LtcDeviceApi),
                           .major = LTC_DEVICE_MAJOR,
                           .minor = LTC_DEVICE_MINOR,
                           .name = "cuda",
                           .open = open};

} // namespace

extern "C" const LtcDeviceApi *ltcDevice_cuda(void) { return &kApi; }
