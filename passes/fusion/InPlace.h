// SPDX-License-Identifier: Apache-2.0
// Which value is stored over which: from the binds of the entry functions,
// through calls, down to the op that makes the new value from the old.
#pragma once
#include "ir/ops/Ops.h"
#include "llvm/ADT/DenseMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace ltc {

/// over[v] = u: v takes u's place; u is read no more once v is stored.
struct InPlace {
  llvm::DenseMap<mlir::Value, mlir::Value> over;
};

/// Entry functions: those whose arguments or results have ltc.bind. Where a
/// bound result cannot be made in place, or is not made by the function at
/// all, a copying map is added.
InPlace findInPlace(mlir::ModuleOp module);

} // namespace ltc
