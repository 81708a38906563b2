// SPDX-License-Identifier: Apache-2.0
// The code of one contraction; how it works: Contract.cpp.
#pragma once
#include "backends/cpu/target/ContractPlan.h"
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/PointEmitter.h"

namespace ltc::cpu {

inline constexpr int64_t kPackedRows = 64;

class Contract {
  using Value = mlir::Value;

public:
  Contract(KernelOp kernel, mlir::ModuleOp into)
      : kernel(kernel), into(into), emit(kernel.getLoc(), kernel.getContext()) {
  }
  mlir::FailureOr<LoweredKernel> run();

private:
  mlir::LogicalResult plan();
  void chooseBlocks();
  void emitTile(Value tile);
  void packColumns(Value k0, Value kCount, Value n0, Value nEnd);
  void packPanel(Value panel, Value packed, Value k0, Value kCount,
                 int64_t vectors);
  void packTransposed(Value panel, Value packed, Value k0, Value kCount,
                      int64_t vectors);
  void packRows(Value m, int64_t span, Value k0, Value kCount);
  void copyRows(Value m, int64_t span, Value k0, Value kCount);
  /// An operand as packing sees it: how its rows or columns (`across`) and k
  /// lie, and where; or what maps make of the arguments `sources`.
  struct Operand {
    Value value;
    const Axis *across;
    int64_t Axis::*stride;
    Axis::Dims Axis::*dims;
    bool made, places; ///< `places`: see needsPlaces
    llvm::SmallVector<mlir::BlockArgument> sources;
    Value offset, tile; ///< of the tile's outer point; `tile`: not if made
  };
  Operand operandOf(bool isA);
  Value pointerOf(Value argument) {
    return native
        .bindings[mlir::cast<mlir::BlockArgument>(argument).getArgNumber()];
  }
  Value kOffset(const Operand &x, Value k);
  void place(Indices &point, const Operand &x, const Axis &axis, Value position,
             bool lanes);
  Value made(const Operand &x, Value at, Value k, bool alongK, int64_t count,
             Value mask);
  /// `count` elements as f32 or the bits of bf16, from row or column `at` and
  /// element k of the sum on, neighbours along k or across. Masked ones are 0.
  Value elements(const Operand &x, Value at, Value k, bool alongK,
                 int64_t count, Value mask);
  Value loadWords(const Operand &x, Value at, Value k, int64_t count,
                  Value mask);
  /// Asks for the elements of a word kAhead words of k behind word k.
  void prefetchAhead(const Operand &x, Value at, Value k);
  Value loadA(Value aRow, int64_t i, int64_t step, bool half);
  /// Calls body(position, width) for whole steps and for the static remainder.
  void overSteps(Value begin, Value end, int64_t size, int64_t step,
                 std::function<void(Value, int64_t)> body);
  /// The same over rows, whose remainder is static unless they are ragged.
  void overRows(Value begin, Value end, int64_t step,
                std::function<void(Value, int64_t)> body);
  void emitRows(Value m0, int64_t span, Value nEnd, Value k0, Value kCount);
  void emitRegisterTile(Value m, int64_t rows, Value n, int64_t width,
                        Value aBase, Value panel, Value k0, Value kCount);
  llvm::SmallVector<Value> sumOverK(llvm::SmallVector<Value> sums, Value aBase,
                                    Value panel, Value k0, Value kCount,
                                    int64_t rows, int64_t vectors);
  void multiplyAdd(llvm::MutableArrayRef<Value> sums, Value aRow, Value bRow,
                   int64_t rows, int64_t vectors, int64_t unrolled, bool half);
  void finish(Value m, int64_t rows, Value n, int64_t width,
              llvm::ArrayRef<Value> sums);
  bool isVector() const; ///< one row: ContractVector.cpp
  void emitVectorTile(Value nEnd);
  Value splatA(Value k, bool half = false);
  Value addProduct(Value a, Value b, Value sum);
  llvm::SmallVector<Value> sumOfRows(Value n, int64_t width);
  llvm::SmallVector<Value> sumOfColumns(Value n, int64_t width);
  void emitGroups(Value mEnd, Value nEnd);
  void emitProduct(Value m0, Value m1, Value nEnd, Value kBegin, Value kEnd);
  std::pair<Value, Value> rowsOfGroup(Value group);
  Value sum() { return contract->getResult(0); }
  Indices outIndices(Value m, Value n);
  Value sumAddress(Value m, Value n);
  bool rowsPacked() const {
    return plan_.k.back().a != 1 || plan_.k.size() > 1;
  }
  /// Rows that could be read in place but are made: they lie in scratch so.
  bool rowsCopied() const {
    return !mlir::isa<mlir::BlockArgument>(plan_.a) && !rowsPacked();
  }
  /// Rows packed at once: where they are neighbours, a whole cache line and
  /// more of each k, as a k may be a page apart.
  int64_t packedRows() const {
    bool wide = rowsPacked() && plan_.m.a == 1;
    return wide ? std::max(rows, kPackedRows / rows * rows) : rows;
  }
  bool blockedK() const { return kBlock < kWords(); }
  int64_t kWords() const { return llvm::divideCeil(plan_.kSize(), pair); }
  /// The last word of k is half.
  bool oddK() const { return plan_.kSize() % pair != 0; }

  KernelOp kernel;
  mlir::ModuleOp into;
  Emitter emit;
  mlir::Operation *contract = nullptr; ///< plain or grouped
  ContractPlan plan_;
  mlir::Type f32, element;        ///< of sums, of operands
  int64_t pair = 1;               ///< elements of a word
  int64_t vectors = 3, rows = 8;  ///< register tile
  int64_t mBlock, nBlock, kBlock; ///< tile
  int64_t mTiles, nTiles;
  NativeFunction native;
  PointEmitter *points = nullptr;
  Operand aSide, bSide;             ///< at the tile's outer point
  Value packedB, packedA, sums;     ///< in scratch
  Value mBegin, nBegin;             ///< of the tile
  llvm::SmallVector<Value> outerAt; ///< index per outer axis
};

} // namespace ltc::cpu
