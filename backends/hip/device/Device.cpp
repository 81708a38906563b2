// SPDX-License-Identifier: Apache-2.0
// AMD's GPUs as a device. This version finds the runtime and says what is
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
  void *runtime = dlopen("libamdhip64.so", RTLD_NOW | RTLD_LOCAL);
  if (!runtime)
    return refuse(error, errorBytes,
                  "this machine has no HIP runtime (%s); run the artifact "
                  "where there is one, or compile with --target cpu",
                  dlerror());
  auto init = find<int (*)(unsigned)>(runtime, "hipInit");
  auto count = find<int (*)(int *)>(runtime, "hipGetDeviceCount");
  int devices = 0;
  bool counted =
      init && count && init(0) == 0 && count(&devices) == 0;
  dlclose(runtime);
  if (!counted || options->index >= devices)
    return refuse(error, errorBytes, "no device: %s",
                  counted ? "the HIP runtime finds too few GPUs"
                          : "the HIP runtime does not start");
  return refuse(error, errorBytes, "%s",
                "this version of ltc compiles for AMD GPUs and does not run "
                "programs there yet");
}

const LtcDeviceApi kApi = {.size = sizeof(LtcDeviceApi),
                           .major = LTC_DEVICE_MAJOR,
                           .minor = LTC_DEVICE_MINOR,
                           .name = "hip",
                           .open = open};

} // namespace

extern "C" const LtcDeviceApi *ltcDevice_hip(void) { return &kApi; }
