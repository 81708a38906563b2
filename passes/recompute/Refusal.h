// SPDX-License-Identifier: Apache-2.0
// What a user reads whose train.memory_budget cannot be met.
#pragma once
#include "passes/recompute/Planner.h"

namespace ltc {

/// An error at the budget's line: the least that would do, the largest tensors
/// at the peak by line of the text, and what would help. Always a failure.
mlir::LogicalResult refuse(mlir::ModuleOp module, Planner &planner,
                           const Budget &budget);

} // namespace ltc
