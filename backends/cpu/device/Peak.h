// SPDX-License-Identifier: Apache-2.0
// Measured ceilings of this processor, by all threads of a pool.
#pragma once
#include "backends/cpu/device/Pool.h"

namespace ltc::cpu {

/// The widest multiply-add that this processor has, and its name.
struct FmaKernel {
  KernelFn kernel;
  const char *name;    ///< avx512, avx2, baseline
  double flopsOfATile; ///< multiply and add counted
};
FmaKernel widestFma();

/// f32 FLOPs a second; takes about 0.1 s.
double measureFlops(Pool &pool);
/// Bytes a second, read and written; takes about 0.2 s.
double measureCopy(Pool &pool);
/// Seconds of a launch of one empty tile per thread; takes about 10 ms.
double measureLaunch(Pool &pool);

} // namespace ltc::cpu
