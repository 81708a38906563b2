// SPDX-License-Identifier: Apache-2.0
// One ltc.scan with what it reads and what follows. Where the last dimension is
// not the scanned one, a thread goes along the scanned one with one vector of
// the last, its sums in registers. Else a warp takes a row, 32 neighbours at a
// time: they are combined by doubling distances, then meet what came before.
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {
namespace {

constexpr int64_t kThreads = 128;

class Scan {
public:
  Scan(KernelOp kernel, const Machine &machine)
      : kernel(kernel), machine(machine), emit(kernel.getLoc(), machine),
        loc(kernel.getLoc()),
        scan(*kernel.getBody().front().getOps<ScanOp>().begin()),
        shape(shapeOf(scan.getInput())), dim(scan.getDim()), size(shape[dim]) {}

  FailureOr<LoweredKernel> run(ModuleOp into) {
    if (!elementOf(scan.getInput()).isF32())
      return kernel.emitError("the GPU targets scan f32 only, not ")
             << elementOf(scan.getInput());
    bool alongRow = dim + 1 == int64_t(shape.size());
    int64_t last = alongRow ? 1 : shape.back();
    width = alongRow || last % kVector ? 1 : kVector;
    int64_t units = ShapedType::getNumElements(shape) / size / width;
    int64_t teams = alongRow ? kThreads / kWarp : kThreads;
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine),
                 llvm::divideCeil(units, teams), kThreads, 0);
    emit.begin(into, launch);
    emit.width = width;
    points.emplace(emit, kernel, emit.bindings);
    points->alignment = machine.aligned ? kAlignment : 1;
    Value unit = emit.add(emit.mul(emit.block, teams),
                          emit.div(emit.thread, kThreads / teams));
    if (units % teams) { // every thread goes on: shuffles need them all
      valid = emit.less(unit, units);
      unit = emit.min(unit, emit.i64(units - 1));
    }
    alongRow ? overRow(unit) : overSteps(unit);
    if (failed(checked(kernel, points->problem)))
      return failure();
    LoweredKernel lowered;
    lowered.launches.push_back(std::move(launch));
    return lowered;
  }

private:
  /// What stands for a run of neighbours: its sum, the product of its decays
  /// (null: 1), and whether it goes on from the element before it.
  struct Run {
    Value sum, decay, open;
  };

  /// The unit's position in each dimension but the scanned one.
  Indices outerIndices(Value unit) {
    Indices outer(shape.size());
    for (int64_t d = shape.size() - 1; d >= 0; --d) {
      if (d == dim)
        continue;
      bool last = d + 1 == int64_t(shape.size());
      int64_t count = last ? shape[d] / width : shape[d];
      Value own = emit.rem(unit, count);
      outer[d] = {last ? emit.mul(own, width) : own, 0, last && width > 1,
                  kRow};
      unit = emit.div(unit, count);
    }
    return outer;
  }
  /// The element of step `i`.
  Value positionOf(Value i) {
    return scan.getReverse() ? emit.sub(emit.i64(size - 1), i) : i;
  }
  Value valueAt(Value tensor, const Indices &at) {
    return width > 1 ? points->evaluateLanes(tensor, at)
                     : points->evaluate(tensor, at);
  }
  Value documentAt(Indices at, Value position) {
    at.resize(dim + 1);
    at[dim] = {position, 0, false, kInner};
    return points->evaluate(scan.getDocument(), at);
  }
  /// decay * before + x, or their sum.
  Value step(Value decay, Value before, Value x) {
    if (!decay)
      return arith::AddFOp::create(emit, loc, before, x);
    return math::FmaOp::create(emit, loc, decay, before, x);
  }
  Value differs(Value a, Value b) {
    return arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::ne, a, b);
  }
  Value equals(Value a, Value b) {
    return arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::eq, a, b);
  }

  void enter(Value i) {
    Operation *loop = i.getParentBlock()->getParentOp();
    points->enter(kOnce, loop);
    points->enter(kRow, loop);
    points->enterInner();
  }

  void storeAll(Value sum, const Indices &at, Value condition) {
    points->bind(scan.getOutput(), sum, kInner);
    SmallVector<Value> values;
    for (Value value : yields(kernel))
      values.push_back(points->evaluate(value, at));
    size_t first = kernel.getBody().front().getNumArguments();
    emit.guarded(condition, [&] {
      for (auto [n, value] : llvm::enumerate(yields(kernel))) {
        auto type = cast<RankedTensorType>(value.getType());
        points->store(values[n], points->address(emit.bindings[first + n],
                                                 type, at));
      }
    });
  }

  void overSteps(Value unit) {
    Indices outer = outerIndices(unit);
    Type f32 = emit.getF32Type();
    Value nothing = emit.zero(width > 1 ? Type(emit.wide(f32)) : f32);
    emit.loop(
        emit.i64(0), emit.i64(size), 1,
        {nothing, emit.zero(emit.getI32Type())},
        [&](Value i, ValueRange before) -> SmallVector<Value> {
          enter(i);
          Value t = positionOf(i), document = before[1];
          Indices at = outer;
          at[dim] = {t, 0, false, kInner};
          Value open = differs(i, emit.i64(0));
          if (scan.getDocument()) {
            document = documentAt(outer, t);
            open = emit.both(open, equals(document, before[1]));
          }
          Value x = valueAt(scan.getInput(), at), decay;
          if (scan.getDecay())
            decay = valueAt(scan.getDecay(), at);
          Value sum = emit.select(open, step(decay, before[0], x), x);
          storeAll(sum, at, valid);
          return {sum, document};
        });
  }

  void overRow(Value row) {
    Indices outer = outerIndices(row);
    Value lane = emit.rem(emit.thread, kWarp);
    emit.loop(
        emit.i64(0), emit.i64(size), kWarp, {emit.real(0)},
        [&](Value base, ValueRange before) -> SmallVector<Value> {
          enter(base);
          Value i = emit.add(base, lane), inside;
          if (size % kWarp) {
            inside = emit.less(i, size);
            i = emit.min(i, emit.i64(size - 1));
          }
          Indices at = outer;
          at[dim] = {positionOf(i), 0, false, kInner};
          Run mine = neutralOutside(inside, runAt(at, i));
          auto [upTo, all] = combined(mine);
          Value sum = join(before[0], upTo), last = join(before[0], all);
          storeAll(sum, at, emit.both(inside, valid));
          return {last};
        });
  }

  /// The element of step `i` alone.
  Run runAt(const Indices &at, Value i) {
    Value open = differs(i, emit.i64(0));
    if (scan.getDocument()) {
      Value previous = arith::MaxSIOp::create(
          emit, loc, emit.add(i, emit.i64(-1)), emit.i64(0));
      Value document = documentAt(at, at[dim].base);
      Value other = documentAt(at, positionOf(previous));
      open = emit.both(open, equals(document, other));
    }
    Value decay;
    if (scan.getDecay())
      decay = points->evaluate(scan.getDecay(), at);
    return {points->evaluate(scan.getInput(), at), decay, open};
  }
  Run neutralOutside(Value inside, Run run) {
    if (!inside)
      return run;
    Value yes = arith::ConstantIntOp::create(emit, loc, 1, 1);
    if (run.decay)
      run.decay = emit.select(inside, run.decay, emit.real(1));
    return {emit.select(inside, run.sum, emit.real(0)), run.decay,
            emit.select(inside, run.open, yes)};
  }
  /// What `run` leaves after an element whose sum is `before`.
  Value join(Value before, const Run &run) {
    return emit.select(run.open, step(run.decay, before, run.sum), run.sum);
  }
  Run join(const Run &a, const Run &b) {
    Value sum = join(a.sum, b), decay;
    if (a.decay)
      decay = arith::MulFOp::create(emit, loc, b.decay, a.decay);
    return {sum, decay, emit.both(a.open, b.open)};
  }
  Run select(Value condition, const Run &a, const Run &b) {
    Value sum = emit.select(condition, a.sum, b.sum), decay;
    if (a.decay)
      decay = emit.select(condition, a.decay, b.decay);
    return {sum, decay, emit.select(condition, a.open, b.open)};
  }

  /// The runs of the warp's threads up to this one's, and of all.
  std::pair<Run, Run> combined(const Run &own) {
    Run upTo = own, all = own;
    for (int64_t distance = 1; distance < kWarp; distance *= 2) {
      Run other{emit.exchange(all.sum, distance), {}, {}};
      if (all.decay)
        other.decay = emit.exchange(all.decay, distance);
      other.open = exchangeBit(all.open, distance);
      Value second = emit.hasBit(distance);
      upTo = select(second, join(other, upTo), upTo);
      all = select(second, join(other, all), join(all, other));
    }
    return {upTo, all};
  }
  Value exchangeBit(Value bit, int64_t distance) {
    Value word = arith::ExtUIOp::create(emit, loc, emit.getI32Type(), bit);
    Value moved = emit.exchange(word, distance);
    return arith::TruncIOp::create(emit, loc, bit.getType(), moved);
  }

  KernelOp kernel;
  const Machine &machine;
  Block emit;
  Location loc;
  ScanOp scan;
  ArrayRef<int64_t> shape;
  int64_t dim, size, width = 1;
  Value valid; ///< this thread's unit exists; null: always
  std::optional<PointEmitter> points;
};

} // namespace

FailureOr<LoweredKernel> lowerScan(KernelOp kernel, ModuleOp into,
                                   const Machine &machine) {
  return Scan(kernel, machine).run(into);
}

} // namespace ltc::gpu
