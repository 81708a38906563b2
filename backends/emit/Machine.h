// SPDX-License-Identifier: Apache-2.0
// From LLVM IR to machine code, and from objects to one file. Sums and products
// are never contracted: FMA stands only where a kernel has it.
#pragma once
#include "llvm/Support/CodeGen.h"
#include "mlir/IR/BuiltinOps.h"
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace ltc {

/// Null, and `problem`, where LLVM has no such code generator.
std::unique_ptr<llvm::TargetMachine>
makeMachine(llvm::StringRef triple, llvm::StringRef cpu,
            llvm::StringRef features, std::string &problem);

/// LLVM's -O2 without vectorisers: kernels are written in vectors.
void optimise(llvm::Module &module, llvm::TargetMachine &machine, bool unroll);

/// An object, or the text of an assembler.
mlir::FailureOr<std::string> emitCode(mlir::Operation *at, llvm::Module &module,
                                      llvm::TargetMachine &machine,
                                      llvm::CodeGenFileType type);

/// Links objects into a shared object without undefined symbols.
mlir::FailureOr<std::vector<char>>
linkShared(mlir::Operation *at, llvm::ArrayRef<std::string> objects);

} // namespace ltc
