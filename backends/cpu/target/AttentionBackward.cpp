// SPDX-License-Identifier: Apache-2.0
// ltc.attention_grad: a tile is one (batch, kv head), so that nobody else adds
// to its dKey and dValue. For each block of rows, for each block of keys:
//   p = exp(s - lse)  dP = dOut v  dS = p (dP - delta), delta = dOut . out
//   dValue += p dOut  dKey += dS q  dQuery += dS key
// With a score text, p is of the text's value, dS goes to the values that it
// reads by its derivatives, and dS times its slope goes on to dKey and dQuery.
// The scale is inside q, and multiplied into dQuery as it is stored.
#include "backends/cpu/target/AttentionBlock.h"
#include <limits>

using namespace mlir;

namespace ltc::cpu {
namespace {

class Backward {
public:
  Backward(Emitter &emit, KernelOp kernel, const AttentionForm &form,
           const NativeFunction &native)
      : emit(emit), form(form), op(cast<AttentionGradOp>(form.op)),
        code(emit, kernel, form, native),
        lanes(Emitter::lanes(emit.getF32Type())) {
    Scratch &scratch = code.scratch;
    query = scratch.take(form.size * kRows);
    queryRows = scratch.take(paddedWidth(form.size) * kRows);
    dOut = scratch.take(form.valueSize * kRows);
    dOutRows = scratch.take(paddedWidth(form.valueSize) * kRows);
    dQuery = scratch.take(form.size * kRows);
    weights = scratch.take(form.keyBlock * kRows);
    dScores = scratch.take(form.keyBlock * kRows);
    lse = scratch.take(kRows);
    delta = scratch.take(kRows);
    keyRoom = code.takeRoom(form.key);
    valueRoom = code.takeRoom(form.value);
    if (!form.score)
      return;
    Operation *yield = form.score->front().getTerminator();
    for (Value slope : yield->getOperands().drop_front())
      slopes.push_back(isConstant(slope) ? Value()
                                         : scratch.take(form.keyBlock * kRows));
    for (int64_t n : form.extraGrads)
      rowGrads.push_back(form.extraKind(n) == ExtraKind::Row
                             ? scratch.take(kRows)
                             : Value());
  }
  void emitTile(Value tile);
  int64_t scratchBytes() const { return code.scratch.bytes(); }
  const std::string &problem() const { return code.problem(); }

private:
  void clear(Value base, int64_t width);
  void enterRows(Value first);
  void emitDelta(Value row);
  void addKeys(Value from, Value count);
  void product(AttentionEmitter::Keys keys, int64_t width, Value count, Value b,
               const FinishLanes &finish);
  void emitWeights(Value from, Value count);
  void applySlopes(Value from, Value count);
  void addToExtra(unsigned j, Value u, Value key, ArrayRef<Value> changes);
  void addPairs(Value from, Value count);
  void addRows();
  void clearExtras();
  static bool isConstant(Value slope) {
    return matchPattern(slope, m_Constant());
  }
  Value slopeAt(unsigned j, Value u, int64_t vector);
  Value times(Value a, Value b) {
    return arith::MulFOp::create(emit, emit.getLoc(), a, b);
  }
  Value plus(Value a, Value b) {
    return arith::AddFOp::create(emit, emit.getLoc(), a, b);
  }
  void addTo(Value address, Value change) {
    emit.store(plus(emit.load(change.getType(), address), change), address);
  }
  void addToKeys(Value base, int64_t width, Value from, Value count, Value a,
                 Value b);

  Value at(Value base, int64_t vector) {
    return emit.at(base, emit.getF32Type(), vector * kLanes);
  }
  Value at(Value base, Value row, int64_t vector) {
    return at(emit.at(base, emit.getF32Type(), emit.mul(row, kRows)), vector);
  }
  Value load(Value address) { return emit.load(lanes, address); }
  /// Calls `body` for each vector of a row of `width`; mask null: whole.
  void overWidth(int64_t width,
                 llvm::function_ref<void(int64_t offset, Value mask)> body) {
    for (int64_t offset = 0; offset < width; offset += kLanes)
      body(offset, width - offset < kLanes ? emit.mask(width - offset)
                                           : Value());
  }

  Emitter &emit;
  const AttentionForm &form;
  AttentionGradOp op;
  AttentionEmitter code;
  VectorType lanes;
  /// query, dOut, dQuery [k or c][row] (..Rows: [row][k or c]);
  /// weights, dScores [u][row]; lse, delta [row].
  Value query, queryRows, dOut, dOutRows, dQuery, weights, dScores, lse, delta;
  Value keyRoom, valueRoom; ///< a block's keys and values, widened
  /// Of the score text: derivatives [u][row] by s, then by the extras of
  /// extraGrads (null: a constant); gradients [row] of extras of kind Row.
  SmallVector<Value> slopes, rowGrads;
};

/// Zeroes all keys' rows of a result at this head.
void Backward::clear(Value base, int64_t width) {
  if (!base)
    return;
  Type f32 = emit.getF32Type();
  Value start = code.keyAddress(base, width, f32);
  emit.loop(0, form.keys, 1, [&](Value u) {
    Value row = emit.at(start, f32, emit.mul(u, code.keyStride(width)));
    overWidth(width, [&](int64_t offset, Value mask) {
      Value to = emit.at(row, f32, offset);
      mask ? emit.storeMasked(emit.zero(lanes), to, mask)
           : emit.store(emit.zero(lanes), to);
    });
  });
}

/// delta and lse of one row; a row that is none gets weights of zero.
void Backward::emitDelta(Value row) {
  Location loc = emit.getLoc();
  Type f32 = emit.getF32Type();
  Value out = code.rowAddress(code.operand(op.getOutput()), row,
                              form.valueSize, form.element);
  int64_t padded = paddedWidth(form.valueSize);
  Value mine = emit.at(dOutRows, f32, emit.mul(row, padded));
  Value sum = emit.zero(lanes);
  overWidth(form.valueSize, [&](int64_t offset, Value mask) {
    Value from = emit.at(out, form.element, offset);
    Value value = loadWide(emit, form.element, from, mask);
    sum = fma(emit, value, load(emit.at(mine, f32, offset)), sum);
  });
  Value folded = emit.foldLanes(sum, [&](Value a, Value b) -> Value {
    return arith::AddFOp::create(emit, loc, a, b);
  });
  emit.store(folded, emit.at(delta, f32, row));
  Value logSum =
      emit.load(f32, code.rowAddress(code.operand(op.getLse()), row, 1, f32));
  Value infinite = arith::ConstantOp::create(
      emit, loc,
      emit.getF32FloatAttr(std::numeric_limits<float>::infinity()));
  emit.store(arith::SelectOp::create(emit, loc, code.isRow(row), logSum,
                                     infinite),
             emit.at(lse, f32, row));
}

void Backward::enterRows(Value first) {
  code.enterRows(first);
  code.packRows(form.query, form.scale, query, queryRows);
  code.packRows(op.getDOutput(), 1, dOut, dOutRows);
  emit.loop(0, kRows, 1, [&](Value row) { emitDelta(row); });
  emit.loop(0, form.size, 1, [&](Value k) {
    for (int64_t v = 0; v < kRowVectors; ++v)
      emit.store(emit.zero(lanes), at(dQuery, k, v));
  });
  for (Value grads : rowGrads)
    for (int64_t v = 0; grads && v < kRowVectors; ++v)
      emit.store(emit.zero(lanes), at(grads, v));
}

/// [u][row] = key or value (u, ..) by b [..][row].
void Backward::product(AttentionEmitter::Keys keys, int64_t width, Value count,
                       Value b, const FinishLanes &finish) {
  Value last;
  if (form.keys % form.keyBlock)
    last = emit.add(count, -1);
  emitProduct(emit,
              {.rows = form.keyBlock,
               .vectors = kRowVectors,
               .a = keys.base,
               .aRow = keys.stride,
               .aStep = 1,
               .lastRow = last,
               .b = b,
               .bRow = kRows,
               .depth = emit.i64(width)},
              finish);
}

/// Scores become weights; keys beyond the last weigh nothing.
void Backward::emitWeights(Value from, Value count) {
  Location loc = emit.getLoc();
  emit.loop(emit.i64(0), count, 1, [&](Value u) {
    for (int64_t v = 0; v < kRowVectors; ++v) {
      Value to = at(weights, u, v), key = emit.add(from, u);
      SmallVector<Value> scored = {load(to)};
      if (form.score)
        scored = code.scored(scored[0], key, v);
      Value kept = code.keeps(key, v);
      auto whereKept = [&](Value x) -> Value {
        return kept ? arith::SelectOp::create(emit, loc, kept, x,
                                              emit.zero(lanes))
                    : x;
      };
      emit.store(whereKept(emitExp(emit, arith::SubFOp::create(
                                             emit, loc, scored[0],
                                             load(at(lse, v))))),
                 to);
      for (auto [j, slope] : llvm::enumerate(slopes))
        if (slope)
          emit.store(whereKept(scored[1 + j]), at(slope, u, v));
    }
  });
  if (form.keys % form.keyBlock == 0)
    return;
  emit.loop(count, emit.i64(form.keyBlock), 1, [&](Value u) {
    for (int64_t v = 0; v < kRowVectors; ++v)
      emit.store(emit.zero(lanes), at(weights, u, v));
  });
}

Value Backward::slopeAt(unsigned j, Value u, int64_t vector) {
  if (slopes[j])
    return load(at(slopes[j], u, vector));
  Value yielded = form.score->front().getTerminator()->getOperand(1 + j);
  FloatAttr number;
  matchPattern(yielded, m_Constant(&number));
  return lanesOf(emit, float(number.getValueAsDouble()));
}

/// dScores of the text's value: into the gradients of what it reads, and times
/// its slope.
void Backward::applySlopes(Value from, Value count) {
  FloatAttr slope;
  Value byScore = form.score->front().getTerminator()->getOperand(1);
  bool one = matchPattern(byScore, m_Constant(&slope)) &&
             slope.getValue().isExactlyValue(1.0);
  if (one && form.extraGrads.empty())
    return;
  emit.loop(emit.i64(0), count, 1, [&](Value u) {
    SmallVector<Value> changes;
    for (int64_t v = 0; v < kRowVectors; ++v)
      changes.push_back(load(at(dScores, u, v)));
    for (unsigned j = 0; j < form.extraGrads.size(); ++j)
      addToExtra(j, u, emit.add(from, u), changes);
    for (int64_t v = 0; !one && v < kRowVectors; ++v)
      emit.store(times(changes[v], slopeAt(0, u, v)), at(dScores, u, v));
  });
  addPairs(from, count);
}

void Backward::addToExtra(unsigned j, Value u, Value key,
                          ArrayRef<Value> changes) {
  unsigned extra = unsigned(form.extraGrads[j]);
  Value sum;
  for (int64_t v = 0; v < kRowVectors; ++v) {
    Value change = times(changes[v], slopeAt(1 + j, u, v));
    if (rowGrads[j])
      addTo(at(rowGrads[j], v), change);
    else if (Value pairs = code.pairs(extra))
      emit.store(change, at(pairs, u, v)); // what was read there is used up
    else
      sum = sum ? plus(sum, change) : change;
  }
  if (!sum || !code.result(3 + j))
    return;
  Value folded =
      emit.foldLanes(sum, [&](Value a, Value b) { return plus(a, b); });
  addTo(code.gradAddress(extra, code.result(3 + j), {}, key), folded);
}

/// Adds the changes [u][row] of extras of kind Pair, one by one.
void Backward::addPairs(Value from, Value count) {
  Type f32 = emit.getF32Type();
  for (auto [j, extra] : llvm::enumerate(form.extraGrads)) {
    Value pairs = code.pairs(unsigned(extra));
    if (!pairs || !code.result(3 + j))
      continue;
    emit.loop(emit.i64(0), count, 1, [&, j = j, extra = extra](Value u) {
      Value key = emit.add(from, u), start = emit.mul(u, kRows);
      emit.loop(emit.i64(0), code.rowCount(), 1, [&](Value row) {
        Value change =
            emit.load(f32, emit.at(pairs, f32, emit.add(start, row)));
        addTo(code.gradAddress(unsigned(extra), code.result(3 + j), row, key),
              change);
      });
    });
  }
}

/// Adds a block's gradients of extras of kind Row.
void Backward::addRows() {
  Type f32 = emit.getF32Type();
  for (auto [j, extra] : llvm::enumerate(form.extraGrads)) {
    if (!rowGrads[j] || !code.result(3 + j))
      continue;
    emit.loop(emit.i64(0), code.rowCount(), 1, [&, j = j,
                                                extra = extra](Value row) {
      addTo(code.gradAddress(unsigned(extra), code.result(3 + j), row, {}),
            emit.load(f32, emit.at(rowGrads[j], f32, row)));
    });
  }
}

/// Zeroes this head's part of the gradients of extras.
void Backward::clearExtras() {
  Type f32 = emit.getF32Type();
  Value zero = arith::ConstantOp::create(emit, emit.getLoc(),
                                         emit.getF32FloatAttr(0));
  for (unsigned j = 0; j < form.extraGrads.size(); ++j) {
    if (!code.result(3 + j))
      continue;
    ArrayRef<int64_t> shape = shapeOf(op.getDExtras()[j]);
    int64_t part = 1;
    for (int64_t size : shape.drop_front(2))
      part *= size;
    Value start = emit.at(code.result(3 + j), f32,
                          emit.mul(code.headNumber(), part));
    emit.loop(0, part, 1,
              [&](Value i) { emit.store(zero, emit.at(start, f32, i)); });
  }
}

/// base[from + u] += sum over rows of a[u][row] * b[row].
void Backward::addToKeys(Value base, int64_t width, Value from, Value count,
                         Value a, Value b) {
  if (!base)
    return;
  Type f32 = emit.getF32Type();
  Value start = code.keyAddress(base, width, f32);
  int64_t padded = paddedWidth(width);
  emitProduct(
      emit,
      {.rows = form.keyBlock,
       .vectors = padded / kLanes,
       .a = a,
       .aRow = kRows,
       .aStep = 1,
       .lastRow = {},
       .b = b,
       .bRow = padded,
       .depth = emit.i64(kRows)},
      [&](Value u, int64_t vector, Value sum) {
        // A key beyond the last adds its zero to the last.
        if (form.keys % form.keyBlock)
          u = emit.min(u, emit.add(count, -1));
        Value index = emit.mul(emit.add(from, u), code.keyStride(width));
        Value to = at(emit.at(start, f32, index), vector);
        int64_t left = width - vector * kLanes;
        Value mask = left < kLanes ? emit.mask(left) : Value();
        Value old = mask ? emit.loadMasked(lanes, to, mask) : load(to);
        Value next = arith::AddFOp::create(emit, emit.getLoc(), old, sum);
        mask ? emit.storeMasked(next, to, mask) : emit.store(next, to);
      });
}

void Backward::addKeys(Value from, Value count) {
  Location loc = emit.getLoc();
  auto key = code.keys(form.key, form.size, from, count, keyRoom);
  auto value = code.keys(form.value, form.valueSize, from, count, valueRoom);
  product(key, form.size, count, query,
          [&](Value u, int64_t vector, Value sum) {
            emit.store(sum, at(weights, u, vector));
          });
  emitWeights(from, count);
  product(value, form.valueSize, count, dOut,
          [&](Value u, int64_t vector, Value sum) {
            Value change = arith::SubFOp::create(emit, loc, sum,
                                                 load(at(delta, vector)));
            Value weight = load(at(weights, u, vector));
            emit.store(arith::MulFOp::create(emit, loc, weight, change),
                       at(dScores, u, vector));
          });
  if (form.score)
    applySlopes(from, count);
  addToKeys(code.result(2), form.valueSize, from, count, weights, dOutRows);
  addToKeys(code.result(1), form.size, from, count, dScores, queryRows);
  emitProduct(emit,
              {.rows = form.size,
               .vectors = kRowVectors,
               .a = key.base,
               .aRow = 1,
               .aStep = key.stride,
               .lastRow = {},
               .b = dScores,
               .bRow = kRows,
               .depth = count},
              [&](Value k, int64_t vector, Value sum) {
                Value to = at(dQuery, k, vector);
                emit.store(arith::AddFOp::create(emit, loc, load(to), sum), to);
              });
}

void Backward::emitTile(Value tile) {
  code.enterHead(emit.div(tile, form.groups), emit.rem(tile, form.groups));
  clear(code.result(1), form.size);
  clear(code.result(2), form.valueSize);
  clearExtras();
  emit.loop(0, form.rows(), kRows, [&](Value first) {
    enterRows(first);
    code.overKeys([&](Value from, Value count) { addKeys(from, count); });
    addRows();
    if (Value base = code.result(0))
      code.storeRows(dQuery, {}, form.scale, base, form.size,
                     elementOf(op.getDQuery()));
  });
}

} // namespace

FailureOr<LoweredKernel>
lowerAttentionBackward(KernelOp kernel, ModuleOp into,
                       const AttentionForm &form) {
  Emitter emit(kernel.getLoc(), kernel.getContext());
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = form.batches * form.groups;
  launch.bindings = plainBindings(kernel);
  launch.flops = cast<AttentionGradOp>(form.op).flops();
  countBytes(kernel, launch);
  NativeFunction native =
      beginNative(emit, into, launch.symbol, int64_t(launch.bindings.size()));
  Backward backward(emit, kernel, form, native);
  emit.loop(native.tileBegin, native.tileEnd, 1,
            [&](Value tile) { backward.emitTile(tile); });
  if (!backward.problem().empty())
    return kernel.emitError("the CPU target's attention ")
           << backward.problem();
  launch.scratchBytes = uint64_t(backward.scratchBytes());
  LoweredKernel lowered;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace ltc::cpu
