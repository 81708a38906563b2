// SPDX-License-Identifier: Apache-2.0
// Which ops of a function body become one kernel.
#pragma once
#include "passes/fusion/InPlace.h"
#include "passes/fusion/KernelForm.h"
#include <vector>

namespace ltc {

/// Ops in order of definition. A fixed group is one op that stays as it is: a
/// call, a view, the function's return.
struct Group {
  llvm::SmallVector<mlir::Operation *> ops;
  bool fixed = false;
  KernelForm form;
};

/// One line of the fusion report: `reader` did not join what makes its input.
struct Refusal {
  mlir::Location reader, producer;
  std::string why;
};

class Groups {
public:
  Groups(mlir::Block &body, const InPlace &inPlace);
  /// Merges readers into producers, then neighbours that read the same value;
  /// without `fuse` each op stays alone, but for what a scatter adds to.
  mlir::LogicalResult form(bool fuse);
  /// In an order where every group comes after what it needs.
  mlir::FailureOr<std::vector<Group>> sorted();

  std::vector<Refusal> refusals;

private:
  mlir::LogicalResult formSingles();
  void mergeAccumulators();
  void mergeProducers(mlir::Operation *op);
  void mergeSiblings();
  bool tryMerge(unsigned a, unsigned b, std::string &why,
                llvm::ArrayRef<mlir::Operation *> between = {});
  mlir::Operation *regrouped(mlir::Operation *reader, mlir::Operation *def);
  bool worthMerging(llvm::ArrayRef<mlir::Operation *> ops,
                    const KernelForm &form, unsigned reader, std::string &why);
  bool staysInPlace(llvm::ArrayRef<mlir::Operation *> ops,
                    const KernelForm &form, std::string &why);
  bool makesCycle(llvm::ArrayRef<unsigned> merged);
  llvm::SmallVector<unsigned> successors(unsigned group);
  llvm::SmallVector<mlir::Operation *>
  readers(mlir::Value value, bool throughViews);
  mlir::Operation *inBody(mlir::Operation *op);

  mlir::Block &body;
  const InPlace &inPlace;
  llvm::DenseMap<mlir::Operation *, unsigned> position;
  llvm::DenseMap<mlir::Operation *, unsigned> groupOf;
  /// over[v] = u turned around: what takes u's place.
  llvm::DenseMap<mlir::Value, llvm::SmallVector<mlir::Value, 1>> takers;
  std::vector<Group> groups;
};

/// Values that `ops` make and something else reads, in order.
llvm::SmallVector<mlir::Value>
resultsOf(llvm::ArrayRef<mlir::Operation *> ops);
/// The group input that `value` is stored over; null if it is fresh.
mlir::Value baseInput(mlir::Value value,
                      llvm::ArrayRef<mlir::Operation *> ops,
                      const InPlace &inPlace);

} // namespace ltc
