// SPDX-License-Identifier: Apache-2.0
// ltc.attention: a tile is one block of rows of one (batch, kv head). It walks
// the keys block by block with a running maximum m and sum l per row; the
// output so far is scaled by exp(old m - new m) as each block is added.
#include "backends/cpu/target/AttentionBlock.h"
#include <limits>

using namespace mlir;

namespace ltc::cpu {
namespace {

class Forward {
public:
  Forward(Emitter &emit, KernelOp kernel, const AttentionForm &form,
          const NativeFunction &native)
      : emit(emit), form(form), code(emit, kernel, form, native),
        lanes(Emitter::lanes(emit.getF32Type())) {
    query = code.scratch.take(form.size * kRows);
    scores = code.scratch.take(form.keyBlock * kRows);
    output = code.scratch.take(form.valueSize * kRows);
    most = code.scratch.take(kRows);
    sums = code.scratch.take(kRows);
    factors = code.scratch.take(kRows);
    room = code.takeRoom({form.key, form.value});
    if (isMade(form.query))
      rows = code.scratch.take(paddedWidth(form.size) * kRows);
  }
  void emitTile(Value tile);
  int64_t scratchBytes() const { return code.scratch.bytes(); }
  const std::string &problem() const { return code.problem(); }

private:
  void addKeys(Value from, Value count);
  void emitScores(Value from, Value count);
  SmallVector<Value> emitMaxima(Value from, Value count);
  void emitWeights(ValueRange maxima, Value count);
  void finish();
  void storeLse();

  Value at(Value base, int64_t vector) {
    return emit.at(base, emit.getF32Type(), vector * kLanes);
  }
  /// Vector `vector` of row `row` of a block [..][kRows].
  Value at(Value base, Value row, int64_t vector) {
    return at(emit.at(base, emit.getF32Type(), emit.mul(row, kRows)), vector);
  }
  Value load(Value address) { return emit.load(lanes, address); }
  Value compare(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(emit, emit.getLoc(), predicate, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    if (!isa<VectorType>(condition.getType()))
      condition = emit.splat(condition);
    return arith::SelectOp::create(emit, emit.getLoc(), condition, a, b);
  }

  Emitter &emit;
  const AttentionForm &form;
  AttentionEmitter code;
  VectorType lanes;
  /// [k][row], [u][row], [c][row], then one value per row.
  Value query, scores, output, most, sums, factors;
  Value rows, room; ///< [row][k]; [u][k], then [u][c]: null if none is needed
};

constexpr float kNone = -std::numeric_limits<float>::infinity();

void Forward::emitScores(Value from, Value count) {
  auto [key, stride] = code.keys(form.key, form.size, from, count, room);
  Value last;
  if (form.keys % form.keyBlock)
    last = emit.add(count, -1);
  emitProduct(emit,
              {.rows = form.keyBlock,
               .vectors = form.vectors,
               .a = key,
               .aRow = stride,
               .aStep = 1,
               .lastRow = last,
               .b = query,
               .bRow = kRows,
               .depth = emit.i64(form.size)},
              [&](Value u, int64_t vector, Value sum) {
                emit.store(sum, at(scores, u, vector));
              });
}

/// Applies the score text and drops what is not kept; the maximum so far of
/// each row.
SmallVector<Value> Forward::emitMaxima(Value from, Value count) {
  SmallVector<Value> maxima;
  for (int64_t v = 0; v < form.vectors; ++v)
    maxima.push_back(load(at(most, v)));
  auto step = [&](Value u, ValueRange before) {
    SmallVector<Value> after;
    for (int64_t v = 0; v < form.vectors; ++v) {
      Value score = load(at(scores, u, v)), key = emit.add(from, u);
      if (form.score)
        score = code.scored(score, key, v)[0];
      Value kept = code.keeps(key, v);
      if (kept)
        score = select(kept, score, lanesOf(emit, kNone));
      if (kept || form.score)
        emit.store(score, at(scores, u, v));
      Value more = compare(arith::CmpFPredicate::OGT, score, before[v]);
      after.push_back(select(more, score, before[v]));
    }
    return after;
  };
  return emit.loop(emit.i64(0), count, 1, maxima, step);
}

/// Scores become exp(score - m); l and m move on, factors = exp(old m - m).
void Forward::emitWeights(ValueRange maxima, Value count) {
  Location loc = emit.getLoc();
  SmallVector<Value> bases, total;
  for (int64_t v = 0; v < form.vectors; ++v) {
    // A row that keeps nothing yet has m = -inf: subtract zero then.
    Value none =
        compare(arith::CmpFPredicate::OEQ, maxima[v], lanesOf(emit, kNone));
    Value base = select(none, emit.zero(lanes), maxima[v]);
    Value factor = emitExp(
        emit, arith::SubFOp::create(emit, loc, load(at(most, v)), base));
    emit.store(factor, at(factors, v));
    emit.store(maxima[v], at(most, v));
    bases.push_back(base);
    total.push_back(
        arith::MulFOp::create(emit, loc, load(at(sums, v)), factor));
  }
  auto step = [&](Value u, ValueRange before) {
    SmallVector<Value> after;
    for (int64_t v = 0; v < form.vectors; ++v) {
      Value to = at(scores, u, v);
      Value weight = emitExp(
          emit, arith::SubFOp::create(emit, loc, load(to), bases[v]));
      emit.store(weight, to);
      after.push_back(arith::AddFOp::create(emit, loc, before[v], weight));
    }
    return after;
  };
  total = emit.loop(emit.i64(0), count, 1, total, step);
  for (int64_t v = 0; v < form.vectors; ++v)
    emit.store(total[v], at(sums, v));
}

void Forward::addKeys(Value from, Value count) {
  emitScores(from, count);
  emitWeights(emitMaxima(from, count), count);
  auto [value, stride] =
      code.keys(form.value, form.valueSize, from, count, room);
  emitProduct(emit,
              {.rows = form.valueSize,
               .vectors = form.vectors,
               .a = value,
               .aRow = 1,
               .aStep = stride,
               .lastRow = {},
               .b = scores,
               .bRow = kRows,
               .depth = count},
              [&](Value c, int64_t vector, Value sum) {
                Value to = at(output, c, vector);
                Value factor = load(at(factors, vector));
                emit.store(fma(emit, load(to), factor, sum), to);
              });
}

void Forward::storeLse() {
  Value base = code.result(1);
  if (!base)
    return;
  Type f32 = emit.getF32Type();
  for (int64_t v = 0; v < form.vectors; ++v) {
    Value sum = load(at(sums, v));
    Value lse = arith::AddFOp::create(
        emit, emit.getLoc(), load(at(most, v)),
        math::LogOp::create(emit, emit.getLoc(), sum));
    Value none = compare(arith::CmpFPredicate::OEQ, sum, emit.zero(lanes));
    emit.store(select(none, lanesOf(emit, kNone), lse), at(sums, v));
  }
  emit.loop(0, form.lanesUsed(), 1, [&](Value row) {
    emit.ifThen(code.isRow(row), [&] {
      emit.store(emit.load(f32, emit.at(sums, f32, row)),
                 code.rowAddress(base, row, 1, f32));
    });
  });
}

void Forward::finish() {
  for (int64_t v = 0; v < form.vectors; ++v) {
    Value sum = load(at(sums, v));
    Value none = compare(arith::CmpFPredicate::OEQ, sum, emit.zero(lanes));
    Value inverse =
        arith::DivFOp::create(emit, emit.getLoc(), lanesOf(emit, 1), sum);
    emit.store(select(none, emit.zero(lanes), inverse), at(factors, v));
  }
  if (Value base = code.result(0))
    code.storeRows(output, factors, 1, base, form.valueSize,
                   elementOf(form.op->getResult(0)));
  storeLse();
}

void Forward::emitTile(Value tile) {
  Value head = emit.div(tile, form.rowBlocks());
  Value block = emit.rem(tile, form.rowBlocks());
  code.enterHead(emit.div(head, form.groups), emit.rem(head, form.groups));
  code.enterRows(emit.mul(block, kRows));
  code.packRows(form.query, form.scale, query, rows);
  emit.loop(0, form.valueSize, 1, [&](Value c) {
    for (int64_t v = 0; v < form.vectors; ++v)
      emit.store(emit.zero(lanes), at(output, c, v));
  });
  for (int64_t v = 0; v < form.vectors; ++v) {
    // A sink is there from the start: a score of weight exp(0).
    emit.store(form.sink ? lanesOf(emit, 1) : emit.zero(lanes), at(sums, v));
    emit.store(form.sink ? code.sinks(v) : lanesOf(emit, kNone), at(most, v));
  }
  code.overKeys([&](Value from, Value count) { addKeys(from, count); });
  finish();
}

} // namespace

FailureOr<LoweredKernel> lowerAttentionForward(KernelOp kernel, ModuleOp into,
                                               const AttentionForm &form) {
  Emitter emit(kernel.getLoc(), kernel.getContext());
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = form.batches * form.groups * form.rowBlocks();
  launch.bindings = plainBindings(kernel);
  launch.flops = cast<AttentionOp>(form.op).flops();
  countBytes(kernel, launch);
  NativeFunction native =
      beginNative(emit, into, launch.symbol, int64_t(launch.bindings.size()));
  Forward forward(emit, kernel, form, native);
  emit.loop(native.tileBegin, native.tileEnd, 1,
            [&](Value tile) { forward.emitTile(tile); });
  if (!forward.problem().empty())
    return kernel.emitError("the CPU target's attention ") << forward.problem();
  launch.scratchBytes = uint64_t(forward.scratchBytes());
  LoweredKernel lowered;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace ltc::cpu
