// SPDX-License-Identifier: Apache-2.0
// What every target says of a kernel's launches.
#pragma once
#include "backends/Backend.h"

namespace ltc {

/// What the kernel yields.
mlir::OperandRange yields(KernelOp kernel);
/// Bindings of a launch that takes the kernel's arguments and results as they
/// are: 0, 1, ..., then workspaces -1, -2, ...
std::vector<int> plainBindings(KernelOp kernel, int64_t workspaces = 0);
/// Bytes of the tensors that the kernel reads and writes.
void countBytes(KernelOp kernel, KernelLaunch &launch);

} // namespace ltc
