// SPDX-License-Identifier: Apache-2.0
#include "ir/interfaces/Working.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "tools/compiler/Targets.h"

using namespace mlir;

namespace ltc {
namespace {

struct CompileKernels : PassWrapper<CompileKernels, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CompileKernels)
  CompileKernels() = default;
  CompileKernels(const CompileKernels &other) : PassWrapper(other) {}

  StringRef getArgument() const override { return "ltc-compile-kernels"; }
  StringRef getDescription() const override {
    return "compiles each ltc.kernel for a target and drops the code";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<amdgpu::AMDGPUDialect, arith::ArithDialect,
                    gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect,
                    memref::MemRefDialect, NVVM::NVVMDialect,
                    ROCDL::ROCDLDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() override {
    for (KernelOp kernel : getOperation().getOps<KernelOp>()) {
      Working::on(kernel);
      std::string problem;
      std::unique_ptr<Target> compiler = createTarget(target, problem);
      if (!compiler) {
        kernel.emitError(problem);
        return signalPassFailure();
      }
      OwningOpRef<ModuleOp> native = ModuleOp::create(kernel.getLoc());
      TimingScope none;
      if (failed(compiler->lower(kernel, *native)) ||
          failed(compiler->link(*native, none)))
        return signalPassFailure();
    }
  }

  Option<std::string> target{*this, "target",
                             llvm::cl::desc("as a spec's target"),
                             llvm::cl::init("cpu")};
};

} // namespace

std::unique_ptr<Pass> createCompileKernelsPass(const std::string &target) {
  auto pass = std::make_unique<CompileKernels>();
  pass->target = target;
  return pass;
}

void registerCompileKernelsPass() { PassRegistration<CompileKernels>(); }

} // namespace ltc
