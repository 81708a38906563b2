// SPDX-License-Identifier: Apache-2.0
// What the compiler is at, for the report of a crash: passes and targets name
// the function, op or kernel that they turn to. Nobody listens otherwise.
#pragma once
#include "mlir/IR/Operation.h"
#include <functional>

namespace ltc {

struct Working {
  /// Set before compiling begins, and only when one thread compiles.
  static inline std::function<void(mlir::Operation *)> listener;

  static void on(mlir::Operation *op) {
    if (listener)
      listener(op);
  }
};

} // namespace ltc
