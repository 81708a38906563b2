// SPDX-License-Identifier: Apache-2.0
#include "backends/gpu/target/GpuTarget.h"
#include "backends/emit/Machine.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Target/TargetMachine.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "passes/fusion/KernelForm.h"

using namespace mlir;

namespace ltc::gpu {
namespace {

/// A kernel for which there is no algorithm yet: named, so that the artifact
/// says what it lacks.
LoweredKernel missing(KernelOp kernel, KernelKind kind) {
  KernelLaunch launch =
      launchOf(kernel, kernel.getSymName().str(), 1, 0, 0);
  launch.missing = kernelKindName(kind).str() +
                   " kernels are not lowered to GPUs yet";
  return {{launch}, {}};
}

} // namespace

FailureOr<LoweredKernel> GpuTarget::lowerBy(KernelOp kernel, ModuleOp into,
                                            const Machine &by) {
  kernel.getContext()
      ->loadDialect<arith::ArithDialect, mlir::gpu::GPUDialect,
                    LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  std::string why;
  auto form = analyseKernel(kernel, why);
  if (!form)
    return kernel.emitError("no form holds this kernel: ") << why;
  switch (form->kind) {
  case KernelKind::Contract:
  case KernelKind::Attention:
    return missing(kernel, form->kind);
  case KernelKind::Routing:
    if (isa<TopKOp, RouteOp>(kernel.getBody().front().front()))
      return lowerChoice(kernel, into, by);
    return lowerMove(kernel, into, by);
  case KernelKind::Append:
    return lowerMove(kernel, into, by);
  case KernelKind::Scan:
    return lowerScan(kernel, into, by);
  case KernelKind::Scatter:
    return lowerScatter(kernel, into, by);
  case KernelKind::Gather:
    return lowerFlat(kernel, into, by);
  case KernelKind::Pointwise:
    break;
  }
  bool rows = !form->rowReduces.empty() ||
              llvm::any_of(form->finalReduces, [](ReduceOp reduce) {
                return !shapeOf(reduce.getOutput()).empty();
              });
  return rows ? lowerRows(kernel, into, by) : lowerFlat(kernel, into, by);
}

FailureOr<LoweredKernel> GpuTarget::lower(KernelOp kernel, ModuleOp into) {
  return lowerBy(kernel, into, machine);
}
FailureOr<LoweredKernel> GpuTarget::lowerUnaligned(KernelOp kernel,
                                                   ModuleOp into) {
  Machine unaligned = machine;
  unaligned.aligned = false;
  return lowerBy(kernel, into, unaligned);
}

/// The module of all kernels, in the LLVM dialect.
FailureOr<Operation *> GpuTarget::toLlvmDialect(ModuleOp lowered) {
  Operation *kernels = lowered.lookupSymbol<mlir::gpu::GPUModuleOp>("kernels");
  if (!kernels)
    return lowered.emitError("no kernel of this program is lowered to ")
           << name() << " yet";
  PassManager whole(lowered.getContext());
  OpPassManager &passes = whole.nest<mlir::gpu::GPUModuleOp>();
  addArithmeticToLlvm(passes);
  passes.addPass(vendorPass());
  addBranchesToLlvm(whole); // of builtin modules
  if (failed(whole.run(lowered)))
    return failure();
  return kernels;
}

bool GpuTarget::knowsChip(std::string &problem) const {
  auto code = makeMachine(triple, /*cpu=*/"", /*features=*/"", problem);
  if (!code)
    return false;
  if (code->getMCSubtargetInfo()->isCPUStringValid(chip))
    return true;
  problem = "LLVM knows no chip '" + chip + "' of " + triple;
  return false;
}

FailureOr<std::unique_ptr<llvm::TargetMachine>>
GpuTarget::machineFor(Operation *at) const {
  std::string problem;
  auto code = makeMachine(triple, chip, features, problem);
  if (!code)
    return at->emitError("LLVM has no code generator: ") << problem;
  return code;
}

/// Optimised.
std::unique_ptr<llvm::Module>
GpuTarget::toLlvm(Operation *kernels, llvm::LLVMContext &context,
                  llvm::TargetMachine &code) const {
  registerBuiltinDialectTranslation(*kernels->getContext());
  registerLLVMDialectTranslation(*kernels->getContext());
  registerGPUDialectTranslation(*kernels->getContext());
  registerTranslation(*kernels->getContext());
  auto translated = translate(kernels, context, code);
  if (!translated)
    return nullptr;
  mark(*translated);
  optimise(*translated, code, /*unroll=*/true);
  return translated;
}

FailureOr<std::vector<char>> GpuTarget::link(ModuleOp lowered,
                                             TimingScope &timing) {
  TimingScope lowering = timing.nest("kernels to the LLVM dialect");
  auto kernels = toLlvmDialect(lowered);
  auto code = machineFor(lowered);
  if (failed(kernels) || failed(code))
    return failure();
  lowering.stop();
  TimingScope generation = timing.nest("kernels to machine code");
  llvm::LLVMContext context;
  auto module = toLlvm(*kernels, context, **code);
  if (!module)
    return failure();
  return assemble(lowered, *module, **code, generation);
}

FailureOr<std::string> GpuTarget::list(ModuleOp lowered, Listing listing) {
  auto kernels = toLlvmDialect(lowered);
  auto code = machineFor(lowered);
  if (failed(kernels) || failed(code))
    return failure();
  llvm::LLVMContext context;
  auto module = toLlvm(*kernels, context, **code);
  if (!module)
    return failure();
  return listCode(lowered, *module, **code, listing);
}

} // namespace ltc::gpu
