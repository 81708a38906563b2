// SPDX-License-Identifier: Apache-2.0
#include "backends/emit/Machine.h"
#include "backends/emit/MathPatterns.h"
#include "lld/Common/Driver.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

LLD_HAS_DRIVER(elf)

using namespace mlir;

namespace ltc {

std::unique_ptr<llvm::TargetMachine> makeMachine(StringRef name, StringRef cpu,
                                                 StringRef features,
                                                 std::string &problem) {
  llvm::Triple triple(name);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, problem);
  if (!target)
    return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpu, features, options, llvm::Reloc::PIC_, std::nullopt,
      llvm::CodeGenOptLevel::Default));
}

namespace {

struct ExpandMath : PassWrapper<ExpandMath, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  explicit ExpandMath(std::function<void(RewritePatternSet &)> more)
      : more(std::move(more)) {}
  StringRef getArgument() const override { return "ltc-expand-math"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<vector::VectorDialect, math::MathDialect,
                    arith::ArithDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    if (more)
      more(patterns);
    populateMathPatterns(patterns);
    populateMathPolynomialApproximationPatterns(patterns);
    math::populateExpansionPatterns(patterns, {"rsqrt"});
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
  std::function<void(RewritePatternSet &)> more;
};

} // namespace

void addArithmeticToLlvm(OpPassManager &passes,
                         std::function<void(RewritePatternSet &)> more) {
  passes.addPass(std::make_unique<ExpandMath>(std::move(more)));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
}

void addBranchesToLlvm(OpPassManager &passes) {
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

std::unique_ptr<llvm::Module> translate(Operation *module,
                                        llvm::LLVMContext &context,
                                        const llvm::TargetMachine &machine) {
  auto translated = translateModuleToLLVMIR(module, context);
  if (!translated)
    return nullptr;
  translated->setTargetTriple(machine.getTargetTriple());
  translated->setDataLayout(machine.createDataLayout());
  return translated;
}

void optimise(llvm::Module &module, llvm::TargetMachine &machine,
              bool unroll) {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopUnrolling = unroll;
  llvm::PassBuilder builder(&machine, tuning);
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(module, modules);
}

FailureOr<std::string> emitCode(Operation *at, llvm::Module &module,
                                llvm::TargetMachine &machine,
                                llvm::CodeGenFileType type) {
  llvm::SmallVector<char> code;
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager emission;
  if (machine.addPassesToEmitFile(emission, stream, nullptr, type))
    return at->emitError("LLVM cannot write code for ")
           << machine.getTargetTriple().str();
  emission.run(module);
  return std::string(code.begin(), code.end());
}

FailureOr<std::string> listCode(Operation *at, llvm::Module &module,
                                llvm::TargetMachine &machine,
                                Target::Listing listing) {
  if (listing == Target::Listing::assembly)
    return emitCode(at, module, machine, llvm::CodeGenFileType::AssemblyFile);
  std::string text;
  llvm::raw_string_ostream(text) << module;
  return text;
}

/// Objects as one archive for lld: a file each would be a file too many.
static LogicalResult writeArchive(Operation *at, ArrayRef<std::string> objects,
                                  StringRef path) {
  std::vector<llvm::NewArchiveMember> members;
  for (auto [n, object] : llvm::enumerate(objects))
    members.emplace_back(llvm::MemoryBufferRef(object, "kernel"));
  if (auto error = llvm::writeArchive(path, members,
                                      llvm::SymtabWritingMode::NormalSymtab,
                                      llvm::object::Archive::K_GNU,
                                      /*Deterministic=*/true, /*Thin=*/false))
    return at->emitError("cannot write ")
           << path << ": " << llvm::toString(std::move(error));
  return success();
}

FailureOr<std::vector<char>> linkShared(Operation *at,
                                        ArrayRef<std::string> objects) {
  SmallString<128> input, output;
  if (llvm::sys::fs::createTemporaryFile("ltc-kernels", "a", input) ||
      llvm::sys::fs::createTemporaryFile("ltc-kernels", "so", output))
    return at->emitError("cannot create a temporary file to link kernels");
  llvm::FileRemover removeInput(input), removeOutput(output);
  if (failed(writeArchive(at, objects, input)))
    return failure();
  std::string said;
  llvm::raw_string_ostream errors(said);
  const char *arguments[] = {"ld.lld",        "-shared",
                             "--no-undefined", "--build-id=none",
                             "-z",            "noexecstack",
                             "--hash-style=gnu", "--threads=1",
                             "-o",            output.c_str(),
                             "--whole-archive", input.c_str()};
  lld::Result result = lld::lldMain(arguments, llvm::outs(), errors,
                                    {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0)
    return at->emitError("linking the kernels failed: ") << said;
  auto bytes = llvm::MemoryBuffer::getFile(output, false, false);
  if (!bytes)
    return at->emitError("cannot read ") << output.str();
  return std::vector<char>((*bytes)->getBufferStart(),
                           (*bytes)->getBufferEnd());
}

} // namespace ltc
