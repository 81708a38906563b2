// SPDX-License-Identifier: Apache-2.0
// Small vocabulary for writing loops and memory accesses of a native kernel.
// All indices are i64; all memory is !llvm.ptr; lanes are vectors of 16.
#pragma once
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <functional>

namespace ltc::cpu {

/// Lanes of a vector register of f32; also the number of partial sums.
inline constexpr int64_t kLanes = 16;

class Emitter : public mlir::ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  mlir::Value i64(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value add(mlir::Value a, int64_t b);
  mlir::Value mul(mlir::Value a, int64_t b);
  mlir::Value div(mlir::Value a, int64_t b); ///< a, b not negative
  mlir::Value rem(mlir::Value a, int64_t b);
  mlir::Value min(mlir::Value a, mlir::Value b);

  /// `count` lanes of `element`.
  static mlir::VectorType lanes(mlir::Type element, int64_t count = kLanes);
  mlir::Value splat(mlir::Value scalar, int64_t count = kLanes);
  mlir::Value zero(mlir::Type type); ///< scalar or vector
  /// Vector of i1 with the first `count` lanes set.
  mlir::Value mask(int64_t count);
  mlir::Value maskBelow(mlir::Value count); ///< i64, run-time

  /// Address of element `index` (i64) of `element`s behind `base`.
  mlir::Value at(mlir::Value base, mlir::Type element, mlir::Value index);
  mlir::Value at(mlir::Value base, mlir::Type element, int64_t index);
  mlir::Value load(mlir::Type type, mlir::Value pointer);
  void store(mlir::Value value, mlir::Value pointer);
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

/// A native kernel function under construction; see Backend.h for its type.
struct NativeFunction {
  mlir::LLVM::LLVMFuncOp function;
  mlir::Value tileBegin, tileEnd, scratch;
  llvm::SmallVector<mlir::Value> bindings; ///< base pointers, loaded once
};

/// Opens `name` in `module`; the emitter then stands inside its entry block,
/// before the return. Callers emit a loop over tiles.
NativeFunction beginNative(Emitter &emit, mlir::ModuleOp module,
                           llvm::StringRef name, int64_t bindings);

/// Bytes of an element as stored.
int64_t bytesOf(mlir::Type element);

} // namespace ltc::cpu
