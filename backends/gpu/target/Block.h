// SPDX-License-Identifier: Apache-2.0
// Vocabulary for a GPU kernel, in MLIR's gpu dialect: blocks and their threads,
// barriers, shared memory, sums over a team of threads. Vendors lower it.
#pragma once
#include "backends/Backend.h"
#include "backends/emit/Launch.h"
#include "backends/emit/PointEmitter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace ltc::gpu {

/// Threads among which a shuffle moves values, on every vendor's processor.
inline constexpr int64_t kWarp = 32;
/// Elements that a thread loads at once: 16 bytes of f32.
inline constexpr int64_t kVector = 4;
/// Bytes to which a program's bindings are aligned for vector accesses.
inline constexpr uint64_t kAlignment = 16;

/// What the kernels' algorithms know of the target.
struct Machine {
  int64_t subgroup = 32; ///< threads of a hardware subgroup
  bool aligned = true;   ///< all bindings are, to kAlignment
};

/// A value and how it is combined with those of the other threads.
struct Partial {
  mlir::Value value;
  ReduceKind kind;
};

class Block : public Emitter {
public:
  Block(mlir::Location loc, const Machine &machine);

  /// Opens `launch.symbol` in `into`, with a parameter per binding; what
  /// follows is emitted into its body. Blocks of launch.threads threads.
  void begin(mlir::ModuleOp into, const KernelLaunch &launch);

  mlir::Value block, thread; ///< i64: this block's tile, this thread in it
  llvm::SmallVector<mlir::Value> bindings;

  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b); ///< signed
  mlir::Value less(mlir::Value a, int64_t b);
  mlir::Value isZero(mlir::Value a);
  mlir::Value both(mlir::Value a, mlir::Value b); ///< null is true
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// `value`, or the neutral one where `condition` (null: true) is false.
  mlir::Value where(mlir::Value condition, mlir::Value value, ReduceKind kind);
  /// Stores where `condition` (null: true) holds.
  void guarded(mlir::Value condition, std::function<void()> then);

  void barrier();
  /// `bytes` of the block's shared memory, aligned to 16.
  mlir::Value shared(int64_t bytes);
  /// The lanes of a vector as one value; a scalar is itself.
  mlir::Value fold(mlir::Value value, ReduceKind kind);
  /// Every thread of a team (so many neighbours: a power of two) gets the
  /// team's values combined, in a tree over the threads' numbers that does not
  /// depend on the size of the team where the others hold neutral values.
  /// `again`: this code runs more than once, in a loop.
  llvm::SmallVector<mlir::Value> teamFold(llvm::ArrayRef<Partial> partials,
                                          int64_t team, bool again);
  /// `value` of the thread whose number differs in the bit `distance`, of this
  /// one's warp.
  mlir::Value exchange(mlir::Value value, int64_t distance);
  /// Whether this thread's number has the bit `distance`.
  mlir::Value hasBit(int64_t distance);

  mlir::Value real(double value); ///< f32
  /// Element `index` of i32s behind `base`, as i64.
  mlir::Value loadIndex(mlir::Value base, mlir::Value index);
  void storeIndex(mlir::Value value, mlir::Value base, mlir::Value index);
  mlir::Value clamp(mlir::Value value, int64_t low, int64_t high);

private:
  mlir::Value butterfly(Partial partial, int64_t threads);

  const Machine &machine;
  mlir::gpu::GPUModuleOp module;
  std::string symbol;
  int64_t threads = 0;
  int sharedCount = 0;
};

/// Elements of a shape, row by row, as vectors that threads take in turn.
struct Spread {
  explicit Spread(llvm::ArrayRef<int64_t> sizes);
  llvm::SmallVector<int64_t> sizes;
  int64_t width = 1;   ///< lanes of a vector
  int64_t vectors = 1; ///< of the whole shape
  /// Where vector number `vector` begins, as a point; `level` is its own.
  Indices point(Block &emit, mlir::Value vector, Level level) const;
};

/// Rows of `count` elements as vectors, wherever they begin.
struct RowVectors {
  RowVectors(const Machine &machine, mlir::Type element, int64_t count);
  mlir::Type element;
  int64_t width = 1, vectors, alignment = 1;
  mlir::Type type() const; ///< of one
  mlir::Value load(Block &emit, mlir::Value base, mlir::Value row,
                   mlir::Value vector) const;
  void store(Block &emit, mlir::Value value, mlir::Value base, mlir::Value row,
             mlir::Value vector) const;

private:
  mlir::Value place(Block &emit, mlir::Value base, mlir::Value row,
                    mlir::Value vector) const;
};

/// A tensor that a kernel stores, or one part of a stored join.
struct Stored {
  mlir::Value tensor, pointer;
  mlir::RankedTensorType type; ///< of the whole result
  int64_t dim = -1, offset = 0; ///< where the part lies in it

  void store(PointEmitter &points, mlir::Value value, const Indices &at) const;
};
/// `tensor` behind `pointer`; the parts of a join apart, so that no thread asks
/// which part it stores.
llvm::SmallVector<Stored> partsOf(mlir::Value tensor, mlir::Value pointer,
                                  size_t rows);

/// A reduction over a kernel's rows, or over everything: each team leaves one
/// row of partial sums in a workspace, a second launch adds them in order.
struct FinalSum {
  ReduceOp reduce;
  int64_t rows = 0;   ///< of the workspace
  int64_t stride = 0; ///< elements from row to row
};
bool isFinal(mlir::Value tensor, llvm::ArrayRef<ReduceOp> finalReduces);
/// Adds the second launch.
mlir::LogicalResult lowerFinish(KernelOp kernel, mlir::ModuleOp into,
                                const Machine &machine,
                                llvm::ArrayRef<FinalSum> sums,
                                LoweredKernel &lowered);

/// Symbols are words for every assembler: no dots.
std::string symbolOf(KernelOp kernel, const Machine &machine);
/// A launch with the kernel's arguments, results and `workspaces`.
KernelLaunch launchOf(KernelOp kernel, std::string symbol, int64_t tiles,
                      int threads, int64_t workspaces);
/// Fails at the kernel if `problem` says something.
mlir::LogicalResult checked(KernelOp kernel, const std::string &problem);

/// One kernel's algorithms; each adds functions to `into` or fails with a
/// diagnostic at the kernel.
mlir::FailureOr<LoweredKernel> lowerFlat(KernelOp kernel, mlir::ModuleOp into,
                                         const Machine &machine);
mlir::FailureOr<LoweredKernel> lowerRows(KernelOp kernel, mlir::ModuleOp into,
                                         const Machine &machine);
mlir::FailureOr<LoweredKernel> lowerScatter(KernelOp kernel,
                                            mlir::ModuleOp into,
                                            const Machine &machine);
mlir::FailureOr<LoweredKernel> lowerScan(KernelOp kernel, mlir::ModuleOp into,
                                         const Machine &machine);
/// ltc.append, ltc.dispatch, ltc.combine.
mlir::FailureOr<LoweredKernel> lowerMove(KernelOp kernel, mlir::ModuleOp into,
                                         const Machine &machine);
/// ltc.top_k, ltc.route.
mlir::FailureOr<LoweredKernel> lowerChoice(KernelOp kernel,
                                           mlir::ModuleOp into,
                                           const Machine &machine);

} // namespace ltc::gpu
