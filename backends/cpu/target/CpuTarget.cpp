// SPDX-License-Identifier: Apache-2.0
// The CPU target: picks the algorithm of a kernel by what its body holds.
#include "backends/cpu/target/Lowering.h"

using namespace mlir;

namespace ltc {

Target::~Target() = default;

FailureOr<std::string> Target::list(ModuleOp lowered, Listing) {
  return lowered.emitError("target ")
         << name() << " has no text of its native code; --emit=program shows "
         << "its launches";
}

namespace cpu {

NativeFunction beginNative(Emitter &emit, ModuleOp module, StringRef name,
                           int64_t bindings) {
  MLIRContext *context = module.getContext();
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto i64 = IntegerType::get(context, 64);
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                  {pointer, i64, i64, pointer});
  emit.setInsertionPointToEnd(module.getBody());
  NativeFunction native;
  native.function =
      LLVM::LLVMFuncOp::create(emit, emit.getLoc(), name, type);
  Block *entry = native.function.addEntryBlock(emit);
  emit.setInsertionPointToStart(entry);
  native.tileBegin = entry->getArgument(1);
  native.tileEnd = entry->getArgument(2);
  native.scratch = entry->getArgument(3);
  for (int64_t i = 0; i < bindings; ++i)
    native.bindings.push_back(
        emit.load(pointer, emit.at(entry->getArgument(0), pointer, i)));
  auto end = LLVM::ReturnOp::create(emit, emit.getLoc(), ValueRange{});
  emit.setInsertionPoint(end);
  return native;
}

ArrayRef<Value> resultPointers(KernelOp kernel, const NativeFunction &native) {
  return ArrayRef<Value>(native.bindings)
      .drop_front(kernel.getBody().front().getNumArguments());
}

namespace {

class CpuTarget : public Target {
public:
  std::string name() const override { return "cpu"; }
  std::string featureLevel() const override {
    return bf16 ? "avx512_bf16" : "avx512";
  }

  FailureOr<LoweredKernel> lower(KernelOp kernel, ModuleOp into) override {
    auto lowered = lowerByForm(kernel, into);
    if (succeeded(lowered))
      stateShares(kernel, *lowered);
    return lowered;
  }

  FailureOr<LoweredKernel> lowerByForm(KernelOp kernel, ModuleOp into) {
    kernel.getContext()
        ->loadDialect<arith::ArithDialect, LLVM::LLVMDialect, math::MathDialect,
                      scf::SCFDialect, vector::VectorDialect>();
    bf16 |= usesBf16(kernel);
    Block &body = kernel.getBody().front();
    if (!body.getOps<ContractOp>().empty() ||
        !body.getOps<GroupedContractOp>().empty())
      return lowerContract(kernel, into);
    if (!body.getOps<AttentionOp>().empty() ||
        !body.getOps<AttentionGradOp>().empty())
      return lowerAttention(kernel, into);
    if (!body.getOps<ScatterAddOp>().empty())
      return lowerScatter(kernel, into);
    if (!body.getOps<ScanOp>().empty())
      return lowerScan(kernel, into);
    if (isa<AppendOp>(body.front()))
      return lowerAppend(kernel, into);
    if (isa<TopKOp, RouteOp, DispatchOp, CombineOp>(body.front()))
      return lowerRouting(kernel, into);
    return lowerPointwise(kernel, into);
  }

  FailureOr<std::string> list(ModuleOp lowered, Listing listing) override {
    return listNative(lowered, bf16, listing);
  }

  FailureOr<std::vector<char>> link(ModuleOp lowered,
                                    TimingScope &timing) override {
    return linkNative(lowered, bf16, timing);
  }

private:
  /// Of the FMA peak and of copying. In float32 from one profile each of GPT-2
  /// 124M, a llama and a mixture of experts on Zen 5; bf16 (1.1) is an
  /// estimate. tools/bench/plan.py compares plan and run.
  static void stateShares(KernelOp kernel, LoweredKernel &lowered) {
    Block &body = kernel.getBody().front();
    bool contracts = !body.getOps<ContractOp>().empty();
    bool grouped = !body.getOps<GroupedContractOp>().empty();
    bool narrow = usesBf16(kernel);
    double flops = contracts ? (narrow ? 1.1 : 0.7)
                   : grouped ? 0.35
                             : 0.5;
    for (KernelLaunch &launch : lowered.launches) {
      launch.flopsShare = flops;
      launch.bytesShare = 1;
    }
  }

  static bool usesBf16(KernelOp kernel) {
    auto narrow = [](Type type) {
      return getElementTypeOrSelf(type).isBF16();
    };
    return kernel
        .walk([&](Operation *op) {
          bool uses = llvm::any_of(op->getOperandTypes(), narrow) ||
                      llvm::any_of(op->getResultTypes(), narrow);
          return uses ? WalkResult::interrupt() : WalkResult::advance();
        })
        .wasInterrupted();
  }

  bool bf16 = false; ///< some kernel lowered so far holds bf16
};

} // namespace
} // namespace cpu

std::unique_ptr<Target> createCpuTarget() {
  return std::make_unique<cpu::CpuTarget>();
}

} // namespace ltc
