// SPDX-License-Identifier: Apache-2.0
// Variants of a block's forward and backward, and which calls use them. Level 0
// keeps what is not cheap to compute again; each further level keeps less. A
// call and its backward are numbered alike, from the first block on.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <optional>
#include <string>

namespace ltc {

/// Attribute of a contraction of a block: its number, in every copy.
inline constexpr const char *kContraction = "ltc.contraction";
/// Attribute of the calls of a block's forward and backward: their number.
inline constexpr const char *kCall = "ltc.call";

/// What is known of a function that is a variant's forward or backward.
struct Variant {
  std::string block;
  int64_t level = 0, levels = 0; ///< of those that the block has
  int64_t outputs = 0;           ///< of the block; what is kept follows them
  /// What the backward takes first: argument i of the forward, or result
  /// -1 - i.
  llvm::SmallVector<int64_t> kept;
  double cost = 0, flops = 0; ///< of one call's work that is done again
};

/// "layer", "layer.recompute1": what ".forward" and ".backward" follow.
std::string variantName(llvm::StringRef block, int64_t level);
void setVariant(mlir::func::FuncOp function, const Variant &variant);
std::optional<Variant> variantOf(mlir::func::FuncOp function);

/// A block's call in `entry`, with its backward.
struct BlockCall {
  mlir::func::CallOp forward, backward;
};
/// By number.
llvm::SmallVector<BlockCall> blockCalls(mlir::func::FuncOp entry);

/// Lets the first `count` numbered calls of `entry`, which call level 0, call
/// `level`, or the last that their block has. False, and nothing is changed, if
/// a variant takes or gives other types.
bool useLevel(mlir::func::FuncOp entry, int64_t count, int64_t level);

} // namespace ltc
