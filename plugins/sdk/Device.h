/* SPDX-License-Identifier: Apache-2.0 */
/* The run side of a backend, as a table of C functions. Plain C11: no C++ type,
 * no exception and no ownership crosses. Every struct begins with its size; a
 * reader accepts any size that covers what it needs. New functions are appended
 * and may be null. A function that returns int returns 0 for success; otherwise
 * `error` of the device gives the words that the user reads. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define LTC_DEVICE_MAJOR 1u
#define LTC_DEVICE_MINOR 2u

typedef struct LtcDevice LtcDevice; /* one opened device */
typedef struct LtcModule LtcModule; /* one loaded binary */
typedef struct LtcKernel LtcKernel; /* one symbol of a module */

typedef struct LtcDeviceOptions {
  size_t size;
  int32_t threads; /* 0: one per core that this process may use */
  int32_t index;   /* which device of this kind */
} LtcDeviceOptions;

/* One launch: kernel(bindings, tileBegin, tileEnd, scratch) over all tiles.
 * Launches take effect in the order in which they are given. */
typedef struct LtcLaunch {
  size_t size;
  LtcKernel *kernel;
  void *const *bindings; /* device pointers; read when the launch is given */
  uint32_t bindingCount;
  int64_t tiles;
  uint64_t scratchBytes; /* per thread or block, 64-byte aligned */
} LtcLaunch;

/* What the device can do at best, measured when asked; 0: not known. */
typedef struct LtcDevicePeaks {
  size_t size;
  uint32_t wanted; /* LTC_PEAK_FLOPS | LTC_PEAK_COPY ..: what to measure */
  double flops;    /* f32 multiply-adds a second, counted as two */
  double copyBytes; /* a second, read and written bytes counted */
  const char *how; /* for people: "f32 FMA, avx512, 2 threads" */
  /* Since minor version 2. */
  double launchSeconds; /* of a launch that does nothing */
  uint32_t parallel;    /* tiles that run at once; always given */
} LtcDevicePeaks;
#define LTC_PEAK_FLOPS 1u
#define LTC_PEAK_COPY 2u
#define LTC_PEAK_LAUNCH 4u

typedef struct LtcDeviceApi {
  size_t size;
  uint32_t major, minor;
  const char *name; /* "cpu": the word in the spec's `target` */

  /* Opens a device. On failure *device is null and the words are in `error`,
   * a buffer of `errorBytes` bytes that the caller gives. */
  int (*open)(const LtcDeviceOptions *options, LtcDevice **device, char *error,
              size_t errorBytes);
  void (*close)(LtcDevice *device);
  const char *(*error)(LtcDevice *device);       /* of the last failure */
  const char *(*description)(LtcDevice *device); /* for people */
  int (*supports)(LtcDevice *device, const char *featureLevel); /* 1 or 0 */

  /* Memory is zero when it comes and 64-byte aligned. */
  int (*allocate)(LtcDevice *device, uint64_t bytes, void **memory);
  void (*release)(LtcDevice *device, void *memory);
  int (*write)(LtcDevice *device, void *to, const void *from, uint64_t bytes);
  int (*read)(LtcDevice *device, void *to, const void *from, uint64_t bytes);
  int (*fillZero)(LtcDevice *device, void *memory, uint64_t bytes);

  /* A module is the bytes of an object of the artifact. */
  int (*loadModule)(LtcDevice *device, const void *bytes, uint64_t size,
                    const char *featureLevel, LtcModule **module);
  void (*unloadModule)(LtcDevice *device, LtcModule *module);
  int (*findKernel)(LtcDevice *device, LtcModule *module, const char *symbol,
                    LtcKernel **kernel);

  int (*launch)(LtcDevice *device, const LtcLaunch *launch);
  int (*synchronize)(LtcDevice *device); /* all that was given has happened */

  /* Since minor version 1. May be null. Takes well under 0.3 s a peak. */
  int (*measure)(LtcDevice *device, LtcDevicePeaks *peaks);
} LtcDeviceApi;

/* What a device library exports, under the name ltcDevice_<name>. */
typedef const LtcDeviceApi *(*LtcDeviceEntry)(void);

#ifdef __cplusplus
}
#endif
