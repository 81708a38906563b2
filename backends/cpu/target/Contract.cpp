// SPDX-License-Identifier: Apache-2.0
// Matrix products with their epilogue. A tile is a block of rows times a block
// of columns: it packs its columns of B into panels [k][16 * vectors], then
// runs a register tile of `rows` x `vectors` accumulators down all of k.
// Every output is one chain of fused multiply-adds in ascending k, whatever
// the blocking; the epilogue sees the full sum.
// (Goto, van de Geijn: Anatomy of High-Performance Matrix Multiplication.)
#include "backends/cpu/target/ContractPlan.h"
#include "backends/cpu/target/Lowering.h"
#include "backends/cpu/target/PointEmitter.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

constexpr int64_t kRowBlock = 1024;      ///< rows of a tile at most,
constexpr int64_t kLeastRows = 256;      ///< and at least, where rows make
constexpr int64_t kTiles = 16;           ///< up to so many tiles
constexpr int64_t kPackedFloats = 1 << 17; ///< of a tile's panels: half of L2
constexpr int64_t kMaxK = 1536;          ///< longer sums go by blocks of k
constexpr int64_t kPackedRows = 64;
constexpr int64_t kUnroll = 4;
constexpr int64_t kAhead = 8; ///< k that packing prefetches, rows apart

/// Blocks of at most `most`, in multiples of `step`, that fill `size` with the
/// least left over: the last tile is not a small one.
int64_t evenBlock(int64_t size, int64_t step, int64_t most) {
  int64_t steps = llvm::divideCeil(size, step);
  int64_t widest = std::clamp<int64_t>(most / step, 1, steps), best = widest;
  auto filled = [&](int64_t width) {
    return llvm::divideCeil(steps, width) * width;
  };
  for (int64_t width = widest; 2 * width >= widest; --width)
    if (filled(width) < filled(best))
      best = width;
  return best * step;
}

class Contract {
public:
  Contract(KernelOp kernel, ModuleOp into)
      : kernel(kernel), into(into), emit(kernel.getLoc(), kernel.getContext()) {
  }
  FailureOr<LoweredKernel> run();

private:
  LogicalResult plan();
  void chooseBlocks();
  void emitTile(Value tile);
  void packColumns(Value k0, Value kCount, Value n0, Value nEnd);
  void packPanel(Value panel, Value packed, Value k0, Value kCount,
                 int64_t vectors);
  void packTransposed(Value panel, Value packed, Value k0, Value kCount,
                      int64_t vectors);
  void packRows(Value m, int64_t span, Value k0, Value kCount);
  /// Calls body(position, width) for whole steps and for the static remainder.
  void overSteps(Value begin, Value end, int64_t size, int64_t step,
                 std::function<void(Value, int64_t)> body);
  /// The same over rows, whose remainder is static unless they are ragged.
  void overRows(Value begin, Value end, int64_t step,
                std::function<void(Value, int64_t)> body);
  void emitRows(Value m0, int64_t span, Value nEnd, Value k0, Value kCount);
  void emitRegisterTile(Value m, int64_t rows, Value n, int64_t width,
                        Value aBase, Value panel, Value k0, Value kCount);
  SmallVector<Value> sumOverK(SmallVector<Value> sums, Value aBase,
                              Value panel, Value k0, Value kCount,
                              int64_t rows, int64_t vectors);
  void multiplyAdd(MutableArrayRef<Value> sums, Value aRow, Value bRow,
                   int64_t rows, int64_t vectors, int64_t unrolled);
  void finish(Value m, int64_t rows, Value n, int64_t width,
              ArrayRef<Value> sums);
  void emitGroups(Value mEnd, Value nEnd);
  void emitProduct(Value m0, Value m1, Value nEnd, Value kBegin, Value kEnd);
  std::pair<Value, Value> rowsOfGroup(Value group);
  Value sum() { return contract->getResult(0); }
  Indices outIndices(Value m, Value n);
  Value sumAddress(Value m, Value n);
  bool rowsPacked() const { return plan_.k.back().a != 1 || plan_.k.size() > 1; }
  /// Rows packed at once: where they are neighbours, a whole cache line and
  /// more of each k, as a k may be a page apart.
  int64_t packedRows() const {
    bool wide = rowsPacked() && plan_.m.a == 1;
    return wide ? std::max(rows, kPackedRows / rows * rows) : rows;
  }
  int64_t ahead(int64_t Axis::*stride) const {
    return kAhead * (plan_.k.back().*stride);
  }
  bool blockedK() const { return kBlock < plan_.kSize(); }

  KernelOp kernel;
  ModuleOp into;
  Emitter emit;
  Operation *contract = nullptr;        ///< plain or grouped
  ContractPlan plan_;
  Type f32;
  int64_t vectors = 3, rows = 8;        ///< register tile
  int64_t mBlock, nBlock, kBlock;       ///< tile
  int64_t mTiles, nTiles;
  NativeFunction native;
  PointEmitter *points = nullptr;
  Value aTile, bTile;                   ///< operands at the tile's outer point
  Value bTileOfAll;                     ///< before the group is chosen
  Value packedB, packedA, sums;         ///< in scratch
  Value mBegin, nBegin;                 ///< of the tile
  SmallVector<Value> outerAt;           ///< index per outer axis
};

LogicalResult Contract::plan() {
  for (Operation &op : kernel.getBody().front()) {
    if (!isa<ContractOp, GroupedContractOp>(op))
      continue;
    if (contract)
      return kernel.emitError("the CPU target takes one contraction a kernel");
    contract = &op;
  }
  bool plain = llvm::all_of(kernel.getBody().front().without_terminator(),
                            [](Operation &op) {
                              return isa<ContractOp, GroupedContractOp, SliceOp,
                                         ReshapeOp>(op);
                            });
  std::string why;
  auto planned = planContract(contract, plain, why);
  if (failed(planned))
    return kernel.emitError("the CPU target cannot lower this kernel: ") << why;
  plan_ = *planned;
  if (plan_.k.empty())
    plan_.k.push_back({1, 1, 1, {}});
  f32 = Float32Type::get(kernel.getContext());
  for (Value value : contract->getOperands().take_front(2))
    if (elementOf(value) != f32)
      return kernel.emitError("the CPU target contracts f32 only, not ")
             << elementOf(value);
  for (Value result : yields(kernel))
    if (shapeOf(result) != shapeOf(sum()))
      return kernel.emitError("the CPU target stores only values of the "
                              "contraction's own shape beside it");
  return success();
}

/// 8 x 48 where columns divide by 48, else 6 x 64 or 12 x 32: 24 accumulators.
void Contract::chooseBlocks() {
  int64_t n = plan_.n.size;
  vectors = n % 48 == 0 ? 3 : n % 64 == 0 ? 4 : n % 32 == 0 ? 2 : 3;
  if (n < 48 && n % 32 != 0)
    vectors = llvm::divideCeil(n, kLanes);
  rows = 24 / vectors > 12 ? 12 : 24 / vectors;
  rows = std::min(rows, plan_.m.size);
  kBlock = plan_.k.size() == 1 && plan_.kSize() > kMaxK ? kMaxK / 2
                                                        : plan_.kSize();
  int64_t step = vectors * kLanes;
  nBlock = evenBlock(n, step, kPackedFloats / kBlock);
  int64_t others = llvm::divideCeil(n, nBlock);
  for (const Axis &axis : plan_.outer)
    others *= axis.size;
  int64_t rowTiles =
      std::min<int64_t>(llvm::divideCeil(kTiles, others),
                        llvm::divideCeil(plan_.m.size, kLeastRows));
  int64_t most = llvm::divideCeil(plan_.m.size, rowTiles) + rows;
  mBlock = evenBlock(plan_.m.size, packedRows(), std::min(kRowBlock, most));
  mTiles = llvm::divideCeil(plan_.m.size, mBlock);
  nTiles = llvm::divideCeil(n, nBlock);
}

void Contract::overSteps(Value begin, Value end, int64_t size, int64_t step,
                         std::function<void(Value, int64_t)> body) {
  Value count = arith::SubIOp::create(emit, emit.getLoc(), end, begin);
  Value rest = emit.rem(count, step);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), end, rest);
  if (size >= step)
    emit.loop(begin, whole, step, [&](Value at) { body(at, step); });
  if (size % step == 0)
    return;
  Value last = arith::CmpIOp::create(emit, emit.getLoc(),
                                     arith::CmpIPredicate::sgt, rest,
                                     emit.i64(0));
  emit.ifThen(last, [&] { body(whole, size % step); });
}

/// Ragged: whole steps, then the rest by halves, each length compiled once.
void Contract::overRows(Value begin, Value end, int64_t step,
                        std::function<void(Value, int64_t)> body) {
  if (!plan_.ragged() || plan_.sumsRows)
    return overSteps(begin, end, plan_.m.size, step, body);
  Location loc = emit.getLoc();
  Value count = arith::SubIOp::create(emit, loc, end, begin);
  Value at = arith::SubIOp::create(emit, loc, end, emit.rem(count, step));
  emit.loop(begin, at, step, [&](Value row) { body(row, step); });
  for (int64_t size = llvm::bit_floor(uint64_t(step - 1)); size; size /= 2) {
    Value next = emit.add(at, size);
    Value fits = arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::sle,
                                       next, end);
    emit.ifThen(fits, [&] { body(at, size); });
    at = arith::SelectOp::create(emit, loc, fits, next, at);
  }
}

/// Panels of B for columns [n0, nEnd): [panel][k][16 * vectors].
void Contract::packColumns(Value k0, Value kCount, Value n0, Value nEnd) {
  int64_t step = vectors * kLanes;
  overSteps(n0, nEnd, plan_.n.size, step, [&](Value n, int64_t width) {
    Value from = arith::SubIOp::create(emit, emit.getLoc(), n, n0);
    Value packed = emit.at(packedB, f32, emit.mul(from, kBlock));
    int64_t used = llvm::divideCeil(width, kLanes);
    if (plan_.n.b != 1 && plan_.k.size() == 1 && plan_.k[0].b == 1)
      return packTransposed(n, packed, k0, kCount, used);
    packPanel(n, packed, k0, kCount, used);
  });
}

/// Address of B[n, k] for a flattened k.
static Value kOffset(Emitter &emit, ArrayRef<Axis> axes, Value k,
                     int64_t Axis::*stride) {
  Value offset = emit.i64(0);
  for (const Axis &axis : llvm::reverse(axes)) {
    bool outermost = &axis == axes.begin();
    Value here = outermost ? k : emit.rem(k, axis.size);
    offset = emit.add(offset, emit.mul(here, axis.*stride));
    k = outermost ? k : emit.div(k, axis.size);
  }
  return offset;
}

void Contract::packPanel(Value n, Value packed, Value k0, Value kCount,
                         int64_t used) {
  VectorType lanes = Emitter::lanes(f32);
  bool ragged = plan_.n.size % kLanes != 0;
  emit.loop(emit.i64(0), kCount, 1, [&](Value k) {
    Value row = emit.at(bTile, f32,
                        kOffset(emit, plan_.k, emit.add(k0, k), &Axis::b));
    Value to =
        emit.at(packed, f32, emit.mul(k, vectors * kLanes));
    for (int64_t v = 0; v < used; ++v) {
      Value column = emit.add(n, v * kLanes);
      if (plan_.n.b == 1)
        emit.prefetch(emit.at(row, f32, emit.add(column, ahead(&Axis::b))));
      Value mask;
      if (ragged)
        mask = emit.maskBelow(arith::SubIOp::create(
            emit, emit.getLoc(), emit.i64(plan_.n.size), column));
      Value from = emit.at(row, f32, emit.mul(column, plan_.n.b));
      emit.store(emit.loadStrided(lanes, from, plan_.n.b, mask),
                 emit.at(to, f32, v * kLanes));
    }
  });
}

/// B stored [n][k]: 16 x 16 blocks are transposed in registers.
void Contract::packTransposed(Value n, Value packed, Value k0, Value kCount,
                              int64_t used) {
  VectorType lanes = Emitter::lanes(f32);
  auto block = [&](Value k, Value mask, int64_t v, Value kEnd) {
    SmallVector<Value> block;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      Value column = emit.min(emit.add(n, v * kLanes + lane),
                              emit.i64(plan_.n.size - 1));
      Value from =
          emit.at(bTile, f32,
                  emit.add(emit.mul(column, plan_.n.b), emit.add(k0, k)));
      block.push_back(mask ? emit.loadMasked(lanes, from, mask)
                           : emit.load(lanes, from));
    }
    emit.transpose16(block);
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      Value to = emit.at(packed, f32,
                         emit.add(emit.mul(emit.add(k, lane),
                                           vectors * kLanes),
                                  v * kLanes));
      if (!mask) {
        emit.store(block[lane], to);
        continue;
      }
      Value inside = arith::CmpIOp::create(emit, emit.getLoc(),
                                           arith::CmpIPredicate::slt,
                                           emit.add(k, lane), kEnd);
      emit.ifThen(inside, [&] { emit.store(block[lane], to); });
    }
  };
  Value rest = emit.rem(kCount, kLanes);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), kCount, rest);
  for (int64_t v = 0; v < used; ++v) {
    emit.loop(emit.i64(0), whole, kLanes,
              [&](Value k) { block(k, nullptr, v, kCount); });
    if (!plan_.sumsRows && plan_.kSize() % kLanes == 0 && kBlock % kLanes == 0)
      continue;
    Value some = arith::CmpIOp::create(emit, emit.getLoc(),
                                       arith::CmpIPredicate::sgt, rest,
                                       emit.i64(0));
    emit.ifThen(some, [&] { block(whole, emit.maskBelow(rest), v, kCount); });
  }
}

/// Strips [strip][k][rows] of A where A is not contiguous along k.
void Contract::packRows(Value m, int64_t span, Value k0, Value kCount) {
  emit.loop(emit.i64(0), kCount, 1, [&](Value k) {
    Value from =
        emit.at(aTile, f32,
                emit.add(kOffset(emit, plan_.k, emit.add(k0, k), &Axis::a),
                         emit.mul(m, plan_.m.a)));
    Value to = emit.at(packedA, f32, emit.mul(k, rows));
    for (int64_t i = 0; plan_.m.a == 1 && i < span; i += kLanes)
      emit.prefetch(emit.at(from, f32, emit.i64(i + ahead(&Axis::a))));
    for (int64_t i = 0; i < span;) {
      int64_t count = plan_.m.a == 1 ? std::min(rows, span - i) : 1;
      Type piece = count == 1 ? f32 : Type(Emitter::lanes(f32, count));
      int64_t place = i / rows * rows * kBlock + i % rows;
      emit.store(emit.load(piece, emit.at(from, f32, emit.i64(i * plan_.m.a))),
                 emit.at(to, f32, emit.i64(place)));
      i += count;
    }
  });
}

void Contract::multiplyAdd(MutableArrayRef<Value> sums, Value aRow, Value bRow,
                           int64_t count, int64_t used, int64_t step) {
  int64_t aStep = rowsPacked() ? rows : 1, aRowStep = rowsPacked() ? 1 : plan_.m.a;
  SmallVector<Value> b;
  for (int64_t v = 0; v < used; ++v)
    b.push_back(emit.load(
        Emitter::lanes(f32),
        emit.at(bRow, f32, emit.i64((step * vectors + v) * kLanes))));
  for (int64_t i = 0; i < count; ++i) {
    Value a = emit.splat(emit.load(
        f32, emit.at(aRow, f32, emit.i64(i * aRowStep + step * aStep))));
    for (int64_t v = 0; v < used; ++v)
      sums[i * used + v] = vector::FMAOp::create(
          emit, emit.getLoc(), a, b[v], sums[i * used + v]);
  }
}

SmallVector<Value> Contract::sumOverK(SmallVector<Value> sums, Value aBase,
                                      Value panel, Value k0, Value kCount,
                                      int64_t count, int64_t used) {
  auto body = [&](int64_t unroll) {
    return [&, unroll](Value k, ValueRange carried) -> SmallVector<Value> {
      SmallVector<Value> next(carried);
      Value aRow = rowsPacked()
                       ? emit.at(aBase, f32, emit.mul(k, rows))
                       : emit.at(aBase, f32, emit.add(k0, k));
      Value bRow = emit.at(panel, f32, emit.mul(k, vectors * kLanes));
      for (int64_t step = 0; step < unroll; ++step)
        multiplyAdd(next, aRow, bRow, count, used, step);
      return next;
    };
  };
  Value rest = emit.rem(kCount, kUnroll);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), kCount, rest);
  sums = emit.loop(emit.i64(0), whole, kUnroll, sums, body(kUnroll));
  if (plan_.sumsRows || plan_.kSize() % kUnroll || kBlock % kUnroll)
    sums = emit.loop(whole, kCount, 1, sums, body(1));
  return sums;
}

/// Where a partial sum over blocks of k waits: [m][n] of the tile.
Value Contract::sumAddress(Value m, Value n) {
  Value row = arith::SubIOp::create(emit, emit.getLoc(), m, mBegin);
  Value column = arith::SubIOp::create(emit, emit.getLoc(), n, nBegin);
  return emit.at(sums, f32, emit.add(emit.mul(row, nBlock), column));
}

void Contract::emitRegisterTile(Value m, int64_t count, Value n, int64_t width,
                                Value aBase, Value panel, Value k0,
                                Value kCount) {
  int64_t used = llvm::divideCeil(width, kLanes);
  SmallVector<Value> chain;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t v = 0; v < used; ++v)
      chain.push_back(
          blockedK() ? emit.load(Emitter::lanes(f32),
                                 sumAddress(emit.add(m, i),
                                            emit.add(n, v * kLanes)))
                     : emit.zero(Emitter::lanes(f32)));
  chain = sumOverK(chain, aBase, panel, k0, kCount, count, used);
  if (!blockedK())
    return finish(m, count, n, width, chain);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t v = 0; v < used; ++v)
      emit.store(chain[i * used + v],
                 sumAddress(emit.add(m, i), emit.add(n, v * kLanes)));
}

/// Position of output row m, column n (the first of 16 lanes).
Indices Contract::outIndices(Value m, Value n) {
  Indices at(shapeOf(sum()).size());
  auto place = [&](const Axis &axis, Value position, Level level, bool lanes) {
    for (int64_t i = int64_t(axis.outs.size()) - 1; i >= 0; --i) {
      int64_t dim = axis.outs[i];
      int64_t size = shapeOf(sum())[dim];
      at[dim] = {i ? emit.rem(position, size) : position, 0, lanes, level};
      position = emit.div(position, size);
      lanes = false;
    }
  };
  for (auto [axis, position] : llvm::zip(plan_.outer, outerAt))
    place(axis, position, kRow, false);
  place(plan_.m, m, kRow, false);
  place(plan_.n, n, kInner, true);
  return at;
}

/// The epilogue and the store of `count` rows by `width` columns.
void Contract::finish(Value m, int64_t count, Value n, int64_t width,
                      ArrayRef<Value> sums) {
  ArrayRef<Value> results = resultPointers(kernel, native);
  int64_t used = llvm::divideCeil(width, kLanes);
  for (int64_t i = 0; i < count; ++i) {
    points->enter(kRow, nullptr);
    for (int64_t v = 0; v < used; ++v) {
      int64_t left = width - v * kLanes;
      points->enterInner(left < kLanes ? emit.mask(left) : Value());
      points->bind(sum(), sums[i * used + v], kInner);
      Indices at = outIndices(emit.add(m, i), emit.add(n, v * kLanes));
      for (auto [result, value] : llvm::zip(results, yields(kernel)))
        points->store(points->evaluate(value, at),
                      points->address(
                          result, cast<RankedTensorType>(value.getType()), at));
    }
  }
}

/// Register tiles of the rows [m0, m0 + span) by the tile's columns.
void Contract::emitRows(Value m0, int64_t span, Value nEnd, Value k0,
                        Value kCount) {
  Value mEnd = emit.add(m0, span);
  overSteps(m0, mEnd, span, rows, [&](Value m, int64_t count) {
    Value strip = arith::SubIOp::create(emit, emit.getLoc(), m, m0);
    Value aBase = rowsPacked()
                      ? emit.at(packedA, f32, emit.mul(strip, kBlock))
                      : emit.at(aTile, f32, emit.mul(m, plan_.m.a));
    overSteps(nBegin, nEnd, plan_.n.size, vectors * kLanes,
              [&](Value n, int64_t width) {
                Value from =
                    arith::SubIOp::create(emit, emit.getLoc(), n, nBegin);
                Value panel = emit.at(packedB, f32, emit.mul(from, kBlock));
                emitRegisterTile(m, count, n, width, aBase, panel, k0, kCount);
              });
  });
}

/// First row of the group, and of the next.
std::pair<Value, Value> Contract::rowsOfGroup(Value group) {
  Value base =
      native.bindings[cast<BlockArgument>(plan_.offsets).getArgNumber()];
  auto read = [&](Value index) -> Value {
    Type i32 = emit.getI32Type();
    return arith::ExtSIOp::create(emit, emit.getLoc(), emit.getI64Type(),
                                  emit.load(i32, emit.at(base, i32, index)));
  };
  return {read(group), read(emit.add(group, 1))};
}

/// The tile's rows, each group's with the group's B. Blocks of rows are the
/// same whatever the groups, so that tiles are of equal work.
void Contract::emitGroups(Value mEnd, Value nEnd) {
  Location loc = emit.getLoc();
  emit.loop(0, plan_.groups, 1, [&](Value group) {
    auto [from, to] = rowsOfGroup(group);
    Value begin = arith::MaxSIOp::create(emit, loc, from, mBegin);
    Value end = emit.min(to, mEnd);
    Value some = arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::slt,
                                       begin, end);
    emit.ifThen(some, [&] {
      bTile = emit.at(bTileOfAll, f32, emit.mul(group, plan_.bGroup));
      emitProduct(begin, end, nEnd, emit.i64(0), emit.i64(plan_.kSize()));
    });
  });
}

/// Rows [m0, m1) by the tile's columns, summed over [kBegin, kEnd).
void Contract::emitProduct(Value m0, Value m1, Value nEnd, Value kBegin,
                           Value kEnd) {
  auto block = [&](Value k0) {
    Value kCount =
        emit.min(emit.i64(kBlock),
                 arith::SubIOp::create(emit, emit.getLoc(), kEnd, k0));
    packColumns(k0, kCount, nBegin, nEnd);
    overRows(m0, m1, packedRows(), [&](Value m, int64_t span) {
      if (rowsPacked())
        packRows(m, span, k0, kCount);
      emitRows(m, span, nEnd, k0, kCount);
    });
  };
  if (!blockedK())
    return block(kBegin);
  emit.loop(kBegin, kEnd, kBlock, block);
  overRows(m0, m1, 1, [&](Value m, int64_t count) {
    overSteps(nBegin, nEnd, plan_.n.size, kLanes, [&](Value n, int64_t width) {
      finish(m, count, n, width,
             {emit.load(Emitter::lanes(f32), sumAddress(m, n))});
    });
  });
}

void Contract::emitTile(Value tile) {
  points->enter(kRow, nullptr);
  points->enterInner();
  outerAt.assign(plan_.outer.size(), Value());
  // Groups are neighbours: a thread's tiles are of groups long and short.
  if (plan_.sumsRows) {
    outerAt[0] = emit.rem(tile, plan_.groups);
    tile = emit.div(tile, plan_.groups);
  }
  Value nTile = emit.rem(tile, nTiles), rest = emit.div(tile, nTiles);
  Value mTile = emit.rem(rest, mTiles);
  rest = emit.div(rest, mTiles);
  Value aOffset = emit.i64(plan_.aOffset), bOffset = emit.i64(plan_.bOffset);
  for (int64_t i = int64_t(plan_.outer.size()) - 1; i >= 0; --i) {
    const Axis &axis = plan_.outer[i];
    if (!outerAt[i]) {
      outerAt[i] = emit.rem(rest, axis.size);
      rest = emit.div(rest, axis.size);
    }
    aOffset = emit.add(aOffset, emit.mul(outerAt[i], axis.a));
    bOffset = emit.add(bOffset, emit.mul(outerAt[i], axis.b));
  }
  auto pointerOf = [&](Value argument) {
    return native.bindings[cast<BlockArgument>(argument).getArgNumber()];
  };
  aTile = emit.at(pointerOf(plan_.a), f32, aOffset);
  bTile = bTileOfAll = emit.at(pointerOf(plan_.b), f32, bOffset);
  mBegin = emit.mul(mTile, mBlock);
  nBegin = emit.mul(nTile, nBlock);
  Value mEnd = emit.min(emit.add(mBegin, mBlock), emit.i64(plan_.m.size));
  Value nEnd = emit.min(emit.add(nBegin, nBlock), emit.i64(plan_.n.size));
  if (blockedK())
    emit.loop(0, mBlock * nBlock, kLanes, [&](Value i) {
      emit.store(emit.zero(Emitter::lanes(f32)), emit.at(sums, f32, i));
    });
  if (plan_.ragged() && !plan_.sumsRows)
    return emitGroups(mEnd, nEnd);
  Value kBegin = emit.i64(0), kEnd = emit.i64(plan_.kSize());
  if (plan_.sumsRows) {
    auto [from, to] = rowsOfGroup(outerAt[0]);
    kBegin = emit.mul(from, plan_.perRow);
    kEnd = emit.mul(to, plan_.perRow);
  }
  emitProduct(mBegin, mEnd, nEnd, kBegin, kEnd);
}

FailureOr<LoweredKernel> Contract::run() {
  if (failed(plan()))
    return failure();
  chooseBlocks();
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = mTiles * nTiles;
  for (const Axis &axis : plan_.outer)
    launch.tiles *= axis.size;
  launch.flops = cast<CostInterface>(contract).flops();
  launch.bindings = plainBindings(kernel);
  countBytes(kernel, launch);
  int64_t packed = llvm::alignTo(kBlock, kLanes) * nBlock;
  int64_t strip = rowsPacked() ? llvm::alignTo(kBlock * packedRows(), kLanes) : 0;
  int64_t partial = blockedK() ? mBlock * nBlock : 0;
  launch.scratchBytes = 4 * (packed + strip + partial);
  native = beginNative(emit, into, launch.symbol, launch.bindings.size());
  packedB = native.scratch;
  packedA = emit.at(native.scratch, f32, emit.i64(packed));
  sums = emit.at(native.scratch, f32, emit.i64(packed + strip));
  PointEmitter emitter(emit, kernel, native.bindings);
  points = &emitter;
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    emitter.enter(kOnce, tile.getParentBlock()->getParentOp());
    emitTile(tile);
  });
  if (!emitter.problem.empty())
    return kernel.emitError("the CPU target cannot lower this kernel: ")
           << emitter.problem;
  LoweredKernel lowered;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace

FailureOr<LoweredKernel> lowerContract(KernelOp kernel, ModuleOp into) {
  return Contract(kernel, into).run();
}

} // namespace ltc::cpu
