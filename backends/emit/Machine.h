// SPDX-License-Identifier: Apache-2.0
// From LLVM IR to machine code, and from objects to one file. Sums and products
// are never contracted: FMA stands only where a kernel has it.
#pragma once
#include "backends/Backend.h"
#include "llvm/Support/CodeGen.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/PassManager.h"
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm

namespace ltc {

/// Null, and `problem`, where LLVM has no such code generator.
std::unique_ptr<llvm::TargetMachine>
makeMachine(llvm::StringRef triple, llvm::StringRef cpu,
            llvm::StringRef features, std::string &problem);

/// Adds what takes arithmetic, vectors and structured loops to the LLVM
/// dialect, elementary functions as our polynomials: none of libm or of a
/// vendor's library. Branches stay; `more` adds patterns of a target's own.
void addArithmeticToLlvm(
    mlir::OpPassManager &passes,
    std::function<void(mlir::RewritePatternSet &)> more = {});
/// Adds what takes branches there too, and cleans up.
void addBranchesToLlvm(mlir::OpPassManager &passes);

/// `module` as LLVM IR for `machine`; null: it cannot be translated.
std::unique_ptr<llvm::Module> translate(mlir::Operation *module,
                                        llvm::LLVMContext &context,
                                        const llvm::TargetMachine &machine);

/// LLVM's -O2 without vectorisers: kernels are written in vectors.
void optimise(llvm::Module &module, llvm::TargetMachine &machine, bool unroll);

/// An object, or the text of an assembler.
mlir::FailureOr<std::string> emitCode(mlir::Operation *at, llvm::Module &module,
                                      llvm::TargetMachine &machine,
                                      llvm::CodeGenFileType type);
/// The IR, or that text.
mlir::FailureOr<std::string> listCode(mlir::Operation *at, llvm::Module &module,
                                      llvm::TargetMachine &machine,
                                      Target::Listing listing);

/// Links objects into a shared object without undefined symbols.
mlir::FailureOr<std::vector<char>>
linkShared(mlir::Operation *at, llvm::ArrayRef<std::string> objects);

} // namespace ltc
