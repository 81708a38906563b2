// SPDX-License-Identifier: Apache-2.0
// The second look at a compilation that crashed: one thread, and before each
// step what it is at and a file that replays it, left where the crash of this
// process does not reach. `ltc` reports them.
#pragma once
#include "mlir/Pass/PassManager.h"
#include "runtime/base/Compiler.h"

namespace ltc {

class Trail {
public:
  /// Follows the compilation of `request`, if that asks for it.
  explicit Trail(const LtcCompileRequest &request);
  ~Trail();

  bool follows() const { return request.reproducer; }
  /// For what is neither a pass nor in one.
  void at(const std::string &what);
  /// Every pass of `passes`, the functions, ops and kernels inside it.
  void watch(mlir::PassManager &passes);
  /// Compiles the kernels of a module for `target`, one by one. A kernel that
  /// crashes is then alone in the reproducer.
  mlir::LogicalResult tryKernels(mlir::ModuleOp module,
                                 const std::string &target);

private:
  class Watcher;
  void enter(mlir::Pass &pass, mlir::Operation *op);
  void say(mlir::Operation *op, const std::string &what);
  void write(mlir::Operation *op, const std::string &pipeline);

  const LtcCompileRequest &request;
  std::string pass; ///< that runs
};

} // namespace ltc
