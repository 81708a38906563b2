// SPDX-License-Identifier: Apache-2.0
// A vendor's GPUs as a device that is found and refused: this version does not
// run programs there yet.
#pragma once
#include "plugins/sdk/Device.h"
#include <cstdio>
#include <dlfcn.h>

namespace ltc::gpu {

/// A vendor's library, and its functions that start it and count devices; each
/// gives 0 where it succeeds.
struct Vendor {
  const char *gpus;    ///< "NVIDIA"
  const char *library; ///< "NVIDIA driver", as a person calls it
  const char *file, *init, *count;
};

/// LtcDeviceApi::open: `error` says what is missing.
inline int openNothing(const Vendor &vendor, const LtcDeviceOptions *options,
                       LtcDevice **device, char *error, size_t bytes) {
  *device = nullptr;
  void *library = dlopen(vendor.file, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    std::snprintf(error, bytes,
                  "this machine has no %s (%s); run the artifact where there "
                  "is one, or compile with --target cpu",
                  vendor.library, dlerror());
    return 1;
  }
  auto init =
      reinterpret_cast<int (*)(unsigned)>(dlsym(library, vendor.init));
  auto count = reinterpret_cast<int (*)(int *)>(dlsym(library, vendor.count));
  int devices = 0;
  bool counted = init && count && init(0) == 0 && count(&devices) == 0;
  dlclose(library);
  if (!counted || options->index >= devices)
    std::snprintf(error, bytes, "no device: the %s %s", vendor.library,
                  counted ? "finds too few GPUs" : "does not start");
  else
    std::snprintf(error, bytes,
                  "this version of ltc compiles for %s GPUs and does not run "
                  "programs there yet",
                  vendor.gpus);
  return 1;
}

} // namespace ltc::gpu
