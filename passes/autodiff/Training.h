// SPDX-License-Identifier: Apache-2.0
// What differs between training and evaluation: ltc.training and ltc.random.
#pragma once
#include "mlir/IR/BuiltinOps.h"

namespace ltc {

/// ltc.training becomes true; in @evaluate and copies of what it calls it
/// becomes false, and random bits those of 1/2: evaluation draws nothing.
void settleTraining(mlir::ModuleOp module);

} // namespace ltc
