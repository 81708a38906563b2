// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/target/AttentionBlock.h"

using namespace mlir;

namespace ltc::cpu {

Value throughReshapes(Value tensor) {
  while (auto reshape = tensor.getDefiningOp<ReshapeOp>())
    tensor = reshape.getInput();
  return tensor;
}

namespace {

Value narrow(Emitter &emit, Value position) {
  return arith::TruncIOp::create(emit, emit.getLoc(), emit.getI32Type(),
                                 position);
}

} // namespace

AttentionEmitter::AttentionEmitter(Emitter &emit, KernelOp kernel,
                                   const AttentionForm &form,
                                   const NativeFunction &native)
    : scratch(emit, native.scratch), emit(emit), form(form),
      points(emit, kernel, native.bindings), arguments(native.bindings) {
  results.resize(form.op->getNumResults());
  ArrayRef<Value> stored = resultPointers(kernel, native);
  for (auto [n, yielded] : llvm::enumerate(yields(kernel)))
    results[cast<OpResult>(throughReshapes(yielded)).getResultNumber()] =
        stored[n];
  if (form.offset)
    offset = arith::ExtSIOp::create(
        emit, emit.getLoc(), emit.getI64Type(),
        emit.load(emit.getI32Type(), operand(form.offset)));
  rowT = scratch.take(kRows);
  rowR = scratch.take(kRows);
  rowSinks = form.sink ? scratch.take(kRows) : Value();
  for (unsigned n = 0; n < form.extras.size(); ++n) {
    ExtraKind kind = form.extraKind(n);
    rowExtras.push_back(kind == ExtraKind::Row ? scratch.take(2 * kRows)
                                               : Value());
    pairExtras.push_back(kind == ExtraKind::Pair
                             ? scratch.take(form.keyBlock * kRows)
                             : Value());
  }
}

Value AttentionEmitter::operand(Value tensor) {
  auto argument = cast<BlockArgument>(throughReshapes(tensor));
  return arguments[argument.getArgNumber()];
}

void AttentionEmitter::enterHead(Value newBatch, Value newGroup) {
  batch = newBatch;
  group = newGroup;
}

Value AttentionEmitter::headNumber() {
  return emit.add(emit.mul(batch, form.groups), group);
}

Value AttentionEmitter::extraIndex(unsigned extra, Value r, Value t, Value u,
                                   bool gradient) {
  Value places[] = {batch, group, r, t, u};
  Value at = gradient ? headNumber() : emit.i64(0);
  for (auto [index, size] :
       llvm::zip(form.maps[extra].getResults(), shapeOf(form.extras[extra]))) {
    auto dim = dyn_cast<AffineDimExpr>(index);
    if (gradient && dim && dim.getPosition() < 2)
      continue;
    Value place = dim ? places[dim.getPosition()] : Value();
    if (dim && dim.getPosition() == 3 && offset)
      place = arith::SubIOp::create(emit, emit.getLoc(), place, offset);
    if (!dim) {
      place = arith::SubIOp::create(emit, emit.getLoc(), t, u);
      place = emit.add(place, *distanceOffset(index));
      place = arith::MaxSIOp::create(emit, emit.getLoc(),
                                     emit.min(place, emit.i64(size - 1)),
                                     emit.i64(0));
    }
    at = emit.add(emit.mul(at, size), place);
  }
  return at;
}

Value AttentionEmitter::positionOf(Value row) {
  Value t = emit.div(row, form.repeats);
  return offset ? emit.add(t, offset) : t;
}

void AttentionEmitter::noteRow(Value row) {
  Value f = emit.min(emit.add(firstRow, row), emit.i64(form.rows() - 1));
  Value t = positionOf(f), r = emit.rem(f, form.repeats);
  Type i32 = emit.getI32Type();
  emit.store(narrow(emit, t), emit.at(rowT, i32, row));
  emit.store(narrow(emit, r), emit.at(rowR, i32, row));
  if (form.sink) {
    Type f32 = emit.getF32Type();
    Value from = emit.at(operand(form.sink), f32,
                         emit.add(emit.mul(group, form.repeats), r));
    emit.store(emit.load(f32, from), emit.at(rowSinks, f32, row));
  }
  for (auto [n, extra] : llvm::enumerate(form.extras)) {
    if (!rowExtras[n])
      continue;
    Type element = elementOf(extra);
    Value from =
        emit.at(operand(extra), element, extraIndex(n, r, t, Value()));
    emit.store(emit.load(element, from), emit.at(rowExtras[n], element, row));
  }
}

void AttentionEmitter::enterRows(Value first) {
  firstRow = first;
  if (!form.keep->empty() || form.score || form.sink)
    emit.loop(0, form.lanesUsed(), 1, [&](Value row) { noteRow(row); });
}

Value AttentionEmitter::wide(Value base, Value row) {
  Type i32 = emit.getI32Type();
  return arith::ExtSIOp::create(emit, emit.getLoc(), emit.getI64Type(),
                                emit.load(i32, emit.at(base, i32, row)));
}

Value AttentionEmitter::rowCount() {
  Value left = arith::SubIOp::create(emit, emit.getLoc(),
                                     emit.i64(form.rows()), firstRow);
  return emit.min(left, emit.i64(kRows));
}

Value AttentionEmitter::gradAddress(unsigned extra, Value base, Value row,
                                    Value u) {
  Value r = row ? wide(rowR, row) : Value(),
        t = row ? wide(rowT, row) : Value();
  return emit.at(base, emit.getF32Type(), extraIndex(extra, r, t, u, true));
}

/// Reads the extras of kind Pair of a block of keys.
void AttentionEmitter::notePairs(Value from, Value count) {
  firstKey = from;
  for (auto [n, extra] : llvm::enumerate(form.extras)) {
    if (!pairExtras[n])
      continue;
    Type element = elementOf(extra);
    emit.loop(emit.i64(0), count, 1, [&, n = n, extra = extra](Value u) {
      Value key = emit.add(from, u), to = emit.mul(u, kRows);
      emit.loop(0, form.lanesUsed(), 1, [&](Value row) {
        Value at = extraIndex(n, wide(rowR, row), wide(rowT, row), key);
        emit.store(emit.load(element, emit.at(operand(extra), element, at)),
                   emit.at(pairExtras[n], element, emit.add(to, row)));
      });
    });
  }
}

void AttentionEmitter::overKeys(std::function<void(Value, Value)> body) {
  Location loc = emit.getLoc();
  Value begin = emit.i64(0), end = emit.i64(form.keys);
  Value last =
      emit.min(emit.add(firstRow, kRows - 1), emit.i64(form.rows() - 1));
  if (form.bounds.ahead)
    end = emit.min(end, emit.add(positionOf(last), *form.bounds.ahead));
  if (form.bounds.window) {
    Value low = emit.add(positionOf(firstRow), 1 - *form.bounds.window);
    low = arith::MaxSIOp::create(emit, loc, low, emit.i64(0));
    begin = emit.mul(emit.div(low, form.keyBlock), form.keyBlock);
  }
  emit.loop(begin, end, form.keyBlock, [&](Value from) {
    Value left = arith::SubIOp::create(emit, loc, emit.i64(form.keys), from);
    Value count = form.keys % form.keyBlock
                      ? emit.min(left, emit.i64(form.keyBlock))
                      : emit.i64(form.keyBlock);
    notePairs(from, count);
    body(from, count);
  });
}

Value AttentionEmitter::rowAddress(Value base, Value row, int64_t width,
                                   Type element) {
  Value f = emit.min(emit.add(firstRow, row), emit.i64(form.rows() - 1));
  Value t = emit.add(emit.mul(batch, form.queries), emit.div(f, form.repeats));
  Value head = emit.add(emit.mul(t, form.groups), group);
  Value index =
      emit.add(emit.mul(head, form.repeats), emit.rem(f, form.repeats));
  return emit.at(base, element, emit.mul(index, width));
}

Value AttentionEmitter::isRow(Value row) {
  return arith::CmpIOp::create(emit, emit.getLoc(), arith::CmpIPredicate::slt,
                               emit.add(firstRow, row), emit.i64(form.rows()));
}

Value AttentionEmitter::keyAddress(Value base, int64_t width, Type element) {
  Value row = emit.add(emit.mul(batch, form.keys * form.groups), group);
  return emit.at(base, element, emit.mul(row, width));
}

/// True if a product cannot read `tensor` where it lies.
static bool needsRoom(Value tensor) {
  return isMade(tensor) || !elementOf(tensor).isF32();
}

Value AttentionEmitter::takeRoom(ArrayRef<Value> tensors) {
  int64_t width = 0;
  for (Value tensor : tensors)
    if (needsRoom(tensor))
      width = std::max(width, paddedWidth(shapeOf(tensor).back()));
  return width ? scratch.take(form.keyBlock * width) : Value();
}

void AttentionEmitter::makeRow(Value tensor, ArrayRef<Value> at, float factor,
                               Value to) {
  Location loc = emit.getLoc();
  Type f32 = emit.getF32Type();
  VectorType lanes = Emitter::lanes(f32);
  int64_t width = shapeOf(tensor).back();
  Indices place;
  for (Value index : at)
    place.push_back({index, 0, false, kInner});
  place.push_back({Value(), 0, true, kInner});
  points.enter(kOnce, nullptr); // a loop's body: nothing is known from outside
  SmallVector<Value> made;
  for (int64_t e = 0; e < width; e += kLanes) {
    Value mask = width - e < kLanes ? emit.mask(width - e) : Value();
    points.laneMask = mask;
    place.back().offset = e;
    Value row = points.evaluateLanes(tensor, place);
    if (!elementOf(tensor).isF32())
      row = arith::ExtFOp::create(emit, loc, lanes, row);
    if (factor != 1)
      row = arith::MulFOp::create(emit, loc, row, lanesOf(emit, factor));
    if (mask)
      row = arith::SelectOp::create(emit, loc, mask, row, emit.zero(lanes));
    made.push_back(row);
  }
  points.laneMask = {};
  // What is stored could be what is read, for all that LLVM knows.
  for (auto [n, row] : llvm::enumerate(made))
    emit.store(row, emit.at(to, f32, int64_t(n) * kLanes));
}

AttentionEmitter::Keys AttentionEmitter::keys(Value tensor, int64_t width,
                                              Value from, Value count,
                                              Value room) {
  int64_t padded = paddedWidth(width);
  if (!needsRoom(tensor)) {
    Value base = keyAddress(operand(tensor), width, emit.getF32Type());
    int64_t stride = keyStride(width);
    return {emit.at(base, emit.getF32Type(), emit.mul(from, stride)), stride};
  }
  emit.loop(emit.i64(0), count, 1, [&](Value u) {
    makeRow(tensor, {batch, emit.add(from, u), group}, 1,
            emit.at(room, emit.getF32Type(), emit.mul(u, padded)));
  });
  return {room, padded};
}

/// The rows of the block into copy[row][e]; zeros where there is no row.
void AttentionEmitter::makeRows(Value tensor, float factor, Value copy) {
  Type f32 = emit.getF32Type();
  int64_t padded = paddedWidth(shapeOf(tensor).back());
  auto to = [&](Value row) {
    return emit.at(copy, f32, emit.mul(row, padded));
  };
  emit.loop(emit.i64(0), rowCount(), 1, [&](Value row) {
    Value f = emit.add(firstRow, row);
    makeRow(tensor,
            {batch, emit.div(f, form.repeats), group,
             emit.rem(f, form.repeats)},
            factor, to(row));
  });
  emit.loop(rowCount(), emit.i64(form.lanesUsed()), 1, [&](Value row) {
    for (int64_t e = 0; e < padded; e += kLanes)
      emit.store(emit.zero(Emitter::lanes(f32)), emit.at(to(row), f32, e));
  });
}

void AttentionEmitter::packRows(Value tensor, float factor, Value columns,
                                Value copy) {
  Type f32 = emit.getF32Type(), element = elementOf(tensor);
  VectorType lanes = Emitter::lanes(f32);
  int64_t width = shapeOf(tensor).back();
  int64_t whole = width / kLanes * kLanes, padded = paddedWidth(width);
  bool made = isMade(tensor);
  if (made)
    makeRows(tensor, factor, copy);
  auto copied = [&](Value row, Value e) {
    return emit.at(copy, f32, emit.add(emit.mul(row, padded), e));
  };
  Value times = lanesOf(emit, factor);
  emit.loop(0, form.lanesUsed(), kLanes, [&](Value first) {
    SmallVector<Value> addresses;
    for (int64_t i = 0; !made && i < kLanes; ++i)
      addresses.push_back(rowAddress(operand(tensor), emit.add(first, i), width,
                                     element));
    auto square = [&](Value e, int64_t count) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < kLanes; ++i) {
        if (made) {
          rows.push_back(emit.load(lanes, copied(emit.add(first, i), e)));
          continue;
        }
        Value row = loadWide(emit, element, emit.at(addresses[i], element, e),
                             count < kLanes ? emit.mask(count) : Value());
        if (factor != 1)
          row = arith::MulFOp::create(emit, emit.getLoc(), row, times);
        rows.push_back(row);
        if (copy)
          emit.store(row, copied(emit.add(first, i), e));
      }
      emit.transpose16(rows);
      for (int64_t i = 0; i < count; ++i)
        emit.store(rows[i],
                   emit.at(columns, f32,
                           emit.add(emit.mul(emit.add(e, i), kRows), first)));
    };
    if (whole)
      emit.loop(0, whole, kLanes, [&](Value e) { square(e, kLanes); });
    if (whole < width)
      square(emit.i64(whole), width - whole);
  });
}

void AttentionEmitter::storeRows(Value columns, Value scale, float factor,
                                 Value base, int64_t width, Type element) {
  Location loc = emit.getLoc();
  Type f32 = emit.getF32Type();
  VectorType lanes = Emitter::lanes(f32);
  int64_t whole = width / kLanes * kLanes;
  emit.loop(0, form.lanesUsed(), kLanes, [&](Value first) {
    Value times = scale ? emit.load(lanes, emit.at(scale, f32, first))
                        : lanesOf(emit, factor);
    SmallVector<Value> addresses, masks;
    for (int64_t i = 0; i < kLanes; ++i) {
      Value row = emit.add(first, i);
      addresses.push_back(rowAddress(base, row, width, element));
      masks.push_back(emit.splat(isRow(row)));
    }
    auto square = [&](Value e, int64_t count) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < kLanes; ++i) {
        if (i >= count) {
          rows.push_back(emit.zero(lanes));
          continue;
        }
        Value index = emit.add(emit.mul(emit.add(e, i), kRows), first);
        Value column = emit.load(lanes, emit.at(columns, f32, index));
        rows.push_back(arith::MulFOp::create(emit, loc, column, times));
      }
      emit.transpose16(rows);
      for (int64_t i = 0; i < kLanes; ++i) {
        Value mask = masks[i];
        if (count < kLanes)
          mask = arith::AndIOp::create(emit, loc, mask, emit.mask(count));
        emit.storeMasked(narrowTo(emit, element, rows[i]),
                         emit.at(addresses[i], element, e), mask);
      }
    };
    if (whole)
      emit.loop(0, whole, kLanes, [&](Value e) { square(e, kLanes); });
    if (whole < width)
      square(emit.i64(whole), width - whole);
  });
}

Value AttentionEmitter::indexAt(int64_t dim, Value u, int64_t vector) {
  VectorType lanes = Emitter::lanes(emit.getI32Type());
  Value uniform[] = {batch, group, Value(), Value(), u};
  if (uniform[dim])
    return narrow(emit, uniform[dim]);
  return emit.load(lanes, emit.at(dim == 2 ? rowR : rowT, emit.getI32Type(),
                                  vector * kLanes));
}

Value AttentionEmitter::extraAt(unsigned extra, Value u, int64_t vector) {
  Type element = elementOf(form.extras[extra]);
  VectorType lanes = Emitter::lanes(element);
  switch (form.extraKind(extra)) {
  case ExtraKind::Row:
    return emit.load(lanes,
                     emit.at(rowExtras[extra], element, vector * kLanes));
  case ExtraKind::Key: {
    Value at = extraIndex(extra, Value(), Value(), u);
    return emit.load(element,
                     emit.at(operand(form.extras[extra]), element, at));
  }
  case ExtraKind::Pair: {
    Value key = arith::SubIOp::create(emit, emit.getLoc(), u, firstKey);
    Value row = emit.at(pairExtras[extra], element, emit.mul(key, kRows));
    return emit.load(lanes, emit.at(row, element, vector * kLanes));
  }
  }
  llvm_unreachable("covered switch");
}

/// Lanes of what a region yields; its arguments are s (if there is one), t, u,
/// extras.
SmallVector<Value> AttentionEmitter::run(Block &body, Value s, Value u,
                                         int64_t vector) {
  llvm::DenseMap<Value, Value> values;
  unsigned own = s ? 3 : 2;
  for (BlockArgument argument : body.getArguments()) {
    unsigned n = argument.getArgNumber();
    if (argument.use_empty())
      continue;
    if (n >= own)
      values[argument] = extraAt(n - own, u, vector);
    else
      values[argument] = s && n == 0 ? s
                                     : indexAt(n == own - 1 ? 4 : 3, u, vector);
  }
  for (Operation &op : body.without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(op)) {
      values[index.getPosition()] = indexAt(index.getDim(), u, vector);
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : op.getOperands())
      operands.push_back(values.lookup(operand));
    values[op.getResult(0)] = inlineScalar(emit, &op, operands);
  }
  SmallVector<Value> yielded;
  for (Value value : body.getTerminator()->getOperands()) {
    Value found = values.lookup(value);
    yielded.push_back(isa<VectorType>(found.getType()) ? found
                                                       : emit.splat(found));
  }
  return yielded;
}

Value AttentionEmitter::keeps(Value u, int64_t vector) {
  if (form.keep->empty())
    return {};
  return run(form.keep->front(), {}, u, vector)[0];
}

SmallVector<Value> AttentionEmitter::scored(Value s, Value u, int64_t vector) {
  return run(form.score->front(), s, u, vector);
}

Value AttentionEmitter::sinks(int64_t vector) {
  Type f32 = emit.getF32Type();
  return emit.load(Emitter::lanes(f32),
                   emit.at(rowSinks, f32, vector * kLanes));
}

} // namespace ltc::cpu
