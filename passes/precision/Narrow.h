// SPDX-License-Identifier: Apache-2.0
// Casts between f32 and bf16 as ops, and their way through calls.
#pragma once
#include "ir/ops/Ops.h"
#include "mlir/IR/BuiltinOps.h"

namespace ltc {

/// What f32 `value` was widened from; null if it was not.
mlir::Value widenedFrom(mlir::Value value);
/// `value` in bf16: what it was widened from, or one cast where it is made.
/// What only regroups elements is built again in bf16.
mlir::Value narrow(mlir::Value value);
/// bf16 `value` in f32, made right after it.
mlir::Value widen(mlir::Value value);
/// Erases ops without effect and use, last first.
void eraseUnused(mlir::Block &body);

/// Moves casts out of functions and into them until no more can be: an
/// argument that is only read in bf16 is given in bf16 (so a weight is cast
/// once, by the caller), a result that was widened leaves before that.
void narrowAcrossCalls(mlir::ModuleOp module);

} // namespace ltc
