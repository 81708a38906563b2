// SPDX-License-Identifier: Apache-2.0
// AMD's GPUs: the gpu dialect to ROCDL, LLVM's AMDGPU objects, a code object
// linked by lld. Needs neither ROCm nor its device libraries.
#include "backends/emit/Machine.h"
#include "backends/gpu/target/GpuTarget.h"
#include "backends/hip/target/CodeObject.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"
#include "mlir/Conversion/AMDGPUToROCDL/AMDGPUToROCDL.h"
#include "mlir/Conversion/GPUToROCDL/GPUToROCDLPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Target/LLVMIR/Dialect/ROCDL/ROCDLToLLVMIRTranslation.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace ltc::hip {
namespace {

/// Code object version 5: of ROCm 5.5 and later.
constexpr int kCodeObject = 500;

/// Shuffles become swizzles within 32 threads where the distance is known.
/// Upstream's pass also turns math into calls of OCML; this does not.
struct GpuToRocdl
    : PassWrapper<GpuToRocdl, OperationPass<mlir::gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(GpuToRocdl)
  explicit GpuToRocdl(amdgpu::Chipset chipset) : chipset(chipset) {}
  StringRef getArgument() const override { return "ltc-gpu-to-rocdl"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<amdgpu::AMDGPUDialect, LLVM::LLVMDialect,
                    ROCDL::ROCDLDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet shuffles(&getContext());
    populateGpuPromoteShuffleToAMDGPUPatterns(shuffles, chipset);
    if (failed(applyPatternsGreedily(getOperation(), std::move(shuffles))))
      return signalPassFailure();
    LLVMTypeConverter converter(&getContext());
    amdgpu::populateCommonGPUTypeAndAttributeConversions(converter);
    RewritePatternSet patterns(&getContext());
    populateGpuToROCDLConversionPatterns(
        converter, patterns, mlir::gpu::amd::Runtime::HIP, chipset);
    populateAMDGPUToROCDLConversionPatterns(converter, patterns, chipset);
    ConversionTarget target(getContext());
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    target.addIllegalDialect<mlir::gpu::GPUDialect, amdgpu::AMDGPUDialect>();
    target.addLegalDialect<LLVM::LLVMDialect, ROCDL::ROCDLDialect>();
    target.addLegalOp<mlir::gpu::GPUModuleOp>();
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
  amdgpu::Chipset chipset;
};

class HipTarget : public gpu::GpuTarget {
public:
  explicit HipTarget(const std::string &chip)
      : GpuTarget(chip, "amdgcn-amd-amdhsa", "", 64) {
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTarget();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUAsmPrinter();
  }
  std::string name() const override { return "hip"; }
  bool usable(std::string &problem) {
    auto parsed = amdgpu::Chipset::parse(chip);
    if (failed(parsed)) {
      problem = "'" + chip + "' is no chip of AMD's; gfx942 is one";
      return false;
    }
    chipset = *parsed;
    if (chipset.majorVersion != 9) {
      problem = "chip '" + chip + "': this version of ltc compiles for CDNA "
                "(gfx90a, gfx942, gfx950), whose subgroups have 64 threads";
      return false;
    }
    return knowsChip(problem);
  }

protected:
  std::unique_ptr<Pass> vendorPass() const override {
    return std::make_unique<GpuToRocdl>(chipset);
  }
  void registerTranslation(MLIRContext &context) const override {
    registerROCDLDialectTranslation(context);
  }
  void mark(llvm::Module &module) const override {
    module.addModuleFlag(llvm::Module::Error, "amdhsa_code_object_version",
                         kCodeObject);
  }
  FailureOr<std::vector<char>> assemble(Operation *at, llvm::Module &module,
                                        llvm::TargetMachine &machine,
                                        TimingScope &timing) override {
    auto object =
        emitCode(at, module, machine, llvm::CodeGenFileType::ObjectFile);
    if (failed(object))
      return failure();
    TimingScope linking = timing.nest("link");
    auto linked = linkShared(at, {*object});
    if (succeeded(linked))
      used = readUses({linked->data(), linked->size()});
    return linked;
  }

private:
  amdgpu::Chipset chipset;
};

} // namespace
} // namespace ltc::hip

std::unique_ptr<ltc::Target> ltc::createHipTarget(const std::string &chip,
                                                  std::string &problem) {
  auto target = std::make_unique<hip::HipTarget>(chip);
  return target->usable(problem) ? std::move(target) : nullptr;
}
