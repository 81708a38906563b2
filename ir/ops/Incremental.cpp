// SPDX-License-Identifier: Apache-2.0
// ltc.append, and how the dialect's ops go on along time.
#include "ir/interfaces/Points.h"
#include "ir/ops/Attention.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace ltc;

LogicalResult ltc::AppendOp::verify() {
  ArrayRef<int64_t> cache = shapeOf(getCache()), rows = shapeOf(getRows());
  bool fits = getDim() < cache.size() && rows.size() == cache.size() &&
              elementOf(getRows()) == elementOf(getCache());
  for (unsigned i = 0; fits && i < cache.size(); ++i)
    fits = i == getDim() ? rows[i] <= cache[i] : rows[i] == cache[i];
  if (!fits)
    return emitOpError("(C1) expects rows like ")
           << getCache().getType() << " but for a part of dimension "
           << getDim() << ", found " << getRows().getType();
  if (!shapeOf(getPosition()).empty() ||
      !elementOf(getPosition()).isInteger(32))
    return emitOpError("(C2) expects a position of one i32");
  return success();
}

/// Where rows go is data: their dimension is not to be split.
Factors AppendOp::factors() {
  Factors factors;
  std::vector<Factors::Dim> cache, rows;
  for (auto [i, size] : llvm::enumerate(shapeOf(getCache()))) {
    bool along = i == getDim();
    cache.push_back({factors.add(
        size, along ? FactorKind::Whole : FactorKind::Parallel)});
    rows.push_back(cache.back());
    if (along)
      rows.back() = {factors.add(shapeOf(getRows())[i], FactorKind::Whole)};
  }
  factors.operands = {cache, rows, {}};
  factors.results = {cache};
  return factors;
}

double AppendOp::flops() { return 0; }
bool AppendOp::cheapToRecompute() { return true; }

std::vector<HostTensor> AppendOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out = *in[0];
  int64_t dim = getDim(), last = out.shape[dim] - in[1]->shape[dim];
  int64_t from = std::clamp<int64_t>(int64_t(in[2]->data[0]), 0, last);
  Strides strides = stridesOf(out.shape);
  int64_t at = 0;
  forEachPoint(in[1]->shape, [&](ArrayRef<int64_t> point) {
    out.data[offsetAt(point, strides) + from * strides[dim]] =
        in[1]->data[at++];
  });
  return {out};
}

FailureOr<SmallVector<Value>>
AppendOp::gradient(OpBuilder &, ArrayRef<Value>, ArrayRef<bool>) {
  return emitError("what is appended to a cache has no gradient");
}

LogicalResult MapOp::countFromPast(TimeStep &step, TimeDim time) {
  SmallVector<IndexOp> indices;
  for (IndexOp index : getBody().getOps<IndexOp>())
    if (int64_t(index.getDim()) == time.dim)
      indices.push_back(index);
  if (indices.empty())
    return success();
  if (time.each != 1)
    return step.refuse("it reads the place of a row that is no position");
  SmallVector<Attribute> maps(getMaps().getValue());
  maps.push_back(
      AffineMapAttr::get(projection(getContext(), getSpace().size(), {})));
  setMapsAttr(step.builder.getArrayAttr(maps));
  getInputsMutable().append(step.past);
  Value past = getBody().addArgument(step.builder.getI32Type(), getLoc());
  for (IndexOp index : indices) {
    OpBuilder b(getContext());
    b.setInsertionPointAfter(index);
    Value position = index.getPosition();
    auto at = arith::AddIOp::create(b, getLoc(), position, past);
    position.replaceAllUsesExcept(at, at);
  }
  return success();
}

FailureOr<SmallVector<Value>> MapOp::advance(TimeStep &step) {
  auto made = step.pointwise(*this);
  if (failed(made) || failed((*made)[0].getDefiningOp<MapOp>().countFromPast(
                          step, step.results[0])))
    return failure();
  return made;
}

/// The cache of `rows` (as the step has them), which are of type `whole`: all
/// that came before, and these.
static Value appended(TimeStep &step, Location loc, Type whole, Value rows,
                      int64_t dim, StringRef name) {
  Value cache = step.cache(cast<RankedTensorType>(whole), name);
  Value next = AppendOp::create(step.builder, loc, cache.getType(), cache, rows,
                                step.past, dim);
  step.keep(cache, next);
  return next;
}

/// An extra at the step's queries, of all keys so far.
static FailureOr<Value> advanceExtra(TimeStep &step, AttentionOp op,
                                     unsigned n) {
  Value extra = op.getExtras()[n];
  unsigned at = op.getNumOperands() - op.getExtras().size() + n;
  TimeDim time = step.times[at];
  auto map = cast<AffineMapAttr>(op.getExtraMaps()[n]).getValue();
  for (auto [d, index] : llvm::enumerate(map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(index);
    bool query = dim && dim.getPosition() == 3,
         key = dim && dim.getPosition() == 4;
    if (time && time == TimeDim{int64_t(d)}) {
      if (!query && !key)
        return failure();
      return query ? step.operands[at]
                   : appended(step, op.getLoc(), extra.getType(),
                              step.operands[at], time.dim,
                              "extra" + std::to_string(n));
    }
    if (!time && query) {
      if (Value rows = step.sliceOf(extra, int64_t(d)))
        return rows;
      return failure();
    }
  }
  if (time)
    return failure();
  return step.operands[at];
}

/// Keys and values go to caches; queries attend to what these hold.
FailureOr<SmallVector<Value>> AttentionOp::advance(TimeStep &step) {
  KeepBounds bounds = keepBounds(getKeep());
  if (!bounds.ahead || *bounds.ahead > 1)
    return step.refuse("its keep does not say that a query sees no later key");
  for (unsigned i = 0; i < 3; ++i)
    if (step.times[i] != TimeDim{1})
      return step.refuse("its query, key and value are not all by time");
  if (getOffset())
    return step.refuse("it attends to a cache already");
  auto fromCache = [&](unsigned n, StringRef name) {
    return appended(step, getLoc(), getOperand(n).getType(), step.operands[n],
                    1, name);
  };
  Value key = fromCache(1, "key"), value = fromCache(2, "value");
  SmallVector<Value> extras;
  for (unsigned n = 0; n < getExtras().size(); ++n) {
    auto extra = advanceExtra(step, *this, n);
    if (failed(extra))
      return step.refuse("what its texts read is by time in another way than "
                         "by query or by key");
    extras.push_back(*extra);
  }
  step.results = {{1}, {1}};
  auto made = AttentionOp::create(
      step.builder, getLoc(), step.typeOf(getOutput().getType(), {1}),
      step.typeOf(getLse().getType(), {1}), step.operands[0], key, value,
      getSink() ? step.operands[3] : Value(), step.past, extras, getScaleAttr(),
      getExtraMaps());
  IRMapping keepMapping, scoreMapping;
  getKeep().cloneInto(&made.getKeep(), keepMapping);
  getScore().cloneInto(&made.getScore(), scoreMapping);
  return llvm::to_vector_of<Value>(made.getResults());
}

static RankedTensorType sized(Value like, int64_t dim, int64_t size) {
  auto type = cast<RankedTensorType>(like.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape[dim] = size;
  return type.clone(shape);
}

/// `first`, which holds times before the step's, and the step's.
static Value joined(TimeStep &step, Location loc, Value first, Value rows,
                    int64_t dim) {
  int64_t size = shapeOf(first)[dim] + step.chunk;
  return JoinOp::create(step.builder, loc, sized(rows, dim, size),
                        ValueRange{first, rows}, dim);
}

/// The last `count` times before the step and the step's; the last of all
/// these are kept for the next step.
static Value remembered(TimeStep &step, Location loc, Value rows, int64_t dim,
                        int64_t count, StringRef name) {
  Value cache = step.cache(sized(rows, dim, count), name);
  Value all = joined(step, loc, cache, rows, dim);
  step.keep(cache, SliceOp::create(step.builder, loc, cache.getType(), all, dim,
                                   step.chunk));
  return all;
}

/// Of those, as many as the step has, from the first.
static Value windowed(TimeStep &step, Location loc, Value rows, int64_t dim,
                      int64_t count, StringRef name) {
  Value all = remembered(step, loc, rows, dim, count, name);
  return SliceOp::create(step.builder, loc, rows.getType(), all, dim, 0);
}

/// The last `offset` times are kept, and their documents.
FailureOr<SmallVector<Value>> ShiftOp::advance(TimeStep &step) {
  int64_t dim = getDim(), offset = getOffset();
  if (step.times[0].dim != dim)
    return step.pointwise(*this);
  if (step.times[0].each != 1)
    return step.refuse("it shifts rows that are no positions");
  if (offset < 0)
    return step.refuse("it reads later times");
  step.results = {step.times[0]};
  Location loc = getLoc();
  Value x = step.operands[0];
  if (offset == 0)
    return SmallVector<Value>{x};
  Value before = windowed(step, loc, x, dim, offset, "shift");
  if (!getDocument())
    return SmallVector<Value>{before};
  if (step.times[1] != TimeDim{dim})
    return step.refuse("its documents are not by time");
  Value document = step.operands[1];
  Value earlier =
      windowed(step, loc, document, dim, offset, "shift.document");
  unsigned rank = shapeOf(x).size();
  auto leading = llvm::to_vector(llvm::seq<int64_t>(0, dim + 1));
  AffineMap own = step.builder.getMultiDimIdentityMap(rank),
            lead = projection(getContext(), rank, leading);
  auto fill = [&](OpBuilder &b, ValueRange in) {
    Value same = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, in[1],
                                       in[2]);
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(elementOf(x)));
    return SmallVector<Value>{
        arith::SelectOp::create(b, loc, same, in[0], zero)};
  };
  MapOp kept = buildMap(step.builder, loc, x.getType(),
                        {before, document, earlier}, {own, lead, lead}, fill);
  return SmallVector<Value>{kept.getResult(0)};
}

/// The last sum stands before the step's elements, so that the step goes on in
/// the window's order. What decays it first multiplies nothing.
FailureOr<SmallVector<Value>> ScanOp::advance(TimeStep &step) {
  int64_t dim = getDim();
  if (step.times[0].dim != dim)
    return step.pointwise(*this);
  if (step.times[0].each != 1)
    return step.refuse("it adds up rows that are no positions");
  if (getReverse())
    return step.refuse("it adds up later times");
  step.results = {step.times[0]};
  Location loc = getLoc();
  OpBuilder &b = step.builder;
  Value x = step.operands[0], decay, document;
  Value carry = step.cache(sized(x, dim, 1), "scan");
  if (getDecay()) {
    decay = step.times[1] ? step.operands[1] : step.sliceOf(getDecay(), dim);
    if (!decay || (step.times[1] && step.times[1] != TimeDim{dim}))
      return step.refuse("its decay is by time in another way than its input");
    decay = joined(step, loc, carry, decay, dim);
  }
  if (getDocument()) {
    if (step.times.back() != TimeDim{dim})
      return step.refuse("its documents are not by time");
    document = remembered(step, loc, step.operands.back(), dim, 1,
                          "scan.document");
  }
  Value all = joined(step, loc, carry, x, dim);
  Value sums = ScanOp::create(b, loc, all.getType(), all, decay, document,
                              getDimAttr(), UnitAttr());
  step.keep(carry, SliceOp::create(b, loc, carry.getType(), sums, dim,
                                   step.chunk));
  return SmallVector<Value>{
      SliceOp::create(b, loc, x.getType(), sums, dim, 1)};
}

/// Slots are sorted among those of the step: a row's content is its slot's own.
FailureOr<SmallVector<Value>> RouteOp::advance(TimeStep &step) {
  TimeDim rows{0, shapeOf(getSlot())[0] / step.length};
  step.results = {rows, step.times[0], rows, {}};
  return step.again(*this);
}

FailureOr<SmallVector<Value>> DispatchOp::advance(TimeStep &step) {
  if (!step.times[0] || !step.times[1] || !step.times[2])
    return step.refuse("it sorts a value that is the same at all times");
  step.results = {step.times[1]};
  return step.again(*this);
}

FailureOr<SmallVector<Value>> CombineOp::advance(TimeStep &step) {
  if (!step.times[0] || !step.times[1] || !step.times[2])
    return step.refuse("it adds up rows that are the same at all times");
  step.results = {step.times[2]};
  return step.again(*this);
}

FailureOr<SmallVector<Value>> GroupedContractOp::advance(TimeStep &step) {
  ArrayRef<int64_t> labels[] = {getLhsDims(), getRhsDims()};
  if (!keepsRows())
    return step.refuse("it sums over rows of all times");
  for (unsigned n = 0; n < 2; ++n)
    if (TimeDim time = step.times[n]) {
      if (labels[n][time.dim] != int64_t(getRow()))
        return step.refuse("its times are no rows");
      int64_t at = llvm::find(getOutDims(), int64_t(getRow())) -
                   getOutDims().begin();
      step.results = {{at, time.each}};
    }
  if (step.results.empty())
    return step.refuse("its rows are the same at all times");
  return step.again(*this);
}
