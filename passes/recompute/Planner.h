// SPDX-License-Identifier: Apache-2.0
// How many bytes a run takes under a choice of what is computed again, and the
// choice of least work that stays below a budget. Kernels are formed already,
// so a choice is tried by planning the program's memory as it will be.
#pragma once
#include "backends/Backend.h"
#include "llvm/ADT/MapVector.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/program/Activations.h"
#include "passes/recompute/Variants.h"
#include <map>

namespace ltc {

/// The first `calls` block calls use `level`; none keeps everything.
struct Choice {
  int64_t level = 0, calls = 0;
};

/// Bytes of a run; `ltc plan` counts alike (its data files apart).
struct Need {
  uint64_t weights = 0, gradients = 0, state = 0;
  uint64_t activations = 0;       ///< of the phase that takes most
  uint64_t workspace = 0, scratch = 0;
  uint64_t inputs = 0;            ///< scalars and outputs too
  uint64_t beside = 0;            ///< what the budget's giver counts itself
  uint64_t before = 0;            ///< all of it, before the program's memory
  std::string phase;              ///< that takes most activations
  /// Resuming maps a file of weights, but is over when activations come.
  uint64_t total() const {
    return std::max(before, fixed() + std::max(activations, weights));
  }
  uint64_t fixed() const {
    return weights + gradients + state + workspace + scratch + inputs + beside;
  }
};

/// train.memory_budget, as the module has it in `ltc.memory_budget`.
struct Budget {
  uint64_t bytes = 0;
  uint64_t beside = 0;  ///< counted on top of the program's own memory
  uint64_t before = 0;  ///< what a run takes before that is touched
  int64_t threads = 1;  ///< each has scratch
  mlir::Location at;    ///< in the spec
};
std::optional<Budget> budgetOf(mlir::ModuleOp module);

class Planner {
public:
  /// Without a target, workspaces and scratch count nothing.
  Planner(mlir::ModuleOp module, Target *target, Budget budget);

  mlir::LogicalResult prepare();
  mlir::FailureOr<Need> need(Choice choice);
  /// The choice of least work that the budget holds; none if none does.
  mlir::FailureOr<std::optional<Choice>> choose();
  /// The choice that needs least, and what it needs.
  mlir::FailureOr<std::pair<Choice, Need>> least();
  /// What lives at once at the worst command of the phase that takes most.
  struct Live {
    uint64_t bytes;
    std::string line, type;
  };
  mlir::FailureOr<std::vector<Live>> worst(Choice choice, std::string &segment);

  int64_t calls() const { return int64_t(costs.size()); }

private:
  struct Own {
    uint64_t workspace = 0, scratch = 0; ///< of a kernel; of a thread
  };
  mlir::FailureOr<FlatPhase> flattened(Choice choice);
  mlir::FailureOr<Own> ownOf(const FlatPhase &flat);
  mlir::FailureOr<Own> ownOf(KernelOp kernel);
  mlir::FailureOr<int64_t> fewest(int64_t level);
  mlir::FailureOr<bool> holds(Choice choice);

  mlir::ModuleOp module;
  Target *target;
  Budget budget;
  artifact::ArtifactT scrap; ///< what the layout describes; not kept
  Layout layout;
  mlir::OwningOpRef<mlir::ModuleOp> probe; ///< kernels lowered for their sizes
  llvm::DenseMap<mlir::Operation *, Own> owns;
  Need others;               ///< of all phases but @accumulate
  Own othersOwn;
  int64_t levels = 0;
  std::vector<std::vector<double>> costs; ///< by call, then level
  std::map<std::pair<int64_t, int64_t>, Need> known;
};

} // namespace ltc
