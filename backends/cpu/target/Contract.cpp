// SPDX-License-Identifier: Apache-2.0
// Matrix products with their epilogue. A tile is a block of rows times a block
// of columns: it packs its columns of B into panels [k][16 * vectors], then
// runs a register tile of `rows` x `vectors` accumulators down all of k.
// Every output is one chain of fused multiply-adds in ascending k, whatever
// the blocking; the epilogue sees the full sum.
//
// Operands are f32, or bf16 in pairs along k: a word is one f32 or two bf16,
// packed blocks are words, k counts words, and a step adds each of a word's
// products to the f32 sum. An odd k ends with a word whose second half is zero.
// (Goto, van de Geijn: Anatomy of High-Performance Matrix Multiplication.)
#include "backends/cpu/target/Contract.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

constexpr int64_t kRowBlock = 1024;      ///< rows of a tile at most,
constexpr int64_t kLeastRows = 256;      ///< and at least, where rows make
constexpr int64_t kTiles = 16;           ///< up to so many tiles
constexpr int64_t kPackedFloats = 1 << 17; ///< of a tile's panels: half of L2
constexpr int64_t kMaxK = 1536; ///< words; longer sums go by blocks of k
constexpr int64_t kUnroll = 4;

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

} // namespace

LogicalResult Contract::plan() {
  for (Operation &op : kernel.getBody().front()) {
    if (!isa<ContractOp, GroupedContractOp>(op))
      continue;
    if (contract)
      return kernel.emitError("the CPU target takes one contraction a kernel");
    contract = &op;
  }
  bool plain = llvm::all_of(
      yields(kernel), [&](Value result) { return result == sum(); });
  std::string why;
  auto planned = planContract(contract, plain, why);
  if (failed(planned))
    return kernel.emitError("the CPU target cannot lower this kernel: ") << why;
  plan_ = *planned;
  if (plan_.k.empty())
    plan_.k.push_back({1, 1, 1, {}, {}, {}});
  f32 = Float32Type::get(kernel.getContext());
  element = elementOf(contract->getOperand(0));
  pair = element.isBF16() ? 2 : 1;
  if (element != f32 && !element.isBF16())
    return kernel.emitError("the CPU target contracts f32 and bf16 only, not ")
           << element;
  if (pair == 2 && plan_.sumsRows)
    return kernel.emitError("the CPU target sums over ragged rows in f32 only");
  for (Value result : yields(kernel))
    if (shapeOf(result) != shapeOf(sum()))
      return kernel.emitError("the CPU target stores only values of the "
                              "contraction's own shape beside it");
  return success();
}

/// 8 x 48 where columns divide by 48, else 6 x 64 or 12 x 32: 24 accumulators.
void Contract::chooseBlocks() {
  int64_t n = plan_.n.size;
  if (isVector()) { // the vectors of a tile, or two squares at once
    int64_t most = plan_.n.b == 1 ? 16 : 2;
    rows = mBlock = mTiles = 1;
    kBlock = kWords();
    vectors = std::clamp<int64_t>(llvm::divideCeil(n, kTiles * kLanes), 1, most);
    int64_t tile = llvm::divideCeil(n, kTiles * vectors * kLanes);
    nBlock = evenBlock(n, vectors * kLanes, tile * vectors * kLanes);
    nTiles = llvm::divideCeil(n, nBlock);
    return;
  }
  vectors = n % 48 == 0 ? 3 : n % 64 == 0 ? 4 : n % 32 == 0 ? 2 : 3;
  if (n < 48 && n % 32 != 0)
    vectors = llvm::divideCeil(n, kLanes);
  rows = 24 / vectors > 12 ? 12 : 24 / vectors;
  rows = std::min(rows, plan_.m.size);
  kBlock = plan_.k.size() == 1 && kWords() > kMaxK ? kMaxK / 2 : kWords();
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

/// A's word of row i at `step` words behind aRow, in all lanes; `half`: the
/// last element of an odd k.
Value Contract::loadA(Value aRow, int64_t i, int64_t step, bool half) {
  Location loc = emit.getLoc();
  if (rowsPacked())
    return emit.splat(
        emit.load(f32, emit.at(aRow, f32, emit.i64(i + step * rows))));
  int64_t stride = rowsCopied() ? kBlock * pair : plan_.m.a;
  Value from = emit.at(aRow, element, emit.i64(i * stride + step * pair));
  if (pair == 1)
    return emit.splat(emit.load(f32, from));
  Type i32 = emit.getI32Type();
  Value word;
  if (half)
    word = arith::ExtUIOp::create(emit, loc, i32,
                                  emit.load(emit.getIntegerType(16), from));
  else // a pair may begin at any element
    word = LLVM::LoadOp::create(emit, loc, i32, from, 2);
  return emit.splat(word);
}

/// sum + a b of each lane's word.
Value Contract::addProduct(Value a, Value b, Value sum) {
  if (pair == 1)
    return vector::FMAOp::create(emit, emit.getLoc(), a, b, sum);
  VectorType pairs = Emitter::lanes(emit.getBF16Type(), 2 * kLanes);
  return LLVM::CallIntrinsicOp::create(
             emit, emit.getLoc(), sum.getType(),
             emit.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512"),
             ValueRange{sum, emit.bitcast(a, pairs), emit.bitcast(b, pairs)})
      .getResult(0);
}

void Contract::multiplyAdd(MutableArrayRef<Value> sums, Value aRow, Value bRow,
                           int64_t count, int64_t used, int64_t step,
                           bool half) {
  SmallVector<Value> b;
  for (int64_t v = 0; v < used; ++v)
    b.push_back(emit.load(
        Emitter::lanes(f32),
        emit.at(bRow, f32, emit.i64((step * vectors + v) * kLanes))));
  for (int64_t i = 0; i < count; ++i) {
    Value a = loadA(aRow, i, step, half);
    for (int64_t v = 0; v < used; ++v)
      sums[i * used + v] = addProduct(a, b[v], sums[i * used + v]);
  }
}

SmallVector<Value> Contract::sumOverK(SmallVector<Value> sums, Value aBase,
                                      Value panel, Value k0, Value kCount,
                                      int64_t count, int64_t used) {
  auto body = [&](int64_t unroll, bool half = false) {
    return [&, unroll, half](Value k,
                             ValueRange carried) -> SmallVector<Value> {
      SmallVector<Value> next(carried);
      Value aRow = rowsPacked()
                       ? emit.at(aBase, f32, emit.mul(k, rows))
                       : emit.at(aBase, element,
                                 emit.mul(rowsCopied() ? k : emit.add(k0, k),
                                          pair));
      Value bRow = emit.at(panel, f32, emit.mul(k, vectors * kLanes));
      for (int64_t step = 0; step < unroll; ++step)
        multiplyAdd(next, aRow, bRow, count, used, step, half);
      return next;
    };
  };
  // A row in place ends with half a word where k is odd.
  bool half = oddK() && !rowsPacked();
  Value full = kCount;
  if (half)
    full = emit.min(kCount, arith::SubIOp::create(
                                emit, emit.getLoc(),
                                emit.i64(plan_.kSize() / pair), k0));
  Value rest = emit.rem(full, kUnroll);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), full, rest);
  sums = emit.loop(emit.i64(0), whole, kUnroll, sums, body(kUnroll));
  if (half || plan_.sumsRows || kWords() % kUnroll || kBlock % kUnroll)
    sums = emit.loop(whole, full, 1, sums, body(1));
  if (half)
    sums = emit.loop(full, kCount, 1, sums, body(1, true));
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
    Value aBase = rowsPacked() || rowsCopied()
                      ? emit.at(packedA, f32, emit.mul(strip, kBlock))
                      : emit.at(aSide.tile, element, emit.mul(m, plan_.m.a));
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
  Operand ofAll = bSide;
  emit.loop(0, plan_.groups, 1, [&](Value group) {
    auto [from, to] = rowsOfGroup(group);
    Value begin = arith::MaxSIOp::create(emit, loc, from, mBegin);
    Value end = emit.min(to, mEnd);
    Value some = arith::CmpIOp::create(emit, loc, arith::CmpIPredicate::slt,
                                       begin, end);
    emit.ifThen(some, [&] {
      Value offset = emit.mul(group, plan_.bGroup);
      bSide.offset = emit.add(ofAll.offset, offset);
      bSide.tile = emit.at(ofAll.tile, element, offset);
      emitProduct(begin, end, nEnd, emit.i64(0), emit.i64(kWords()));
    });
  });
}

/// Rows [m0, m1) by the tile's columns, summed over words [kBegin, kEnd).
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
      if (rowsCopied())
        copyRows(m, span, k0, kCount);
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
  for (int64_t i = int64_t(plan_.outer.size()) - 1; i >= 0; --i) {
    const Axis &axis = plan_.outer[i];
    if (!outerAt[i]) {
      outerAt[i] = emit.rem(rest, axis.size);
      rest = emit.div(rest, axis.size);
    }
  }
  aSide = operandOf(true);
  bSide = operandOf(false);
  mBegin = emit.mul(mTile, mBlock);
  nBegin = emit.mul(nTile, nBlock);
  if (isVector())
    return emitVectorTile(
        emit.min(emit.add(nBegin, nBlock), emit.i64(plan_.n.size)));
  Value mEnd = emit.min(emit.add(mBegin, mBlock), emit.i64(plan_.m.size));
  Value nEnd = emit.min(emit.add(nBegin, nBlock), emit.i64(plan_.n.size));
  if (blockedK())
    emit.loop(0, mBlock * nBlock, kLanes, [&](Value i) {
      emit.store(emit.zero(Emitter::lanes(f32)), emit.at(sums, f32, i));
    });
  if (plan_.ragged() && !plan_.sumsRows)
    return emitGroups(mEnd, nEnd);
  Value kBegin = emit.i64(0), kEnd = emit.i64(kWords());
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
  int64_t packed =
      isVector() ? 0 : llvm::alignTo(kBlock, kLanes) * nBlock;
  bool strips = (rowsPacked() || rowsCopied()) && !isVector();
  int64_t strip =
      strips ? llvm::alignTo(kBlock * packedRows(), kLanes) : 0;
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

FailureOr<LoweredKernel> lowerContract(KernelOp kernel, ModuleOp into) {
  return Contract(kernel, into).run();
}

} // namespace ltc::cpu
