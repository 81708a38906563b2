// SPDX-License-Identifier: Apache-2.0
// One ltc.scan with what it reads and what follows. Lanes run along the last
// dimension; the sums of a block of it stay in scratch while its elements are
// visited in order. Where the last dimension is the scanned one, 16 elements
// are combined in registers by doubling distances, then meet what came before.
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/PointEmitter.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Elements of the last dimension that are visited together: whole vectors.
constexpr int64_t kBlock = 128;
/// Elements that a tile handles, about.
constexpr int64_t kTileElements = 1 << 15;

class Scan {
public:
  Scan(KernelOp kernel, ModuleOp into)
      : kernel(kernel), into(into), emit(kernel.getLoc(), kernel.getContext()),
        loc(kernel.getLoc()),
        scan(*kernel.getBody().front().getOps<ScanOp>().begin()),
        shape(shapeOf(scan.getInput())), dim(scan.getDim()),
        size(shape[dim]), lanes(Emitter::lanes(emit.getF32Type())) {}
  FailureOr<LoweredKernel> run();

private:
  bool alongLanes() const { return dim + 1 == int64_t(shape.size()); }
  Indices outerIndices(Value row);
  void block(Value row, Value begin);
  void alongRow(Value row);
  SmallVector<Value> alongVector(const Indices &outer, Value base, Value mask,
                                 ValueRange before);
  Value goesOn(Value position, Value document, Value before);
  void combine(Value &x, Value &decay, Value &open);
  void storeAll(Value sum, const Indices &at);
  /// decay * before + x, or their sum.
  Value step(Value decay, Value before, Value x) {
    if (!decay)
      return arith::AddFOp::create(emit, loc, before, x);
    return math::FmaOp::create(emit, loc, decay, before, x);
  }
  Value select(Value condition, Value a, Value b) {
    return arith::SelectOp::create(emit, loc, condition, a, b);
  }
  Value decayAt(const Indices &at) {
    return scan.getDecay() ? points->evaluateLanes(scan.getDecay(), at)
                           : Value();
  }
  Value constant(double value) {
    return emit.splat(
        arith::ConstantOp::create(emit, loc, emit.getF32FloatAttr(value)));
  }

  KernelOp kernel;
  ModuleOp into;
  Emitter emit;
  Location loc;
  ScanOp scan;
  ArrayRef<int64_t> shape;
  int64_t dim, size;
  VectorType lanes;
  NativeFunction native;
  std::unique_ptr<PointEmitter> points;
};

/// The row's position in each dimension but the scanned and the last.
Indices Scan::outerIndices(Value row) {
  Indices outer(shape.size());
  for (int64_t d = shape.size() - 1; d >= 0; --d) {
    if (d == dim || d + 1 == int64_t(shape.size()))
      continue;
    outer[d] = {emit.rem(row, shape[d]), 0, false, kRow};
    row = emit.div(row, shape[d]);
  }
  return outer;
}

/// Whether the element before `position` is of the same sequence and document.
Value Scan::goesOn(Value position, Value document, Value before) {
  auto differ = [&](arith::CmpIPredicate how, Value a, Value b) -> Value {
    return arith::CmpIOp::create(emit, loc, how, a, b);
  };
  Value first = emit.i64(scan.getReverse() ? size - 1 : 0);
  if (isa<VectorType>(position.getType()))
    first = emit.splat(first);
  Value inside = differ(arith::CmpIPredicate::ne, position, first);
  if (!document)
    return inside;
  return arith::AndIOp::create(
      emit, loc, inside, differ(arith::CmpIPredicate::eq, document, before));
}

void Scan::storeAll(Value sum, const Indices &at) {
  points->bind(scan.getOutput(), sum, kInner);
  for (auto [value, pointer] :
       llvm::zip(yields(kernel), resultPointers(kernel, native)))
    points->store(points->evaluate(value, at),
                  points->address(
                      pointer, cast<RankedTensorType>(value.getType()), at));
}

/// Elements [begin, begin + kBlock) of the last dimension, for all positions.
void Scan::block(Value row, Value begin) {
  int64_t width = shape.back(), whole = width / kLanes * kLanes;
  Indices outer = outerIndices(row);
  Value end = emit.min(emit.add(begin, kBlock), emit.i64(whole));
  Value last = arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::sge,
                                     emit.add(begin, kBlock), emit.i64(width));
  Type i32 = emit.getI32Type();
  emit.loop(
      emit.i64(0), emit.i64(size), 1, {emit.zero(i32)},
      [&](Value i, ValueRange before) -> SmallVector<Value> {
        points->enter(kRow, i.getParentBlock()->getParentOp());
        points->enterInner();
        Value t = i;
        if (scan.getReverse())
          t = arith::SubIOp::create(emit, loc, emit.i64(size - 1), i);
        Indices at = outer;
        at[dim] = {t, 0, false, kInner};
        Value document = before[0], open;
        if (scan.getDocument()) {
          Indices leading(at.begin(), at.begin() + dim + 1);
          document = points->evaluate(scan.getDocument(), leading);
          open = goesOn(t, document, before[0]);
        } else {
          open = goesOn(t, {}, {});
        }
        auto visit = [&](Value base, Value mask) {
          points->enterInner(mask);
          at.back() = {base, 0, true, kInner};
          Value slot = emit.at(
              native.scratch, lanes.getElementType(),
              arith::SubIOp::create(emit, loc, base, begin).getResult());
          Value x = points->evaluateLanes(scan.getInput(), at);
          Value sum = step(decayAt(at), emit.load(lanes, slot), x);
          sum = select(open, sum, x);
          emit.store(sum, slot);
          storeAll(sum, at);
        };
        emit.loop(begin, end, kLanes, [&](Value j) { visit(j, nullptr); });
        if (whole < width)
          emit.ifThen(last, [&] {
            visit(emit.i64(whole), emit.mask(width - whole));
          });
        return {document};
      });
}

/// Each lane's sum over the lanes before it, by doubling distances: a lane
/// stands for the run that ends there, which `open` says goes on before it.
void Scan::combine(Value &x, Value &decay, Value &open) {
  auto moved = [&](Value value, Value fill, int64_t by) {
    SmallVector<int32_t> picks;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      int64_t from = scan.getReverse() ? lane + by : lane - by;
      picks.push_back(from < 0 || from >= kLanes ? kLanes : from);
    }
    return emit.shuffle(value, fill, picks);
  };
  Value yes = arith::ConstantOp::create(
      emit, loc,
      DenseElementsAttr::get(Emitter::lanes(emit.getI1Type()), true));
  for (int64_t by = 1; by < kLanes; by *= 2) {
    x = select(open, step(decay, moved(x, constant(0), by), x), x);
    if (decay)
      decay = arith::MulFOp::create(emit, loc, decay,
                                    moved(decay, constant(1), by));
    open = arith::AndIOp::create(emit, loc, open, moved(open, yes, by));
  }
}

/// 16 elements from `base`; `before` and the result: the sum and the document
/// of the element next to them.
SmallVector<Value> Scan::alongVector(const Indices &outer, Value base,
                                     Value mask, ValueRange before) {
  points->enterInner(mask);
  Indices at = outer;
  at[dim] = {base, 0, true, kInner};
  SmallVector<int64_t> steps;
  SmallVector<int32_t> neighbours;
  for (int32_t lane = 0; lane < kLanes; ++lane) {
    steps.push_back(lane);
    int32_t from = scan.getReverse() ? lane + 1 : lane - 1;
    neighbours.push_back(from < 0 || from >= kLanes ? kLanes : from);
  }
  Value iota = arith::ConstantOp::create(
      emit, loc,
      DenseElementsAttr::get(Emitter::lanes(emit.getI64Type()),
                             ArrayRef<int64_t>(steps)));
  Value position = arith::AddIOp::create(emit, loc, emit.splat(base), iota);
  int64_t end = scan.getReverse() ? 0 : kLanes - 1;
  Value document, last = before[1], open;
  if (scan.getDocument()) {
    document = points->evaluateLanes(scan.getDocument(), at);
    open = goesOn(position, document,
                  emit.shuffle(document, emit.splat(before[1]), neighbours));
    last = vector::ExtractOp::create(emit, loc, document, end);
  } else {
    open = goesOn(position, {}, {});
  }
  Value x = points->evaluateLanes(scan.getInput(), at), decay = decayAt(at);
  combine(x, decay, open);
  Value sum = select(open, step(decay, emit.splat(before[0]), x), x);
  storeAll(sum, at);
  return {vector::ExtractOp::create(emit, loc, sum, end), last};
}

void Scan::alongRow(Value row) {
  Indices outer = outerIndices(row);
  int64_t whole = size / kLanes * kLanes;
  SmallVector<Value> before = {emit.zero(emit.getF32Type()),
                               emit.zero(emit.getI32Type())};
  auto rest = [&] {
    if (whole == size)
      return;
    points->enter(kRow, nullptr);
    before = alongVector(outer, emit.i64(whole), emit.mask(size - whole),
                         before);
  };
  if (scan.getReverse())
    rest();
  if (whole)
    before = emit.loop(
        emit.i64(0), emit.i64(whole), kLanes, before,
        [&](Value i, ValueRange carried) -> SmallVector<Value> {
          points->enter(kRow, i.getParentBlock()->getParentOp());
          Value base = i;
          if (scan.getReverse())
            base = arith::SubIOp::create(emit, loc, emit.i64(whole - kLanes),
                                         i);
          return alongVector(outer, base, nullptr, carried);
        });
  if (!scan.getReverse())
    rest();
}

FailureOr<LoweredKernel> Scan::run() {
  if (!elementOf(scan.getInput()).isF32())
    return kernel.emitError("the CPU target scans f32 only, not ")
           << elementOf(scan.getInput());
  int64_t width = alongLanes() ? 1 : shape.back();
  int64_t blocks = llvm::divideCeil(width, kBlock);
  int64_t rows = ShapedType::getNumElements(shape) / size / width;
  int64_t units = rows * blocks;
  int64_t each = std::max<int64_t>(
      1, kTileElements / (size * std::min(width, kBlock)));
  LoweredKernel lowered;
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = llvm::divideCeil(units, each);
  launch.scratchBytes = alongLanes() ? 0 : kBlock * 4;
  launch.bindings = plainBindings(kernel);
  countBytes(kernel, launch);
  native = beginNative(emit, into, launch.symbol, launch.bindings.size());
  points = std::make_unique<PointEmitter>(emit, kernel, native.bindings);
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    points->enter(kOnce, tile.getParentBlock()->getParentOp());
    Value begin = emit.mul(tile, each);
    Value end = emit.min(emit.add(begin, each), emit.i64(units));
    emit.loop(begin, end, 1, [&](Value unit) {
      points->enter(kRow, nullptr);
      if (alongLanes())
        return alongRow(unit);
      block(emit.div(unit, blocks), emit.mul(emit.rem(unit, blocks), kBlock));
    });
  });
  if (!points->problem.empty())
    return kernel.emitError("the CPU target cannot lower this kernel: ")
           << points->problem;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace

FailureOr<LoweredKernel> lowerScan(KernelOp kernel, ModuleOp into) {
  return Scan(kernel, into).run();
}

} // namespace ltc::cpu
