// SPDX-License-Identifier: Apache-2.0
// Emits the value of a kernel's tensor at one point, or at `width` neighbouring
// points, on demand: maps are inlined into whoever reads them, views become
// address arithmetic. What a value does not depend on, it is hoisted out of.
#pragma once
#include "backends/emit/Emitter.h"
#include "ir/ops/Ops.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include <string>

namespace ltc {

/// Loop levels of a kernel: once per call, per row, per vector of a row.
enum Level : int { kOnce = 0, kRow = 1, kInner = 2 };

/// Position along one dimension: base + offset, and + lane in the lanes' one,
/// whose base is a multiple of their number.
struct Index {
  mlir::Value base; ///< i64; null is zero
  int64_t offset = 0;
  bool lanes = false;
  Level level = kOnce;
  bool operator==(const Index &other) const {
    return base == other.base && offset == other.offset &&
           lanes == other.lanes;
  }
};
using Indices = llvm::SmallVector<Index, 6>;

mlir::Value combine(Emitter &emit, ReduceKind kind, mlir::Value a,
                    mlir::Value b);
/// What `combine` leaves the other operand as it is with; scalar or vector.
mlir::Value identity(Emitter &emit, ReduceKind kind, mlir::Type type);

class PointEmitter {
public:
  /// `pointers[n]`: address of kernel argument n.
  PointEmitter(Emitter &emit, KernelOp kernel,
               llvm::ArrayRef<mlir::Value> pointers)
      : emit(emit), kernel(kernel), pointers(pointers.begin(), pointers.end()) {
  }

  /// Values of `level` and below are emitted before `anchor` from now on; what
  /// was remembered of that level and above is forgotten.
  void enter(Level level, mlir::Operation *anchor);
  /// Forgets the values of the innermost level: a new loop body begins.
  void enterInner(mlir::Value laneMask = nullptr);

  /// `tensor` has this value wherever it is read (a reduced row, a full sum).
  void bind(mlir::Value tensor, mlir::Value scalarOrVector, Level level);

  /// The value of `tensor` at `at`: a scalar, or lanes if it varies by lane.
  mlir::Value evaluate(mlir::Value tensor, const Indices &at);
  /// The same, always as lanes.
  mlir::Value evaluateLanes(mlir::Value tensor, const Indices &at);

  /// Address of `at` in a contiguous tensor of `shape` behind `pointer`, and
  /// the stride of the lanes' dimension (0 if none).
  struct Address {
    mlir::Value pointer;
    int64_t laneStride = 0;
    Level level = kOnce;
    int64_t alignment = 1; ///< in elements
  };
  Address address(mlir::Value pointer, mlir::RankedTensorType type,
                  const Indices &at);
  void store(mlir::Value value, const Address &address);

  /// Why evaluation failed; empty if it did not.
  std::string problem;
  mlir::Value laneMask; ///< lanes to read and write; null: all
  int64_t alignment = 1; ///< of the tensors' first elements, in bytes

private:
  struct Point {
    mlir::Value value;
    Level level = kOnce;
  };
  struct Known {
    mlir::Value tensor;
    Indices at;
    mlir::Value mask;
    Point point;
  };
  Point compute(mlir::Value tensor, const Indices &at);
  Point computeNew(mlir::Value tensor, const Indices &at);
  Point load(mlir::BlockArgument argument, mlir::RankedTensorType type,
             const Indices &at);
  Point computeMap(MapOp map, unsigned result, const Indices &at);
  Point computeJoin(JoinOp join, const Indices &at);
  Point computeReshape(ReshapeOp reshape, const Indices &at);
  std::optional<Indices> beforeSplit(llvm::ArrayRef<int64_t> from,
                                     llvm::ArrayRef<int64_t> to,
                                     const Indices &at);
  Point computeByLane(mlir::Value tensor, const Indices &at);
  bool lanesStayTogether(const Index &index, llvm::ArrayRef<int64_t> sizes);
  Point computeShift(ShiftOp shift, const Indices &at);
  Point computeGather(GatherOp gather, const Indices &at);
  Point inlineOp(mlir::Operation *op, llvm::ArrayRef<Point> operands);
  Point indexPoint(const Index &index);
  mlir::Value first(const Index &index);    ///< i64 of lane 0
  mlir::Value position(const Index &index); ///< i64 scalar or lanes
  Point emitAt(Level level, llvm::function_ref<mlir::Value()> build);
  Point give(std::string why, mlir::Type element);

  Emitter &emit;
  KernelOp kernel;
  llvm::SmallVector<mlir::Value> pointers;
  mlir::Operation *anchors[2] = {nullptr, nullptr}; ///< of kOnce and kRow
  llvm::SmallVector<Known> known[3];
  llvm::DenseMap<mlir::Value, Point> bound;
};

} // namespace ltc
