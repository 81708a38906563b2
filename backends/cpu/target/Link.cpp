// SPDX-License-Identifier: Apache-2.0
// From native functions in MLIR to an ELF shared object: LLVM dialect, LLVM
// IR, an object file for x86-64-v4, linked by lld in this process. Functions
// know nothing of each other: each is compiled alone, on the context's threads,
// and the order of the objects is that of the functions.
#include "backends/cpu/target/BlockMath.h"
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/Machine.h"
#include "backends/emit/MathPatterns.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/IR/Threading.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

constexpr const char *kTriple = "x86_64-unknown-linux-gnu";
constexpr const char *kCpu = "x86-64-v4";
constexpr const char *kFeatures = "-prefer-256-bit";
constexpr const char *kBf16Features = "-prefer-256-bit,+avx512bf16";

/// Turns f32 math into polynomials: no libm, the same bits on every host.
struct ExpandMath : PassWrapper<ExpandMath, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  StringRef getArgument() const override { return "ltc-cpu-expand-math"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<vector::VectorDialect, math::MathDialect,
                    arith::ArithDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpPatterns(patterns);
    populateMathPatterns(patterns);
    populateMathPolynomialApproximationPatterns(patterns);
    math::populateExpansionPatterns(patterns, {"rsqrt"});
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

/// Puts each function into a module of its own inside `module`.
SmallVector<ModuleOp> split(ModuleOp module) {
  SmallVector<ModuleOp> parts;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  for (auto function :
       llvm::to_vector(module.getOps<LLVM::LLVMFuncOp>())) {
    parts.push_back(ModuleOp::create(b, function.getLoc()));
    function->moveBefore(parts.back().getBody(), parts.back().getBody()->end());
  }
  return parts;
}

LogicalResult toLlvmDialect(ModuleOp module) {
  PassManager whole(module.getContext());
  OpPassManager &passes = whole.nest<ModuleOp>();
  passes.addPass(std::make_unique<ExpandMath>());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  return whole.run(module);
}

FailureOr<std::unique_ptr<llvm::TargetMachine>> machineFor(ModuleOp module,
                                                           bool bf16) {
  static bool initialised = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)initialised;
  std::string problem;
  auto machine =
      makeMachine(kTriple, kCpu, bf16 ? kBf16Features : kFeatures, problem);
  if (!machine)
    return module.emitError("LLVM has no x86-64 code generator: ") << problem;
  return machine;
}

/// One function as optimised LLVM IR.
std::unique_ptr<llvm::Module> toLlvm(ModuleOp part, llvm::LLVMContext &context,
                                     llvm::TargetMachine &machine) {
  auto translated = translateModuleToLLVMIR(part, context);
  if (!translated)
    return nullptr;
  translated->setTargetTriple(llvm::Triple(kTriple));
  translated->setDataLayout(machine.createDataLayout());
  for (llvm::Function &function : *translated) {
    if (function.isDeclaration())
      continue;
    // No loop becomes a call of memset or memcpy: nothing may be undefined.
    function.addFnAttr("no-builtins");
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  optimise(*translated, machine, /*unroll=*/false);
  return translated;
}

/// Machine code of one function.
FailureOr<std::string> compilePart(ModuleOp part, bool bf16) {
  auto machine = machineFor(part, bf16);
  if (failed(machine))
    return failure();
  llvm::LLVMContext context;
  auto code = toLlvm(part, context, **machine);
  if (!code)
    return failure();
  return emitCode(part, *code, **machine, llvm::CodeGenFileType::ObjectFile);
}

/// Each function in a module of its own, in the LLVM dialect.
FailureOr<SmallVector<ModuleOp>> prepare(ModuleOp module) {
  registerBuiltinDialectTranslation(*module.getContext());
  registerLLVMDialectTranslation(*module.getContext());
  SmallVector<ModuleOp> parts = split(module);
  if (failed(toLlvmDialect(module)))
    return failure();
  return parts;
}

} // namespace

FailureOr<std::vector<char>> linkNative(ModuleOp module, bool bf16,
                                        TimingScope &timing) {
  TimingScope lowering = timing.nest("kernels to the LLVM dialect");
  auto parts = prepare(module);
  if (failed(parts))
    return failure();
  lowering.stop();
  TimingScope generation = timing.nest("kernels to machine code");
  std::vector<std::string> objects(parts->size());
  LogicalResult compiled = failableParallelForEachN(
      module.getContext(), 0, parts->size(), [&](size_t n) -> LogicalResult {
        auto object = compilePart((*parts)[n], bf16);
        if (failed(object))
          return failure();
        objects[n] = std::move(*object);
        return success();
      });
  if (failed(compiled))
    return failure();
  generation.stop();
  TimingScope linking = timing.nest("link");
  return linkShared(module, objects);
}

FailureOr<std::string> listNative(ModuleOp module, bool bf16,
                                  Target::Listing listing) {
  auto parts = prepare(module);
  auto machine = machineFor(module, bf16);
  if (failed(parts) || failed(machine))
    return failure();
  llvm::LLVMContext context;
  llvm::Module whole("kernels", context);
  whole.setTargetTriple(llvm::Triple(kTriple));
  whole.setDataLayout((*machine)->createDataLayout());
  for (ModuleOp part : *parts) {
    auto code = toLlvm(part, context, **machine);
    if (!code)
      return failure();
    if (llvm::Linker::linkModules(whole, std::move(code)))
      return part.emitError("LLVM cannot join the kernels' modules");
  }
  if (listing == Target::Listing::assembly)
    return emitCode(module, whole, **machine,
                    llvm::CodeGenFileType::AssemblyFile);
  std::string text;
  llvm::raw_string_ostream(text) << whole;
  return text;
}

} // namespace ltc::cpu
