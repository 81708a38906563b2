// SPDX-License-Identifier: Apache-2.0
#include "backends/emit/ScanCases.h"
#include "backends/cpu/target/KernelRunner.h"

namespace ltc {
INSTANTIATE_TYPED_TEST_SUITE_P(Cpu, Scan, cpu::KernelRunner);
} // namespace ltc
