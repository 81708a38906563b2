// SPDX-License-Identifier: Apache-2.0
// ltc.top_k: a warp takes a row. ltc.route, a stable counting sort: a block
// takes a group; it counts its slots, and in a second launch goes through all
// of them in order and places its own behind those of the groups before.
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {
namespace {

constexpr int64_t kRowThreads = 128, kSortThreads = 256;

class Choice {
public:
  Choice(KernelOp kernel, const Machine &machine)
      : kernel(kernel), machine(machine) {}

  FailureOr<LoweredKernel> run(ModuleOp into) {
    mlir::Block &body = kernel.getBody().front();
    Operation *op = &body.front();
    if (!llvm::hasSingleElement(body.without_terminator()) ||
        !isa<BlockArgument>(op->getOperand(0)) ||
        llvm::any_of(yields(kernel),
                     [&](Value v) { return v.getDefiningOp() != op; }))
      return kernel.emitError("the GPU targets choose from whole arguments, "
                              "and do nothing else in the same kernel");
    if (auto top = dyn_cast<TopKOp>(op)) {
      if (!elementOf(top.getInput()).isF32())
        return kernel.emitError("the GPU targets take the largest of f32 only");
      topK(top, into);
      return std::move(lowered);
    }
    auto route = cast<RouteOp>(op);
    slots = elements(route.getChoice());
    groups = elements(route.getOffsets()) - 1;
    lowered.workspaceBytes.push_back(groups * 8);
    count(into);
    place(route, into);
    return std::move(lowered);
  }

private:
  static int64_t elements(Value value) {
    return cast<RankedTensorType>(value.getType()).getNumElements();
  }
  /// Opens the next launch.
  void begin(ModuleOp into, StringRef suffix, int64_t tiles, int64_t threads) {
    emit.emplace(kernel.getLoc(), machine);
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine) + suffix.str(), tiles,
                 int(threads), lowered.workspaceBytes.size());
    emit->begin(into, launch);
    lowered.launches.push_back(std::move(launch));
  }
  /// Where the op's result goes; null if the kernel does not yield it.
  Value output(Value value) {
    size_t first = kernel.getBody().front().getNumArguments();
    for (auto [n, yielded] : llvm::enumerate(yields(kernel)))
      if (yielded == value)
        return emit->bindings[first + n];
    return {};
  }
  void store(Value value, Value result, Value index) {
    if (Value base = output(result))
      emit->storeIndex(value, base, index);
  }
  Value is(arith::CmpFPredicate how, Value a, Value b) {
    return arith::CmpFOp::create(*emit, emit->getLoc(), how, a, b);
  }
  Value is(arith::CmpIPredicate how, Value a, Value b) {
    return arith::CmpIOp::create(*emit, emit->getLoc(), how, a, b);
  }
  Value either(Value a, Value b) {
    return arith::OrIOp::create(*emit, emit->getLoc(), a, b);
  }

  struct Best {
    Value value, index;
  };
  /// Whether `a` stands before `b` in the order of falling value, then rising
  /// index; NaN stands for nothing.
  Value before(Best a, Best b) {
    Value tie = emit->both(is(arith::CmpFPredicate::OEQ, a.value, b.value),
                           is(arith::CmpIPredicate::slt, a.index, b.index));
    Value more = is(arith::CmpFPredicate::UGT, a.value, b.value);
    Value number = is(arith::CmpFPredicate::ORD, a.value, a.value);
    return emit->both(number, either(more, tie));
  }

  void topK(TopKOp op, ModuleOp into) {
    int64_t n = shapeOf(op.getInput()).back(),
            count = shapeOf(op.getValues()).back(),
            rows = elements(op.getValues()) / count;
    constexpr int64_t teams = kRowThreads / kWarp;
    begin(into, "", llvm::divideCeil(rows, teams), kRowThreads);
    Value lane = emit->rem(emit->thread, kWarp);
    Value row = emit->add(emit->mul(emit->block, teams),
                          emit->div(emit->thread, kWarp));
    Value mine = emit->isZero(lane);
    if (rows % teams) { // every thread goes on: shuffles need them all
      mine = emit->both(mine, emit->less(row, rows));
      row = emit->min(row, emit->i64(rows - 1));
    }
    Type f32 = emit->getF32Type();
    Value from = emit->at(emit->bindings[0], f32, emit->mul(row, n));
    Value all = emit->real(std::numeric_limits<double>::infinity());
    emit->loop(
        emit->i64(0), emit->i64(count), 1, {all, emit->i64(-1)},
        [&](Value j, ValueRange last) -> SmallVector<Value> {
          Best best = next(from, n, lane, j, {last[0], last[1]});
          Value at = emit->add(emit->mul(row, count), j);
          emit->guarded(mine, [&] {
            if (Value values = output(op.getValues()))
              emit->store(best.value, emit->at(values, f32, at));
            store(best.index, op.getChoice(), at);
          });
          return {best.value, best.index};
        });
  }

  /// The first that stands after `last`; NaN and j: there is none.
  Best next(Value from, int64_t n, Value lane, Value j, Best last) {
    Type f32 = emit->getF32Type();
    Value absent = emit->real(std::numeric_limits<double>::quiet_NaN());
    SmallVector<Value> found = emit->loop(
        lane, emit->i64(n), kWarp, {absent, j},
        [&](Value e, ValueRange so) -> SmallVector<Value> {
          Best here{emit->load(f32, emit->at(from, f32, e)), e};
          Value taken = before(last, here);
          Value better = emit->both(taken, before(here, {so[0], so[1]}));
          return {emit->select(better, here.value, so[0]),
                  emit->select(better, here.index, so[1])};
        });
    Best best{found[0], found[1]};
    for (int64_t distance = 1; distance < kWarp; distance *= 2) {
      Best other{emit->exchange(best.value, distance),
                 emit->exchange(best.index, distance)};
      Value better = before(other, best);
      best = {emit->select(better, other.value, best.value),
              emit->select(better, other.index, best.index)};
    }
    return best;
  }

  /// 1 if the slot chose this block's group, else 0.
  Value chosen(Value slot) {
    Value group = emit->clamp(emit->loadIndex(emit->bindings[0], slot), 0,
                              groups - 1);
    Value mine = is(arith::CmpIPredicate::eq, group, emit->block);
    return emit->select(mine, emit->i64(1), emit->i64(0));
  }
  Value counter(Value group) {
    return emit->at(emit->bindings.back(), emit->getI64Type(), group);
  }
  /// The sum of value(i) for i below `end`, in every thread.
  Value sum(Value end, std::function<Value(Value)> value) {
    Value own = emit->loop(emit->thread, end, kSortThreads, {emit->i64(0)},
                           [&](Value i, ValueRange so) -> SmallVector<Value> {
                             return {emit->add(so[0], value(i))};
                           })[0];
    return emit->teamFold({{own, ReduceKind::Sum}}, kSortThreads, false)[0];
  }

  void count(ModuleOp into) {
    begin(into, "_count", groups, kSortThreads);
    Value total =
        sum(emit->i64(slots), [&](Value slot) { return chosen(slot); });
    emit->guarded(emit->isZero(emit->thread),
                  [&] { emit->store(total, counter(emit->block)); });
  }

  void place(RouteOp op, ModuleOp into) {
    begin(into, "", groups, kSortThreads);
    Value first = sum(emit->block, [&](Value group) {
      return emit->load(emit->getI64Type(), counter(group));
    });
    emit->guarded(emit->isZero(emit->thread), [&] {
      store(first, op.getOffsets(), emit->block);
      Value last =
          is(arith::CmpIPredicate::eq, emit->block, emit->i64(groups - 1));
      emit->guarded(last, [&] {
        store(emit->i64(slots), op.getOffsets(), emit->i64(groups));
      });
    });
    Value room = emit->shared(kSortThreads / kWarp * 8);
    emit->loop(
        emit->i64(0), emit->i64(slots), kSortThreads, {first},
        [&](Value base, ValueRange so) -> SmallVector<Value> {
          Value slot = emit->add(base, emit->thread);
          Value mine = chosen(emit->min(slot, emit->i64(slots - 1)));
          mine = emit->select(emit->less(slot, slots), mine, emit->i64(0));
          auto [before, total] = countBefore(mine, room);
          Value row = emit->add(so[0], before);
          emit->guarded(emit->less(emit->i64(0), mine), [&] {
            store(slot, op.getSlot(), row);
            store(row, op.getPlace(), slot);
            store(emit->block, op.getGroup(), row);
          });
          return {emit->add(so[0], total)};
        });
  }

  /// The sum of `value` over the block's threads before this one, and over all.
  std::pair<Value, Value> countBefore(Value value, Value room) {
    Value none = emit->i64(0), before = none, total = value;
    for (int64_t distance = 1; distance < kWarp; distance *= 2) {
      Value other = emit->exchange(total, distance);
      Value lower = emit->select(emit->hasBit(distance), other, none);
      before = emit->add(before, lower);
      total = emit->add(total, other);
    }
    Type i64 = emit->getI64Type();
    Value warp = emit->div(emit->thread, kWarp);
    emit->barrier(); // the last round's values have been read
    emit->guarded(emit->isZero(emit->rem(emit->thread, kWarp)),
                  [&] { emit->store(total, emit->at(room, i64, warp)); });
    emit->barrier();
    Value all = none;
    for (int64_t w = 0; w < kSortThreads / kWarp; ++w) {
      Value part = emit->load(i64, emit->at(room, i64, w));
      Value lower = emit->select(emit->less(emit->i64(w), warp), part, none);
      before = emit->add(before, lower);
      all = emit->add(all, part);
    }
    return {before, all};
  }

  KernelOp kernel;
  const Machine &machine;
  std::optional<Block> emit;
  int64_t slots = 0, groups = 0;
  LoweredKernel lowered;
};

} // namespace

FailureOr<LoweredKernel> lowerChoice(KernelOp kernel, ModuleOp into,
                                     const Machine &machine) {
  return Choice(kernel, machine).run(into);
}

} // namespace ltc::gpu
