// SPDX-License-Identifier: Apache-2.0
// The policy bf16, on functions of a differentiated module.
#pragma once
#include "mlir/IR/BuiltinOps.h"

namespace ltc {

/// Operands of contractions and attentions become bf16, and so does what a
/// weight's contraction gives to more than a sum; casts then move to where
/// they cost least. Optimizers and initial values stay as they are.
void applyBf16(mlir::ModuleOp module);

} // namespace ltc
