// SPDX-License-Identifier: Apache-2.0
// Runs whole functions on HostTensors: the oracle of every later stage.
#pragma once
#include "ir/interfaces/HostTensor.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace ltc {

/// Runs func.func (calls, launches of ltc.kernel, every op with evaluate).
/// Values are pure: an in-place result is simply the new value.
class Interpreter {
public:
  explicit Interpreter(mlir::ModuleOp module) : module(module) {}
  /// Fails with a diagnostic if the symbol is missing, arguments do not fit
  /// the signature, or an op has no reference.
  mlir::FailureOr<std::vector<HostTensor>>
  call(llvm::StringRef symbol, llvm::ArrayRef<HostTensor> arguments);
  /// Runs a kernel's body alone.
  mlir::FailureOr<std::vector<HostTensor>>
  run(mlir::Block &body, llvm::ArrayRef<HostTensor> arguments);

private:
  mlir::FailureOr<std::vector<HostTensor>>
  evaluate(mlir::Operation &op, llvm::ArrayRef<const HostTensor *> inputs);
  mlir::ModuleOp module;
};

} // namespace ltc
