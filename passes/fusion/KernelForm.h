// SPDX-License-Identifier: Apache-2.0
// What a set of ops is as one kernel: its form and its split of the index
// space into rows (P..) and what a row holds (R..). Fusion asks before it
// merges; a target asks what it is given.
#pragma once
#include "ir/ops/Build.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>
#include <string>

namespace ltc {

enum class KernelKind {
  Contract,
  Attention,
  Gather,
  Scatter,
  Routing,
  Scan,
  Append,
  Pointwise
};
llvm::StringRef kernelKindName(KernelKind kind);

struct KernelForm {
  KernelKind kind = KernelKind::Pointwise;
  /// Contract only: maps that make its operands while it reads them.
  llvm::SetVector<mlir::Operation *> onTheWay;
  /// Pointwise only: sizes of P, the dimensions that all values share.
  llvm::SmallVector<int64_t> rows;
  /// Pointwise only, in body order: over R.. of each row.
  llvm::SmallVector<ReduceOp> rowReduces;
  /// Pointwise only: over P.., or over everything; these only leave.
  llvm::SmallVector<ReduceOp> finalReduces;
};

/// The form of `ops` (in order of definition) as a kernel with `results`;
/// nothing, and `why`, where no form holds them.
std::optional<KernelForm> analyseKernel(llvm::ArrayRef<mlir::Operation *> ops,
                                        llvm::ArrayRef<mlir::Value> results,
                                        std::string &why);
std::optional<KernelForm> analyseKernel(KernelOp kernel, std::string &why);

/// True for a pointwise kernel that one loop over all elements does: every map
/// reads element i to make element i, or a scalar.
bool isFlat(KernelOp kernel);
/// The row reductions by stages: one reads what earlier stages have reduced.
llvm::SmallVector<llvm::SmallVector<ReduceOp>>
rowStages(llvm::ArrayRef<ReduceOp> rowReduces);

/// A layout's no-op: reshape, or a slice of the outermost dimension.
bool isView(mlir::Operation *op);
/// True if all dimensions before `dim` have one element.
bool isOutermost(llvm::ArrayRef<int64_t> shape, int64_t dim);

} // namespace ltc
