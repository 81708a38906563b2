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
      arguments(native.bindings) {
  results.resize(form.op->getNumResults());
  ArrayRef<Value> stored = resultPointers(kernel, native);
  for (auto [n, yielded] : llvm::enumerate(yields(kernel)))
    results[cast<OpResult>(throughReshapes(yielded)).getResultNumber()] =
        stored[n];
  rowT = scratch.take(kRows);
  rowR = scratch.take(kRows);
  for (unsigned n = 0; n < form.extras.size(); ++n)
    rowExtras.push_back(byKey(n) ? Value() : scratch.take(2 * kRows));
}

Value AttentionEmitter::operand(Value tensor) {
  auto argument = cast<BlockArgument>(throughReshapes(tensor));
  return arguments[argument.getArgNumber()];
}

bool AttentionEmitter::byKey(unsigned extra) const {
  AffineMap map = form.maps[extra];
  return map.isFunctionOfDim(4);
}

void AttentionEmitter::enterHead(Value newBatch, Value newGroup) {
  batch = newBatch;
  group = newGroup;
}

Value AttentionEmitter::extraIndex(unsigned extra, Value r, Value t, Value u) {
  Value places[] = {batch, group, r, t, u};
  ArrayRef<int64_t> shape = shapeOf(form.extras[extra]);
  Value index = emit.i64(0);
  int64_t stride = 1;
  for (int64_t dim = int64_t(shape.size()) - 1; dim >= 0; --dim) {
    unsigned place = form.maps[extra].getDimPosition(dim);
    index = emit.add(index, emit.mul(places[place], stride));
    stride *= shape[dim];
  }
  return index;
}

void AttentionEmitter::noteRow(Value row) {
  Value f = emit.min(emit.add(firstRow, row), emit.i64(form.rows() - 1));
  Value t = emit.div(f, form.repeats), r = emit.rem(f, form.repeats);
  Type i32 = emit.getI32Type();
  emit.store(narrow(emit, t), emit.at(rowT, i32, row));
  emit.store(narrow(emit, r), emit.at(rowR, i32, row));
  for (auto [n, extra] : llvm::enumerate(form.extras)) {
    if (byKey(n))
      continue;
    Type element = elementOf(extra);
    Value from =
        emit.at(operand(extra), element, extraIndex(n, r, t, Value()));
    emit.store(emit.load(element, from), emit.at(rowExtras[n], element, row));
  }
}

void AttentionEmitter::enterRows(Value first) {
  firstRow = first;
  if (!form.keep->empty())
    emit.loop(0, kRows, 1, [&](Value row) { noteRow(row); });
}

void AttentionEmitter::overKeys(std::function<void(Value, Value)> body) {
  Location loc = emit.getLoc();
  Value begin = emit.i64(0), end = emit.i64(form.keys);
  Value last =
      emit.min(emit.add(firstRow, kRows - 1), emit.i64(form.rows() - 1));
  if (form.causal)
    end = emit.min(end, emit.add(emit.div(last, form.repeats), 1));
  if (form.window) {
    Value low = emit.add(emit.div(firstRow, form.repeats), 1 - *form.window);
    low = arith::MaxSIOp::create(emit, loc, low, emit.i64(0));
    begin = emit.mul(emit.div(low, form.keyBlock), form.keyBlock);
  }
  emit.loop(begin, end, form.keyBlock, [&](Value from) {
    Value left = arith::SubIOp::create(emit, loc, emit.i64(form.keys), from);
    body(from, form.keys % form.keyBlock ? emit.min(left, emit.i64(form.keyBlock))
                                         : emit.i64(form.keyBlock));
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

Value AttentionEmitter::takeRoom(int64_t width) {
  return form.element.isF32()
             ? Value()
             : scratch.take(form.keyBlock * paddedWidth(width));
}

AttentionEmitter::Keys AttentionEmitter::keys(Value tensor, int64_t width,
                                              Value from, Value count,
                                              Value room) {
  Value base = keyAddress(operand(tensor), width, form.element);
  int64_t stride = keyStride(width), padded = paddedWidth(width);
  base = emit.at(base, form.element, emit.mul(from, stride));
  if (!room)
    return {base, stride};
  emit.loop(emit.i64(0), count, 1, [&](Value u) {
    Value row = emit.at(base, form.element, emit.mul(u, stride));
    Value to = emit.at(room, emit.getF32Type(), emit.mul(u, padded));
    for (int64_t e = 0; e < width; e += kLanes) {
      Value mask = width - e < kLanes ? emit.mask(width - e) : Value();
      Value wide = loadWide(emit, form.element,
                            emit.at(row, form.element, e), mask);
      emit.store(wide, emit.at(to, emit.getF32Type(), e));
    }
  });
  return {room, padded};
}

void AttentionEmitter::packRows(Value base, int64_t width, float factor,
                                Value columns, Value copy) {
  Type f32 = emit.getF32Type();
  VectorType lanes = Emitter::lanes(f32);
  int64_t whole = width / kLanes * kLanes, padded = paddedWidth(width);
  Value times = lanesOf(emit, factor);
  emit.loop(0, kRows, kLanes, [&](Value first) {
    SmallVector<Value> addresses;
    for (int64_t i = 0; i < kLanes; ++i)
      addresses.push_back(rowAddress(base, emit.add(first, i), width, form.element));
    auto square = [&](Value e, int64_t count) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < kLanes; ++i) {
        Value row = loadWide(emit, form.element,
                             emit.at(addresses[i], form.element, e),
                             count < kLanes ? emit.mask(count) : Value());
        if (factor != 1)
          row = arith::MulFOp::create(emit, emit.getLoc(), row, times);
        rows.push_back(row);
        if (!copy)
          continue;
        Value index = emit.add(emit.mul(emit.add(first, i), padded), e);
        emit.store(row, emit.at(copy, f32, index));
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
  emit.loop(0, kRows, kLanes, [&](Value first) {
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

Value AttentionEmitter::keepIndex(int64_t dim, Value u, int64_t vector) {
  VectorType lanes = Emitter::lanes(emit.getI32Type());
  Value uniform[] = {batch, group, Value(), Value(), u};
  if (uniform[dim])
    return narrow(emit, uniform[dim]);
  return emit.load(lanes, emit.at(dim == 2 ? rowR : rowT, emit.getI32Type(),
                                  vector * kLanes));
}

/// Arguments of the keep region: t, u, extras.
Value AttentionEmitter::keepArgument(Value argument, Value u, int64_t vector) {
  unsigned n = cast<BlockArgument>(argument).getArgNumber();
  if (n < 2)
    return keepIndex(n == 0 ? 3 : 4, u, vector);
  Value extra = form.extras[n - 2];
  Type element = elementOf(extra);
  if (byKey(n - 2))
    return emit.load(element,
                     emit.at(operand(extra), element,
                             extraIndex(n - 2, Value(), Value(), u)));
  return emit.load(Emitter::lanes(element),
                   emit.at(rowExtras[n - 2], element, vector * kLanes));
}

Value AttentionEmitter::keeps(Value u, int64_t vector) {
  if (form.keep->empty())
    return {};
  Block &body = form.keep->front();
  llvm::DenseMap<Value, Value> values;
  for (Value argument : body.getArguments())
    if (!argument.use_empty())
      values[argument] = keepArgument(argument, u, vector);
  for (Operation &op : body.without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(op)) {
      values[index.getPosition()] = keepIndex(index.getDim(), u, vector);
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : op.getOperands())
      operands.push_back(values.lookup(operand));
    values[op.getResult(0)] = inlineScalar(emit, &op, operands);
  }
  return values.lookup(body.getTerminator()->getOperand(0));
}

} // namespace ltc::cpu
