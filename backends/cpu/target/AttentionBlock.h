// SPDX-License-Identifier: Apache-2.0
// What attention and its gradient share. Letters: ir/ops/Attention.td.
//
// A row is one query (t, r) of a batch element and kv head, counted t * R + r.
// Rows lie in the lanes: scores are kept transposed, [u][row], so a softmax
// needs no sum across lanes and neither keys nor values are packed, unless they
// are bf16 or made on the way (rotated): then a block of them at a time is.
#pragma once
#include "backends/cpu/target/BlockMath.h"
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/PointEmitter.h"
#include "ir/ops/Attention.h"
#include <memory>

namespace ltc::cpu {

/// Rows of a block, and their vectors.
inline constexpr int64_t kRows = 64, kRowVectors = kRows / kLanes;

/// A value that a region reads: one per row, one per key, or one per pair of
/// them (by distance, or by key and query head).
enum class ExtraKind { Row, Key, Pair };

/// An attention or attention_grad with its sizes.
struct AttentionForm {
  mlir::Operation *op;
  mlir::Value query, key, value;
  mlir::OperandRange extras;
  llvm::SmallVector<mlir::AffineMap> maps; ///< of extras, from (b, g, r, t, u)
  mlir::Value sink; ///< null: none
  mlir::Value offset; ///< position of the first query; null: 0
  mlir::Region *keep;
  /// Yields the score, of a gradient also its derivatives by s and by the
  /// extras of `extraGrads`; null: the identity.
  std::shared_ptr<mlir::Region> score;
  llvm::ArrayRef<int64_t> extraGrads;
  mlir::Type element; ///< of query, key, value, out and dOut
  float scale;
  int64_t batches, queries, keys, groups, repeats, size, valueSize;
  int64_t keyBlock; ///< keys of a block
  int64_t vectors = kRowVectors; ///< of a block that hold rows
  KeepBounds bounds;

  ExtraKind extraKind(unsigned extra) const;
  int64_t rows() const { return queries * repeats; }
  int64_t lanesUsed() const { return vectors * kLanes; }
  int64_t rowBlocks() const { return llvm::divideCeil(rows(), kRows); }
  int64_t querySize() const { return groups * repeats * size; } ///< a t apart
  int64_t outSize() const { return groups * repeats * valueSize; }
};

/// What `tensor` is a regrouping of: the same elements in the same order.
mlir::Value throughReshapes(mlir::Value tensor);
/// True if the kernel makes `tensor` from its arguments, point by point.
inline bool isMade(mlir::Value tensor) {
  return !mlir::isa<mlir::BlockArgument>(throughReshapes(tensor));
}
/// Reads the op; fails with a diagnostic if the target cannot do it.
mlir::FailureOr<AttentionForm> attentionForm(KernelOp kernel);

/// The code of one kernel: addresses, row blocks, masks.
class AttentionEmitter {
public:
  AttentionEmitter(Emitter &emit, KernelOp kernel, const AttentionForm &form,
                   const NativeFunction &native);

  /// Address of an operand of the op, of a result (null if it is not wanted).
  mlir::Value operand(mlir::Value tensor);
  mlir::Value result(unsigned number) { return results[number]; }

  /// Stands at (batch, group) from now on.
  void enterHead(mlir::Value batch, mlir::Value group);
  /// batch * groups + group.
  mlir::Value headNumber();
  /// Notes what the rows of the block from `first` read.
  void enterRows(mlir::Value first);
  /// A loop over the blocks of keys that some row of the block keeps.
  /// `count`: keys in it, at most keyBlock.
  void overKeys(std::function<void(mlir::Value from, mlir::Value count)> body);

  /// Address of row `row` (i64, in the block; clamped to a real one) of a
  /// tensor (b,t,g,r,width) of `element`s behind `base`.
  mlir::Value rowAddress(mlir::Value base, mlir::Value row, int64_t width,
                         mlir::Type element);
  /// i1: is `row` of the block a row at all?
  mlir::Value isRow(mlir::Value row);
  /// Address of key u = 0 of a tensor (b,u,g,width) at the head.
  mlir::Value keyAddress(mlir::Value base, int64_t width, mlir::Type element);
  /// Keys [from, from + count) of an operand (b,u,g,width) in f32, `stride`
  /// apart: where they lie, or widened or made into `room`.
  struct Keys {
    mlir::Value base;
    int64_t stride;
  };
  Keys keys(mlir::Value tensor, int64_t width, mlir::Value from,
            mlir::Value count, mlir::Value room);
  /// Scratch for the `keys` of one of `tensors` at a time; null if none is
  /// needed.
  mlir::Value takeRoom(llvm::ArrayRef<mlir::Value> tensors);
  int64_t keyStride(int64_t width) { return form.groups * width; }

  /// rows[row][e] of an operand (b,t,g,r,width) times `factor`: into
  /// columns[e][row], and if `copy` is given into copy[row][e], whose rows are
  /// padded with zeros to whole vectors. An operand that is made needs a copy.
  void packRows(mlir::Value tensor, float factor, mlir::Value columns,
                mlir::Value copy);
  /// columns[e][row] times scale[row] (if given) and `factor` into the rows.
  void storeRows(mlir::Value columns, mlir::Value scale, float factor,
                 mlir::Value base, int64_t width, mlir::Type element);

  /// Lanes of i1: is key `u` (i64) kept by the rows of `vector`?
  /// Null: every key is.
  mlir::Value keeps(mlir::Value u, int64_t vector);
  /// Lanes of what form.score yields at key `u` for the raw score `s`.
  llvm::SmallVector<mlir::Value> scored(mlir::Value s, mlir::Value u,
                                        int64_t vector);
  /// Lanes of the rows' sinks.
  mlir::Value sinks(int64_t vector);

  /// Rows of the block that are rows: i64, at most kRows.
  mlir::Value rowCount();
  /// [key of the block][row] of an extra of kind Pair.
  mlir::Value pairs(unsigned extra) { return pairExtras[extra]; }
  /// Address of an extra's element in its gradient `base` for row `row` (null
  /// if of kind Key) and key `u` (null if of kind Row).
  mlir::Value gradAddress(unsigned extra, mlir::Value base, mlir::Value row,
                          mlir::Value u);

  /// Why an operand could not be made; empty if it could.
  const std::string &problem() const { return points.problem; }

  Scratch scratch;

private:
  /// to[e] = f32 of `tensor` at `at` and e, times `factor`, with the padding.
  void makeRow(mlir::Value tensor, llvm::ArrayRef<mlir::Value> at, float factor,
               mlir::Value to);
  void makeRows(mlir::Value tensor, float factor, mlir::Value copy);
  /// `t` is a position.
  mlir::Value extraIndex(unsigned extra, mlir::Value r, mlir::Value t,
                         mlir::Value u, bool gradient = false);
  mlir::Value positionOf(mlir::Value row); ///< of a row of the head
  void noteRow(mlir::Value row);
  void notePairs(mlir::Value from, mlir::Value count);
  llvm::SmallVector<mlir::Value> run(mlir::Block &body, mlir::Value s,
                                     mlir::Value u, int64_t vector);
  mlir::Value extraAt(unsigned extra, mlir::Value u, int64_t vector);
  mlir::Value indexAt(int64_t dim, mlir::Value u, int64_t vector);
  mlir::Value wide(mlir::Value base, mlir::Value row); ///< i64 of an i32

  Emitter &emit;
  const AttentionForm &form;
  PointEmitter points;
  llvm::SmallVector<mlir::Value> arguments, results;
  mlir::Value batch, group, firstRow, firstKey;
  mlir::Value rowT, rowR; ///< i32 per row of the block: position, r
  mlir::Value offset;     ///< i64; null: 0
  mlir::Value rowSinks;
  /// By extra, null where it is of another kind: [row], [key][row].
  llvm::SmallVector<mlir::Value> rowExtras, pairExtras;
};

/// Elements of a row of `width` with its padding.
inline int64_t paddedWidth(int64_t width) {
  return int64_t(llvm::alignTo(width, kLanes));
}

mlir::FailureOr<LoweredKernel> lowerAttentionForward(KernelOp kernel,
                                                     mlir::ModuleOp into,
                                                     const AttentionForm &form);
mlir::FailureOr<LoweredKernel>
lowerAttentionBackward(KernelOp kernel, mlir::ModuleOp into,
                       const AttentionForm &form);

} // namespace ltc::cpu
