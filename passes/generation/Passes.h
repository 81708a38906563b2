// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "ir/ops/Ops.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace ltc {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "passes/generation/Passes.h.inc"
} // namespace ltc
