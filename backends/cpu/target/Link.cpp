// SPDX-License-Identifier: Apache-2.0
// From native functions in MLIR to an ELF shared object: LLVM dialect, LLVM
// IR, an object file for x86-64-v4, linked by lld in this process. Functions
// know nothing of each other: each is compiled alone, on the context's threads,
// and the order of the objects is that of the functions.
#include "backends/cpu/target/BlockMath.h"
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/Machine.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "mlir/IR/Threading.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

constexpr const char *kTriple = "x86_64-unknown-linux-gnu";
constexpr const char *kCpu = "x86-64-v4";
constexpr const char *kFeatures = "-prefer-256-bit";
constexpr const char *kBf16Features = "-prefer-256-bit,+avx512bf16";

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
  addArithmeticToLlvm(passes, populateExpPatterns);
  addBranchesToLlvm(passes);
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
  auto translated = translate(part, context, machine);
  if (!translated)
    return nullptr;
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
  return listCode(module, whole, **machine, listing);
}

} // namespace ltc::cpu
