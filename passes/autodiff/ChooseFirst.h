// SPDX-License-Identifier: Apache-2.0
// Prediction reads one position's logits: chooses the row before the product.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ltc {

/// sum[t] where(cond(t), sum[k] x[t, k] * w[v, k], 0) becomes
/// sum[k] (sum[t] where(cond(t), x[t, k], 0)) * w[v, k], so that no value of
/// t times v elements exists (rule 9 of the graph language, for @predict).
void chooseFirst(mlir::func::FuncOp function);

} // namespace ltc
