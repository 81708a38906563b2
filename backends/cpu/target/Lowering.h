// SPDX-License-Identifier: Apache-2.0
// The algorithms of the CPU target, one per kernel form. Each adds native
// functions to `into`, or fails with a diagnostic at the kernel.
#pragma once
#include "backends/Backend.h"
#include "backends/emit/Emitter.h"
#include "backends/emit/Launch.h"

namespace ltc::cpu {

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

mlir::FailureOr<LoweredKernel> lowerPointwise(KernelOp kernel,
                                              mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerContract(KernelOp kernel,
                                             mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerAttention(KernelOp kernel,
                                              mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerScatter(KernelOp kernel,
                                            mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerAppend(KernelOp kernel,
                                           mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerRouting(KernelOp kernel,
                                            mlir::ModuleOp into);
mlir::FailureOr<LoweredKernel> lowerScan(KernelOp kernel, mlir::ModuleOp into);

/// Addresses of the kernel's results among `native`'s bindings.
llvm::ArrayRef<mlir::Value> resultPointers(KernelOp kernel,
                                           const NativeFunction &native);

/// Lowers to machine code and links an ELF shared object without undefined
/// symbols.
/// `bf16`: for CPUs with AVX512-BF16; its instructions may then be used.
mlir::FailureOr<std::vector<char>> linkNative(mlir::ModuleOp module, bool bf16,
                                              mlir::TimingScope &timing);

/// The optimised LLVM IR of what linkNative would compile, in one module, or
/// its assembly.
mlir::FailureOr<std::string> listNative(mlir::ModuleOp module, bool bf16,
                                        Target::Listing listing);

} // namespace ltc::cpu
