// SPDX-License-Identifier: Apache-2.0
// Builds the functions that a step runs from @loss.
#pragma once
#include "passes/autodiff/BlockGradient.h"
#include "passes/autodiff/WideValue.h"
#include <map>
#include <string>

namespace ltc {

/// By the block's name.
using BlockGradients = std::map<std::string, BlockGradient>;

/// @accumulate: loss's arguments, gradients, sums so far, inverse counts and
/// weights -> sums, gradients.
mlir::LogicalResult buildAccumulate(mlir::func::FuncOp loss,
                                    const BlockGradients &blocks,
                                    llvm::ArrayRef<Head> heads,
                                    int64_t chunkBytes);
/// @evaluate: loss's arguments and sums so far -> sums.
mlir::LogicalResult buildEvaluate(mlir::func::FuncOp loss,
                                  llvm::ArrayRef<Head> heads,
                                  int64_t chunkBytes);

} // namespace ltc
