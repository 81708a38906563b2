// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "backends/Backend.h"
#include "ir/ops/Ops.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace ltc {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "passes/recompute/Passes.h.inc"

/// With the target's answer to what kernels need of their own; null: nothing.
std::unique_ptr<mlir::Pass> createChooseRecomputePass(Target *target);
} // namespace ltc
