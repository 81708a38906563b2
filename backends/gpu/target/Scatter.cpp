// SPDX-License-Identifier: Apache-2.0
// ltc.scatter_add, alone or added onto an argument. A block owns a range of the
// table's rows and goes through all ids in order, its threads along the row: no
// atomics, the same bits always.
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {
namespace {

constexpr int64_t kBlocks = 1024, kMaxThreads = 256;

class Scatter {
public:
  Scatter(KernelOp kernel, const Machine &machine, ScatterAddOp scatter,
          BlockArgument ids, BlockArgument updates, BlockArgument onto)
      : kernel(kernel), machine(machine), scatter(scatter), ids(ids),
        updates(updates), onto(onto),
        row(machine, elementOf(updates),
            ShapedType::getNumElements(
                shapeOf(scatter.getOutput()).drop_front())),
        emit(kernel.getLoc(), machine) {}

  LoweredKernel run(ModuleOp into) {
    rows = shapeOf(scatter.getOutput())[0];
    rowsOfBlock = llvm::divideCeil(rows, kBlocks);
    threads = std::clamp<int64_t>(llvm::alignTo(row.vectors, kWarp), kWarp,
                                  kMaxThreads);
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine),
                 llvm::divideCeil(rows, rowsOfBlock), int(threads), 0);
    emit.begin(into, launch);
    out = emit.bindings[kernel.getBody().front().getNumArguments()];
    begin = emit.mul(emit.block, rowsOfBlock);
    end = emit.min(emit.add(begin, rowsOfBlock), emit.i64(rows));
    bool inPlace =
        onto && int64_t(onto.getArgNumber()) == kernel.getInplace()[0];
    if (!inPlace)
      emit.loop(begin, end, 1, [&](Value r) { fill(r); });
    int64_t count = cast<RankedTensorType>(ids.getType()).getNumElements();
    emit.loop(0, count, 1, [&](Value n) { addIfMine(n); });
    LoweredKernel lowered;
    lowered.launches.push_back(std::move(launch));
    return lowered;
  }

private:
  void overRow(std::function<void(Value)> body) {
    emit.loop(emit.thread, emit.i64(row.vectors), threads, body);
  }

  void fill(Value r) {
    Value old = onto ? emit.bindings[onto.getArgNumber()] : Value();
    overRow([&](Value vector) {
      Value value = old ? row.load(emit, old, r, vector)
                        : emit.zero(row.type());
      row.store(emit, value, out, r, vector);
    });
  }

  void addIfMine(Value n) {
    Value r = emit.loadIndex(emit.bindings[ids.getArgNumber()], n);
    Value notBelow = arith::CmpIOp::create(
        emit, emit.getLoc(), arith::CmpIPredicate::sge, r, begin);
    emit.ifThen(emit.both(notBelow, emit.less(r, end)), [&] {
      Value from = emit.bindings[updates.getArgNumber()];
      overRow([&](Value vector) {
        Value old = row.load(emit, out, r, vector);
        Value added = row.load(emit, from, n, vector);
        Value sum = arith::AddFOp::create(emit, emit.getLoc(), old, added);
        row.store(emit, sum, out, r, vector);
      });
    });
  }

  KernelOp kernel;
  const Machine &machine;
  ScatterAddOp scatter;
  BlockArgument ids, updates, onto;
  RowVectors row;
  Block emit;
  int64_t rows = 0, rowsOfBlock = 0, threads = 0;
  Value out, begin, end;
};

/// The argument that the result adds the scattered rows to; the kernel's form
/// allows no other map.
BlockArgument accumulator(KernelOp kernel) {
  if (auto map = yields(kernel)[0].getDefiningOp<MapOp>())
    for (Value input : map.getInputs())
      if (auto argument = dyn_cast<BlockArgument>(input))
        return argument;
  return {};
}

} // namespace

FailureOr<LoweredKernel> lowerScatter(KernelOp kernel, ModuleOp into,
                                      const Machine &machine) {
  ScatterAddOp scatter =
      *kernel.getBody().front().getOps<ScatterAddOp>().begin();
  auto ids = dyn_cast<BlockArgument>(scatter.getIds());
  auto updates = dyn_cast<BlockArgument>(scatter.getUpdates());
  BlockArgument onto = accumulator(kernel);
  bool alone = yields(kernel)[0] == scatter.getOutput();
  if (!ids || !updates || (!onto && !alone) ||
      !isa<FloatType>(elementOf(scatter.getUpdates())))
    return kernel.emitError("the GPU targets scatter whole arguments of "
                            "floats, alone or added onto an argument");
  return Scatter(kernel, machine, scatter, ids, updates, onto).run(into);
}

} // namespace ltc::gpu
