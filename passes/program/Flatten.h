// SPDX-License-Identifier: Apache-2.0
// Walks a phase's function through its calls into flat commands on storages.
#pragma once
#include "llvm/ADT/DenseMap.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/fusion/KernelForm.h"
#include "passes/program/Layout.h"
#include <vector>

namespace ltc {

/// Memory of one value or, joined, of several.
struct Storage {
  uint64_t bytes = 0;
  artifact::DType dtype = artifact::DType::f32;
  std::vector<int64_t> shape;
  std::string name, line;
  int64_t buffer = -1;   ///< of the layout; -1: an activation to be placed
  int64_t parent = -1;   ///< lies inside this storage, at `offset`
  uint64_t offset = 0;
  unsigned version = 0;  ///< how often it was stored over
};

/// Where a value lies. Stale once its storage has a newer version.
struct Place {
  int64_t storage = -1;
  uint64_t offset = 0;
  unsigned version = 0;
};

struct FlatCommand {
  KernelOp kernel;
  std::vector<Place> places; ///< inputs, then results
  std::string segment, line;
};

struct FlatPhase {
  std::vector<Storage> storages;
  std::vector<FlatCommand> commands;
  std::vector<artifact::InputT> inputs;

  /// The storage that holds `place` in the end, and the offset in it.
  Place resolve(Place place) const;
};

mlir::FailureOr<FlatPhase> flatten(mlir::func::FuncOp function, Layout &layout);

} // namespace ltc
