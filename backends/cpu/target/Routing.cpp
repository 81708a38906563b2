// SPDX-License-Identifier: Apache-2.0
// ltc.top_k, ltc.route, ltc.dispatch and ltc.combine. Rows move as they are;
// the sort is one tile, as counting some thousand slots costs less than a
// second launch.
#include "backends/cpu/target/Lowering.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Elements that a tile moves, about.
constexpr int64_t kTileElements = 1 << 15;

class Routing {
public:
  Routing(KernelOp kernel, ModuleOp into)
      : kernel(kernel), into(into), emit(kernel.getLoc(), kernel.getContext()),
        loc(kernel.getLoc()) {}
  FailureOr<LoweredKernel> run();

private:
  using Lanes = llvm::function_ref<void(Value, VectorType, Value)>;
  LogicalResult begin(int64_t tiles, int64_t scratchBytes = 0);
  void overTiles(int64_t rows, int64_t width, std::function<void(Value)> body);
  LogicalResult topK(TopKOp op);
  LogicalResult route(RouteOp op);
  LogicalResult dispatch(DispatchOp op);
  LogicalResult combine(CombineOp op);
  void overRow(int64_t width, Type element, Lanes body);
  Value read(Value from, Value index, VectorType type, Value mask);
  void write(Value value, Value to, Value index, VectorType type, Value mask);
  Value loadIndex(Value base, Value index);
  void storeIndex(Value value, Value base, Value index);
  Value compare(arith::CmpIPredicate how, Value a, Value b) {
    return arith::CmpIOp::create(emit, loc, how, a, b);
  }
  Value compare(arith::CmpFPredicate how, Value a, Value b) {
    return arith::CmpFOp::create(emit, loc, how, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(emit, loc, condition, a, b);
  }
  Value f32(double value) {
    return arith::ConstantOp::create(emit, loc, emit.getF32FloatAttr(value));
  }
  /// Where the value is read from; every operand is an argument.
  Value pointer(Value argument) {
    return native.bindings[cast<BlockArgument>(argument).getArgNumber()];
  }
  /// Where the op's result goes; null if the kernel does not yield it.
  Value result(Value value) {
    for (auto [n, yielded] : llvm::enumerate(yields(kernel)))
      if (yielded == value)
        return resultPointers(kernel, native)[n];
    return {};
  }
  static int64_t elements(Value value) {
    return cast<RankedTensorType>(value.getType()).getNumElements();
  }

  KernelOp kernel;
  ModuleOp into;
  Emitter emit;
  Location loc;
  LoweredKernel lowered;
  NativeFunction native;
};

LogicalResult Routing::begin(int64_t tiles, int64_t scratchBytes) {
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = tiles;
  launch.scratchBytes = scratchBytes;
  launch.bindings = plainBindings(kernel);
  countBytes(kernel, launch);
  native = beginNative(emit, into, launch.symbol, launch.bindings.size());
  lowered.launches.push_back(std::move(launch));
  return success();
}

/// body(row) for the rows of a tile; a row is about `width` elements of work.
void Routing::overTiles(int64_t rows, int64_t width,
                        std::function<void(Value)> body) {
  int64_t each = std::max<int64_t>(1, kTileElements / width);
  (void)begin(llvm::divideCeil(rows, each));
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    Value first = emit.mul(tile, each);
    Value end = emit.min(emit.add(first, each), emit.i64(rows));
    emit.loop(first, end, 1, body);
  });
}

Value Routing::loadIndex(Value base, Value index) {
  Type i32 = emit.getI32Type();
  return arith::ExtSIOp::create(emit, loc, emit.getI64Type(),
                                emit.load(i32, emit.at(base, i32, index)));
}

void Routing::storeIndex(Value value, Value base, Value index) {
  if (!base)
    return;
  Type i32 = emit.getI32Type();
  emit.store(arith::TruncIOp::create(emit, loc, i32, value),
             emit.at(base, i32, index));
}

/// body(first element, lanes, mask) along a row.
void Routing::overRow(int64_t width, Type element, Lanes body) {
  VectorType lanes = Emitter::lanes(element);
  int64_t whole = width / kLanes * kLanes;
  if (whole)
    emit.loop(0, whole, kLanes, [&](Value i) { body(i, lanes, nullptr); });
  if (whole < width)
    body(emit.i64(whole), lanes, emit.mask(width - whole));
}

Value Routing::read(Value from, Value index, VectorType type, Value mask) {
  Value at = emit.at(from, type.getElementType(), index);
  return mask ? emit.loadMasked(type, at, mask) : emit.load(type, at);
}

void Routing::write(Value value, Value to, Value index, VectorType type,
                    Value mask) {
  Value at = emit.at(to, type.getElementType(), index);
  mask ? emit.storeMasked(value, at, mask) : emit.store(value, at);
}

/// Each pick is the largest element that comes after the pick before, in the
/// order of falling value, then rising index; NaN comes after nothing.
LogicalResult Routing::topK(TopKOp op) {
  Type element = emit.getF32Type();
  if (elementOf(op.getInput()) != element)
    return kernel.emitError("the CPU target takes the largest of f32 only");
  int64_t n = shapeOf(op.getInput()).back(),
          count = shapeOf(op.getValues()).back();
  overTiles(elements(op.getValues()) / count, n * count, [&](Value row) {
    Value from = emit.at(pointer(op.getInput()), element, emit.mul(row, n));
    Value nothing = f32(std::numeric_limits<double>::infinity());
    emit.loop(emit.i64(0), emit.i64(count), 1, {nothing, emit.i64(-1)},
              [&](Value j, ValueRange last) -> SmallVector<Value> {
      Value absent = f32(std::numeric_limits<double>::quiet_NaN());
      auto best = emit.loop(
          emit.i64(0), emit.i64(n), 1, {absent, j},
          [&](Value e, ValueRange so) -> SmallVector<Value> {
        Value x = emit.load(element, emit.at(from, element, e));
        Value tie = arith::AndIOp::create(
            emit, loc, compare(arith::CmpFPredicate::OEQ, x, last[0]),
            compare(arith::CmpIPredicate::sgt, e, last[1]));
        Value after = arith::OrIOp::create(
            emit, loc, compare(arith::CmpFPredicate::OLT, x, last[0]), tie);
        // Not at most the best so far: true also while there is none (NaN).
        Value more = arith::AndIOp::create(
            emit, loc, after,
            compare(arith::CmpFPredicate::UGT, x, so[0]));
        return {select(more, x, so[0]), select(more, e, so[1])};
      });
      Value place = emit.add(emit.mul(row, count), j);
      if (Value values = result(op.getValues()))
        emit.store(best[0], emit.at(values, element, place));
      storeIndex(best[1], result(op.getChoice()), place);
      return {best[0], best[1]};
    });
  });
  return success();
}

/// A counting sort: a cursor for each group, in scratch.
LogicalResult Routing::route(RouteOp op) {
  int64_t groups = elements(op.getOffsets()) - 1,
          slots = elements(op.getChoice());
  Type i64 = emit.getI64Type();
  (void)begin(1, groups * 8);
  auto cursor = [&](Value group) {
    return emit.at(native.scratch, i64, group);
  };
  auto chosen = [&](Value slot) -> Value {
    Value group = arith::MaxSIOp::create(
        emit, loc, loadIndex(pointer(op.getChoice()), slot), emit.i64(0));
    return emit.min(group, emit.i64(groups - 1));
  };
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value) {
    emit.loop(0, groups, 1,
              [&](Value g) { emit.store(emit.i64(0), cursor(g)); });
    emit.loop(0, slots, 1, [&](Value slot) {
      Value at = cursor(chosen(slot));
      emit.store(emit.add(emit.load(i64, at), 1), at);
    });
    Value offsets = result(op.getOffsets());
    storeIndex(emit.i64(0), offsets, emit.i64(0));
    emit.loop(emit.i64(0), emit.i64(groups), 1, {emit.i64(0)},
              [&](Value g, ValueRange first) -> SmallVector<Value> {
                Value next = emit.add(first[0], emit.load(i64, cursor(g)));
                emit.store(first[0], cursor(g));
                storeIndex(next, offsets, emit.add(g, 1));
                return {next};
              });
    emit.loop(0, slots, 1, [&](Value slot) {
      Value group = chosen(slot), at = cursor(group), row = emit.load(i64, at);
      emit.store(emit.add(row, 1), at);
      storeIndex(slot, result(op.getSlot()), row);
      storeIndex(row, result(op.getPlace()), slot);
      storeIndex(group, result(op.getGroup()), row);
    });
  });
  return success();
}

LogicalResult Routing::dispatch(DispatchOp op) {
  int64_t rows = shapeOf(op.getOutput())[0],
          width = elements(op.getOutput()) / rows;
  Type element = elementOf(op.getOutput());
  overTiles(rows, width, [&](Value row) {
    Value source =
        emit.div(loadIndex(pointer(op.getSlot()), row), op.getEach());
    Value from =
        emit.at(pointer(op.getInput()), element, emit.mul(source, width));
    Value to =
        emit.at(result(op.getOutput()), element, emit.mul(row, width));
    overRow(width, element, [&](Value i, VectorType lanes, Value mask) {
      write(read(from, i, lanes, mask), to, i, lanes, mask);
    });
  });
  return success();
}

/// Rows are added in order of the slots.
LogicalResult Routing::combine(CombineOp op) {
  int64_t each = op.getEach(), slots = shapeOf(op.getInput())[0],
          width = elements(op.getInput()) / slots;
  Type element = elementOf(op.getOutput());
  if (!isa<FloatType>(element) && each != 1)
    return kernel.emitError("the CPU target adds rows of floats only");
  overTiles(slots / each, width * each, [&](Value row) {
    SmallVector<Value> from;
    for (int64_t j = 0; j < each; ++j) {
      Value place = loadIndex(pointer(op.getPlace()),
                              emit.add(emit.mul(row, each), j));
      from.push_back(
          emit.at(pointer(op.getInput()), element, emit.mul(place, width)));
    }
    Value to =
        emit.at(result(op.getOutput()), element, emit.mul(row, width));
    overRow(width, element, [&](Value i, VectorType lanes, Value mask) {
      Value sum = read(from[0], i, lanes, mask);
      for (Value other : ArrayRef<Value>(from).drop_front())
        sum = arith::AddFOp::create(emit, loc, sum,
                                    read(other, i, lanes, mask));
      write(sum, to, i, lanes, mask);
    });
  });
  return success();
}

FailureOr<LoweredKernel> Routing::run() {
  Block &body = kernel.getBody().front();
  Operation *op = &body.front();
  if (!llvm::hasSingleElement(body.without_terminator()) ||
      !llvm::all_of(op->getOperands(), llvm::IsaPred<BlockArgument>) ||
      llvm::any_of(yields(kernel),
                   [&](Value v) { return v.getDefiningOp() != op; }))
    return kernel.emitError("the CPU target routes whole arguments, and "
                            "nothing else in the same kernel");
  LogicalResult good = failure();
  if (auto top = dyn_cast<TopKOp>(op))
    good = topK(top);
  else if (auto sort = dyn_cast<RouteOp>(op))
    good = route(sort);
  else if (auto spread = dyn_cast<DispatchOp>(op))
    good = dispatch(spread);
  else
    good = combine(cast<CombineOp>(op));
  if (failed(good))
    return failure();
  return std::move(lowered);
}

} // namespace

FailureOr<LoweredKernel> lowerRouting(KernelOp kernel, ModuleOp into) {
  return Routing(kernel, into).run();
}

} // namespace ltc::cpu
