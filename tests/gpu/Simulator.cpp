// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu/Simulator.h"
#include "backends/emit/Machine.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include <ucontext.h>

using namespace mlir;

namespace ltc::gpu {

namespace gpu = mlir::gpu;

namespace {

enum class Waits { forNothing, forBlock, forSubgroup, ended };

/// One thread of the block that runs now.
struct Fibre {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(64 << 10);
  Waits waits = Waits::forNothing;
  int32_t given = 0, taken = 0; ///< of a shuffle
  int64_t distance = 0;
};

struct Running {
  ucontext_t scheduler;
  std::vector<Fibre> fibres;
  int64_t threads = 0, thread = 0, block = 0;
  void (*function)(void *const *) = nullptr;
  void *const *bindings = nullptr;

  void yield(Waits reason) {
    Fibre &fibre = fibres[thread];
    fibre.waits = reason;
    swapcontext(&fibre.context, &scheduler);
  }
} running;

int64_t threadNumber() { return running.thread; }
int64_t blockNumber() { return running.block; }
void waitForBlock() { running.yield(Waits::forBlock); }
int32_t exchange(int32_t value, int32_t distance) {
  Fibre &fibre = running.fibres[running.thread];
  fibre.given = value;
  fibre.distance = distance;
  running.yield(Waits::forSubgroup);
  return fibre.taken;
}
void enterFibre() {
  running.function(running.bindings);
  running.yield(Waits::ended);
}

/// Calls of the functions above in place of the gpu dialect.
struct GpuToCalls : PassWrapper<GpuToCalls, OperationPass<gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(GpuToCalls)
  void runOnOperation() override {
    OpBuilder b(&getContext());
    for (auto function :
         llvm::to_vector(getOperation().getOps<gpu::GPUFuncOp>()))
      convert(function, b);
  }

  void convert(gpu::GPUFuncOp function, OpBuilder &b) {
    Location loc = function.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto nothing = LLVM::LLVMVoidType::get(&getContext());
    b.setInsertionPoint(function);
    auto native = LLVM::LLVMFuncOp::create(
        b, loc, function.getName(),
        LLVM::LLVMFunctionType::get(nothing, {pointer}));
    native.getBody().takeBody(function.getBody());
    mlir::Block &entry = native.getBody().front();
    b.setInsertionPointToStart(&entry);
    unsigned count = entry.getNumArguments();
    Value bindings = entry.addArgument(pointer, loc);
    for (unsigned i = 0; i < count; ++i) {
      Value at = LLVM::GEPOp::create(b, loc, pointer, pointer, bindings,
                                     ArrayRef<LLVM::GEPArg>{int32_t(i)});
      entry.getArgument(i).replaceAllUsesWith(
          LLVM::LoadOp::create(b, loc, entry.getArgument(i).getType(), at));
    }
    entry.eraseArguments(0, count);
    function.erase();
    native.walk([&](Operation *op) { replace(op, b); });
  }

  Value call(OpBuilder &b, Location loc, StringRef name, Type result,
             ValueRange operands) {
    SmallVector<Type> types(operands.getTypes());
    auto type = LLVM::LLVMFunctionType::get(
        result ? result : LLVM::LLVMVoidType::get(&getContext()), types);
    if (!getOperation().lookupSymbol(name)) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(getOperation().getBody());
      LLVM::LLVMFuncOp::create(b, loc, name, type);
    }
    auto made = LLVM::CallOp::create(b, loc, type, name, operands);
    return result ? made.getResult() : Value();
  }

  void replace(Operation *op, OpBuilder &b) {
    Location loc = op->getLoc();
    b.setInsertionPoint(op);
    Type i64 = b.getI64Type();
    if (isa<gpu::ReturnOp>(op)) {
      LLVM::ReturnOp::create(b, loc, ValueRange{});
    } else if (isa<gpu::ThreadIdOp, gpu::BlockIdOp>(op)) {
      Value number = call(b, loc,
                          isa<gpu::ThreadIdOp>(op) ? "threadNumber"
                                                   : "blockNumber",
                          i64, {});
      op->getResult(0).replaceAllUsesWith(
          UnrealizedConversionCastOp::create(b, loc, b.getIndexType(), number)
              .getResult(0));
    } else if (isa<gpu::BarrierOp>(op)) {
      call(b, loc, "waitForBlock", {}, {});
    } else if (auto shuffle = dyn_cast<gpu::ShuffleOp>(op)) {
      shuffle.getShuffleResult().replaceAllUsesWith(
          call(b, loc, "exchange", b.getI32Type(),
               {shuffle.getValue(), shuffle.getOffset()}));
    } else {
      return;
    }
    op->erase();
  }
};

} // namespace

SimulatedTarget::SimulatedTarget(int64_t subgroup)
    : GpuTarget(llvm::sys::getHostCPUName().str(),
                llvm::sys::getProcessTriple(), "", subgroup) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
}
std::unique_ptr<Pass> SimulatedTarget::vendorPass() const {
  return std::make_unique<GpuToCalls>();
}
FailureOr<std::vector<char>>
SimulatedTarget::assemble(Operation *at, llvm::Module &module,
                          llvm::TargetMachine &machine, TimingScope &) {
  auto object =
      emitCode(at, module, machine, llvm::CodeGenFileType::ObjectFile);
  if (failed(object))
    return failure();
  return std::vector<char>(object->begin(), object->end());
}

struct Simulator::State {
  std::unique_ptr<llvm::orc::LLJIT> code;
  int64_t subgroup = 32;

  /// Lets every fibre run to where it waits; then moves on those that may.
  std::string runBlock(bool backwards) {
    auto &fibres = running.fibres;
    for (Fibre &fibre : fibres) {
      getcontext(&fibre.context);
      fibre.context.uc_stack.ss_sp = fibre.stack.data();
      fibre.context.uc_stack.ss_size = fibre.stack.size();
      fibre.context.uc_link = &running.scheduler;
      makecontext(&fibre.context, enterFibre, 0);
      fibre.waits = Waits::forNothing;
    }
    for (;;) {
      for (int64_t i = 0; i < running.threads; ++i) {
        running.thread = backwards ? running.threads - 1 - i : i;
        Fibre &fibre = fibres[running.thread];
        if (fibre.waits == Waits::forNothing)
          swapcontext(&running.scheduler, &fibre.context);
      }
      auto all = [&](int64_t from, int64_t count, Waits reason) {
        return std::all_of(
            fibres.begin() + from, fibres.begin() + from + count,
            [&](const Fibre &f) { return f.waits == reason; });
      };
      if (all(0, running.threads, Waits::ended))
        return "";
      bool moved = false;
      for (int64_t from = 0; from < running.threads; from += subgroup) {
        int64_t count = std::min(subgroup, running.threads - from);
        if (!all(from, count, Waits::forSubgroup))
          continue;
        moved = true;
        for (int64_t i = from; i < from + count; ++i) {
          int64_t other = i ^ fibres[i].distance;
          if (fibres[i].distance != fibres[from].distance ||
              other >= from + count)
            return "a shuffle reads a thread that is not there";
          fibres[i].taken = fibres[other].given;
          fibres[i].waits = Waits::forNothing;
        }
      }
      if (!moved && all(0, running.threads, Waits::forBlock)) {
        moved = true;
        for (Fibre &fibre : fibres)
          fibre.waits = Waits::forNothing;
      }
      if (!moved)
        return "threads of a block wait at different places";
    }
  }
};

Simulator::Simulator(const std::vector<char> &object, int64_t subgroup)
    : state(std::make_unique<State>()) {
  using namespace llvm::orc;
  state->subgroup = subgroup;
  state->code = llvm::cantFail(LLJITBuilder().create());
  SymbolMap symbols;
  auto define = [&](const char *name, auto *function) {
    symbols[state->code->mangleAndIntern(name)] = {
        ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported};
  };
  define("threadNumber", threadNumber);
  define("blockNumber", blockNumber);
  define("waitForBlock", waitForBlock);
  define("exchange", exchange);
  llvm::cantFail(state->code->getMainJITDylib().define(
      absoluteSymbols(std::move(symbols))));
  llvm::cantFail(state->code->addObjectFile(
      llvm::MemoryBuffer::getMemBufferCopy({object.data(), object.size()})));
}
Simulator::~Simulator() = default;

std::string Simulator::run(const KernelLaunch &launch,
                           const std::vector<void *> &bindings,
                           bool backwards) {
  auto symbol = state->code->lookup(launch.symbol);
  if (!symbol)
    return llvm::toString(symbol.takeError());
  running.function = symbol->toPtr<void (*)(void *const *)>();
  running.bindings = bindings.data();
  running.threads = launch.threads;
  if (int64_t(running.fibres.size()) < launch.threads)
    running.fibres = std::vector<Fibre>(launch.threads);
  running.fibres.resize(launch.threads);
  for (int64_t i = 0; i < launch.tiles; ++i) {
    running.block = backwards ? launch.tiles - 1 - i : i;
    std::string problem = state->runBlock(backwards);
    if (!problem.empty())
      return launch.symbol + ": " + problem;
  }
  return "";
}

} // namespace ltc::gpu
