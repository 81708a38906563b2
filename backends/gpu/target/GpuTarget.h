// SPDX-License-Identifier: Apache-2.0
// What the GPU targets share: which algorithm a kernel takes, and the road from
// the gpu dialect to LLVM IR. A vendor adds its dialect and its assembler.
#pragma once
#include "backends/gpu/target/Block.h"

namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm
namespace mlir {
class LLVMTypeConverter;
} // namespace mlir

namespace ltc::gpu {

class GpuTarget : public Target {
public:
  std::string featureLevel() const override { return chip; }
  uint64_t alignment() const override { return kAlignment; }
  mlir::FailureOr<LoweredKernel> lower(KernelOp kernel,
                                       mlir::ModuleOp into) override;
  mlir::FailureOr<LoweredKernel> lowerUnaligned(KernelOp kernel,
                                                mlir::ModuleOp into) override;
  mlir::FailureOr<std::vector<char>> link(mlir::ModuleOp lowered,
                                          mlir::TimingScope &timing) override;
  mlir::FailureOr<std::string> list(mlir::ModuleOp lowered,
                                    Listing listing) override;
  std::vector<KernelUse> uses() const override { return used; }

protected:
  GpuTarget(std::string chip, std::string triple, std::string features,
            int64_t subgroup)
      : chip(std::move(chip)), triple(std::move(triple)),
        features(std::move(features)), machine{subgroup, true} {}
  /// True if LLVM makes code for `chip`.
  bool knowsChip(std::string &problem) const;

  /// Rewrites gpu ops, on a gpu.module, into the vendor's dialect.
  virtual std::unique_ptr<mlir::Pass> vendorPass() const = 0;
  virtual void registerTranslation(mlir::MLIRContext &context) const = 0;
  /// What the vendor's loader wants to read in the module.
  virtual void mark(llvm::Module &) const {}
  /// One binary of the module, and what its functions take (`used`).
  virtual mlir::FailureOr<std::vector<char>>
  assemble(mlir::Operation *at, llvm::Module &module,
           llvm::TargetMachine &machine, mlir::TimingScope &timing) = 0;

  std::string chip, triple, features;
  std::vector<KernelUse> used;

private:
  mlir::FailureOr<LoweredKernel> lowerBy(KernelOp kernel, mlir::ModuleOp into,
                                         const Machine &machine);
  mlir::FailureOr<std::unique_ptr<llvm::TargetMachine>>
  machineFor(mlir::Operation *at) const;
  mlir::FailureOr<mlir::Operation *> toLlvmDialect(mlir::ModuleOp lowered);
  std::unique_ptr<llvm::Module> toLlvm(mlir::Operation *kernels,
                                       llvm::LLVMContext &context,
                                       llvm::TargetMachine &code) const;
  Machine machine;
};

} // namespace ltc::gpu
