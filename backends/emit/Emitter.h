// SPDX-License-Identifier: Apache-2.0
// Small vocabulary for writing loops and memory accesses of a kernel, for every
// target. All indices are i64; all memory is !llvm.ptr of some address space.
#pragma once
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <functional>

namespace ltc {

/// Lanes of a vector register of f32 on the CPU; also its partial sums' number.
inline constexpr int64_t kLanes = 16;

class Emitter : public mlir::ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  /// Lanes of the vectors that hold values at neighbouring points.
  int64_t width = kLanes;
  /// A masked or strided access of a vector is one instruction. Where it is
  /// not, lanes that need one are made one by one.
  bool masksMemory = true;
  mlir::VectorType wide(mlir::Type element) const {
    return lanes(element, width);
  }
  mlir::Value iota(int64_t step = 1); ///< 0, step, .. in `width` lanes of i64
  mlir::Value extract(mlir::Value vector, int64_t lane);
  mlir::Value pack(llvm::ArrayRef<mlir::Value> lanes); ///< scalars as a vector

  mlir::Value i64(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value add(mlir::Value a, int64_t b);
  mlir::Value mul(mlir::Value a, int64_t b);
  mlir::Value div(mlir::Value a, int64_t b); ///< a, b not negative
  mlir::Value rem(mlir::Value a, int64_t b);
  mlir::Value min(mlir::Value a, mlir::Value b);

  /// `count` lanes of `element`.
  static mlir::VectorType lanes(mlir::Type element, int64_t count = kLanes);
  mlir::Value splat(mlir::Value scalar); ///< in `width` lanes
  mlir::Value zero(mlir::Type type); ///< scalar or vector
  /// Vector of i1 with the first `count` lanes set.
  mlir::Value mask(int64_t count);
  /// `count` is an i64, known at run time.
  mlir::Value maskBelow(mlir::Value count, int64_t lanes = kLanes);

  /// Address of element `index` (i64) of `element`s behind `base`.
  mlir::Value at(mlir::Value base, mlir::Type element, mlir::Value index);
  mlir::Value at(mlir::Value base, mlir::Type element, int64_t index);
  /// bf16 is moved as bits: memory ops on it are not legal everywhere.
  /// `alignment` in elements.
  mlir::Value load(mlir::Type type, mlir::Value pointer, int64_t alignment = 1);
  void store(mlir::Value value, mlir::Value pointer, int64_t alignment = 1);
  mlir::Value bitcast(mlir::Value value, mlir::Type type);
  mlir::Value loadMasked(mlir::VectorType type, mlir::Value pointer,
                         mlir::Value mask);
  /// Asks for the cache line at `pointer`, which need not exist.
  void prefetch(mlir::Value pointer);
  void storeMasked(mlir::Value value, mlir::Value pointer, mlir::Value mask);
  /// Lane l reads element l * stride behind `pointer`; mask may be null.
  mlir::Value loadStrided(mlir::VectorType type, mlir::Value pointer,
                          int64_t stride, mlir::Value mask);
  mlir::Value shuffle(mlir::Value a, mlir::Value b,
                      llvm::ArrayRef<int32_t> picks);
  /// Transposes 16 vectors of 16 lanes in registers.
  void transpose16(llvm::MutableArrayRef<mlir::Value> rows);

  /// for (i = lo; i < hi; i += step) with carried values.
  using Body = std::function<llvm::SmallVector<mlir::Value>(
      mlir::Value, mlir::ValueRange)>;
  llvm::SmallVector<mlir::Value> loop(mlir::Value lo, mlir::Value hi,
                                      int64_t step, mlir::ValueRange carried,
                                      Body body);
  void loop(mlir::Value lo, mlir::Value hi, int64_t step,
            std::function<void(mlir::Value)> body);
  void loop(int64_t lo, int64_t hi, int64_t step,
            std::function<void(mlir::Value)> body);
  void ifThen(mlir::Value condition, std::function<void()> then);

  /// Sum (max, min) of the lanes of `vector` by a fixed halving tree.
  mlir::Value foldLanes(
      mlir::Value vector,
      llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
};

/// Bytes of an element as stored.
int64_t bytesOf(mlir::Type element);

} // namespace ltc
