// SPDX-License-Identifier: Apache-2.0
// ltc.scatter_add, alone or added onto an argument. A tile owns a range of the
// table's rows and scans all ids in order: no atomics, the same bits always.
#include "backends/cpu/target/Lowering.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

constexpr int64_t kTiles = 32;

/// The argument that the result adds the scattered rows to, if it has the form
/// map(argument, scatter) = argument + scatter.
BlockArgument accumulator(KernelOp kernel, ScatterAddOp scatter) {
  auto map = yields(kernel)[0].getDefiningOp<MapOp>();
  if (!map || map.getInputs().size() != 2)
    return {};
  Block &body = map.getBody().front();
  bool identity = map.getMap(0).isIdentity() && map.getMap(1).isIdentity();
  bool adds = llvm::hasSingleElement(body.without_terminator()) &&
              isa<arith::AddFOp>(body.front());
  for (Value input : map.getInputs())
    if (auto argument = dyn_cast<BlockArgument>(input))
      if (identity && adds)
        return argument;
  return {};
}

} // namespace

FailureOr<LoweredKernel> lowerScatter(KernelOp kernel, ModuleOp into) {
  auto scatters = kernel.getBody().front().getOps<ScatterAddOp>();
  ScatterAddOp scatter = *scatters.begin();
  auto ids = dyn_cast<BlockArgument>(scatter.getIds());
  auto updates = dyn_cast<BlockArgument>(scatter.getUpdates());
  BlockArgument onto = accumulator(kernel, scatter);
  bool alone = yields(kernel)[0] == scatter.getOutput();
  if (!ids || !updates || yields(kernel).size() != 1 || (!onto && !alone))
    return kernel.emitError("the CPU target scatters whole arguments, alone or "
                            "added onto an argument");
  if (!elementOf(scatter.getUpdates()).isF32())
    return kernel.emitError("the CPU target scatters f32 only, not ")
           << elementOf(scatter.getUpdates());
  ArrayRef<int64_t> shape = shapeOf(scatter.getOutput());
  int64_t rows = shape[0], width = 1;
  for (int64_t size : shape.drop_front())
    width *= size;
  int64_t count = cast<RankedTensorType>(ids.getType()).getNumElements();
  int64_t rowsPerTile = llvm::divideCeil(rows, std::min(rows, kTiles));

  Emitter emit(kernel.getLoc(), kernel.getContext());
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = llvm::divideCeil(rows, rowsPerTile);
  launch.bindings = plainBindings(kernel);
  countBytes(kernel, launch);
  NativeFunction native =
      beginNative(emit, into, launch.symbol, launch.bindings.size());
  Value out = resultPointers(kernel, native)[0];
  Value idBase = native.bindings[ids.getArgNumber()];
  Value updateBase = native.bindings[updates.getArgNumber()];
  Type f32 = emit.getF32Type(), i32 = emit.getI32Type();
  VectorType lanes = Emitter::lanes(f32);
  int64_t whole = width / kLanes * kLanes;
  auto overRow = [&](llvm::function_ref<void(Value, Value)> body) {
    if (whole)
      emit.loop(0, whole, kLanes, [&](Value i) { body(i, nullptr); });
    if (whole < width)
      body(emit.i64(whole), emit.mask(width - whole));
  };
  auto write = [&](Value value, Value to, Value mask) {
    mask ? emit.storeMasked(value, to, mask) : emit.store(value, to);
  };
  auto read = [&](Value row, Value i, Value mask) {
    Value at = emit.at(row, f32, i);
    return mask ? emit.loadMasked(lanes, at, mask) : emit.load(lanes, at);
  };
  bool inPlace =
      onto && int64_t(onto.getArgNumber()) == kernel.getInplace()[0];
  Value base = onto ? native.bindings[onto.getArgNumber()] : Value();
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    Value begin = emit.mul(tile, rowsPerTile);
    Value end = emit.min(emit.add(begin, rowsPerTile), emit.i64(rows));
    if (!inPlace)
      emit.loop(begin, end, 1, [&](Value row) {
        Value first = emit.mul(row, width), to = emit.at(out, f32, first);
        overRow([&](Value i, Value mask) {
          Value old = onto ? read(emit.at(base, f32, first), i, mask)
                           : emit.zero(lanes);
          write(old, emit.at(to, f32, i), mask);
        });
      });
    emit.loop(0, count, 1, [&](Value n) {
      Value row = arith::ExtSIOp::create(
          emit, emit.getLoc(), emit.getI64Type(),
          emit.load(i32, emit.at(idBase, i32, n)));
      Location loc = emit.getLoc();
      Value mine = arith::AndIOp::create(
          emit, loc,
          arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::sge, row,
                                begin),
          arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::slt, row,
                                end));
      emit.ifThen(mine, [&] {
        Value to = emit.at(out, f32, emit.mul(row, width));
        Value from = emit.at(updateBase, f32, emit.mul(n, width));
        overRow([&](Value i, Value mask) {
          Value sum = arith::AddFOp::create(
              emit, emit.getLoc(), read(to, i, mask), read(from, i, mask));
          write(sum, emit.at(to, f32, i), mask);
        });
      });
    });
  });
  LoweredKernel lowered;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace ltc::cpu
