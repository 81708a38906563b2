// SPDX-License-Identifier: Apache-2.0
// A step along time: a chunk of times behind those that caches remember.
#pragma once
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include <string>

namespace ltc {

/// The dimension of a value that counts times, `each` elements for one. dim -1:
/// the value is the same at all times.
struct TimeDim {
  int64_t dim = -1, each = 1;
  explicit operator bool() const { return dim >= 0; }
  bool operator==(const TimeDim &) const = default;
};

/// What an op sees of the step when it goes on (Incremental.td).
class TimeStep {
public:
  TimeStep(mlir::OpBuilder &builder, int64_t chunk, int64_t length)
      : builder(builder), chunk(chunk), length(length) {}
  virtual ~TimeStep() = default;

  mlir::OpBuilder &builder;
  int64_t chunk;  ///< times of the step
  int64_t length; ///< times at most, those of the whole op
  mlir::Value past; ///< tensor<i32>: times before the step
  /// Of the op: its operands at the step's times, and where they count them.
  llvm::SmallVector<mlir::Value> operands;
  llvm::SmallVector<TimeDim> times;
  /// Where the results count times; the op fills it.
  llvm::SmallVector<TimeDim> results;
  std::string why; ///< it does not go on

  /// A value that the step before left: zeros before the first.
  virtual mlir::Value cache(mlir::RankedTensorType type,
                            llvm::StringRef name) = 0;
  /// What the next step finds in a cache; said once for each.
  virtual void keep(mlir::Value cache, mlir::Value next) = 0;
  /// The step's times along `dim` of a value that has all of them, because no
  /// input makes it. Null: there is no way.
  virtual mlir::Value sliceOf(mlir::Value whole, int64_t dim) = 0;

  mlir::FailureOr<llvm::SmallVector<mlir::Value>> refuse(const char *reason) {
    why = reason;
    return mlir::failure();
  }
  /// `whole` with the step's times along `time`.
  mlir::RankedTensorType typeOf(mlir::Type whole, TimeDim time) const;
  /// `op` on the step's operands; its results count times as `results` says.
  llvm::SmallVector<mlir::Value> again(mlir::Operation *op);
  /// The same for an op whose times are independent by its factors.
  mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  pointwise(mlir::Operation *op);
};

} // namespace ltc
