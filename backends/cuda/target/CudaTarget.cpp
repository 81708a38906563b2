// SPDX-License-Identifier: Apache-2.0
// NVIDIA's GPUs: the gpu dialect to NVVM, LLVM's PTX, ptxas' cubin.
#include "backends/cuda/target/Ptxas.h"
#include "backends/emit/Machine.h"
#include "backends/gpu/target/GpuTarget.h"
#include "llvm/Support/TargetSelect.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"

using namespace mlir;

namespace ltc::cuda {
namespace {

/// Upstream's pass also turns math into calls of libdevice; this does not.
struct GpuToNvvm
    : PassWrapper<GpuToNvvm, OperationPass<mlir::gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(GpuToNvvm)
  StringRef getArgument() const override { return "ltc-gpu-to-nvvm"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect, NVVM::NVVMDialect>();
  }
  void runOnOperation() override {
    LLVMTypeConverter converter(&getContext());
    configureGpuToNVVMTypeConverter(converter);
    RewritePatternSet patterns(&getContext());
    populateGpuToNVVMConversionPatterns(converter, patterns);
    ConversionTarget target(getContext());
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    target.addIllegalDialect<mlir::gpu::GPUDialect>();
    target.addLegalDialect<LLVM::LLVMDialect, NVVM::NVVMDialect>();
    target.addLegalOp<mlir::gpu::GPUModuleOp>();
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
};

/// PTX as old as the chip allows: more drivers then take it.
std::string ptxOf(const std::string &chip) {
  int number = 0;
  StringRef(chip).drop_front(std::min<size_t>(3, chip.size()))
      .consumeInteger(10, number);
  return number >= 100 ? "+ptx87" : "+ptx80";
}

class CudaTarget : public gpu::GpuTarget {
public:
  explicit CudaTarget(const std::string &chip)
      : GpuTarget(chip, "nvptx64-nvidia-cuda", ptxOf(chip), 32) {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  }
  std::string name() const override { return "cuda"; }
  bool usable(std::string &problem) const {
    if (!StringRef(chip).starts_with("sm_")) {
      problem = "'" + chip + "' is no chip of NVIDIA's; sm_90 is one";
      return false;
    }
    return knowsChip(problem);
  }

protected:
  std::unique_ptr<Pass> vendorPass() const override {
    return std::make_unique<GpuToNvvm>();
  }
  void registerTranslation(MLIRContext &context) const override {
    registerNVVMDialectTranslation(context);
  }
  FailureOr<std::vector<char>> assemble(Operation *at, llvm::Module &module,
                                        llvm::TargetMachine &machine,
                                        TimingScope &timing) override {
    auto ptx =
        emitCode(at, module, machine, llvm::CodeGenFileType::AssemblyFile);
    if (failed(ptx))
      return failure();
    TimingScope assembling = timing.nest("ptxas");
    std::string problem;
    auto cubin = runPtxas(*ptx, chip, used, problem);
    if (!cubin)
      return at->emitError() << problem;
    return std::move(*cubin);
  }
};

} // namespace
} // namespace ltc::cuda

std::unique_ptr<ltc::Target> ltc::createCudaTarget(const std::string &chip,
                                                   std::string &problem) {
  auto target = std::make_unique<cuda::CudaTarget>(chip);
  return target->usable(problem) ? std::move(target) : nullptr;
}
