// SPDX-License-Identifier: Apache-2.0
// Kernels of maps, reductions and views. P: the leading dimensions that all
// values share; a row is one point of P. A tile is a block of rows, or of
// elements where the whole kernel is one flat loop.
//
// A row runs in stages: one loop for the row reductions that depend on no
// other, one for those that depend on these, ..., then one for what is stored.
// A reduction over P leaves one partial row per tile in a workspace; a second
// launch adds the partials in the order of tiles.
#include "backends/cpu/target/Lowering.h"
#include "backends/emit/PointEmitter.h"
#include "llvm/ADT/MapVector.h"
#include "passes/fusion/KernelForm.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Elements that a tile handles, about: keeps a tile's data in the L2 cache.
constexpr int64_t kTileElements = 1 << 15;
/// Tiles at most where each has a partial row.
constexpr int64_t kPartialTiles = 32;

/// Of `count` numbers or rows, those whose sum is one partial: the same
/// whatever else a kernel does, so that fusion changes no bit.
int64_t partialTile(int64_t count) {
  return llvm::alignTo(llvm::divideCeil(count, kPartialTiles), kLanes);
}
int64_t product(ArrayRef<int64_t> sizes) {
  int64_t result = 1;
  for (int64_t size : sizes)
    result *= size;
  return result;
}
RankedTensorType tensorType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// How a kernel is cut: which reductions are along rows, which over rows.
struct Shape {
  SmallVector<int64_t> p;               ///< sizes of the shared dimensions
  SmallVector<ReduceOp> rowReduces;     ///< in body order
  SmallVector<ReduceOp> finalReduces;   ///< over P or over everything
  SmallVector<SmallVector<ReduceOp>> stages; ///< of the row reductions
  bool flat = false; ///< one loop over all elements; P is then empty
};

class Pointwise {
public:
  Pointwise(KernelOp kernel, ModuleOp into)
      : kernel(kernel), into(into), emit(kernel.getLoc(), kernel.getContext()) {
  }
  FailureOr<LoweredKernel> run();

private:
  LogicalResult analyse();
  bool isFinal(Value tensor);
  LogicalResult emitMain();
  LogicalResult emitFinish();
  void emitRow(Value row, Value tile, NativeFunction &native,
               PointEmitter &points);
  void emitRowReduces(ArrayRef<ReduceOp> stage, const Indices &prefix,
                      PointEmitter &points);
  void emitStores(const Indices &prefix, Value tile, NativeFunction &native,
                  PointEmitter &points);
  void emitFlatTile(Value tile, NativeFunction &native, PointEmitter &points);
  /// Walks dimensions `from`.. of `shape` behind `prefix`, 16 lanes at a time.
  void overRest(ArrayRef<int64_t> shape, Indices prefix, PointEmitter &points,
                std::function<void(const Indices &)> body);
  void overLanes(int64_t size, Indices prefix, PointEmitter &points,
                 std::function<void(const Indices &)> body);
  Value masked(Value value, ReduceOp reduce, PointEmitter &points);
  using Loops =
      llvm::MapVector<ArrayRef<int64_t>,
                      SmallVector<std::function<void(const Indices &)>>>;
  void storeTensor(Value tensor, RankedTensorType type, Value pointer,
                   PointEmitter &points, Loops &loops);
  Value partialRow(unsigned reduce, Value tile, NativeFunction &native);
  void addPartial(ReduceOp reduce, Value partial, const Indices &at,
                  PointEmitter &points);
  void clearPartials(Value tile, NativeFunction &native);
  Value sumAt(unsigned reduce, Value pointer);
  void bindTotals(NativeFunction &native, PointEmitter &points);
  void storeFinal(Value tensor, Value pointer, NativeFunction &native,
                  PointEmitter &points);
  /// Elements of a tile's partial row: whole vectors; 16 lanes for a scalar.
  int64_t partialStride(ReduceOp reduce) {
    return llvm::alignTo(tensorType(reduce.getOutput()).getNumElements(),
                         kLanes);
  }

  KernelOp kernel;
  ModuleOp into;
  Emitter emit;
  Shape shape;
  LoweredKernel lowered;
  int64_t tiles = 1, rowsPerTile = 1;
  int64_t flatElements = 0, flatTile = 0; ///< of a flat kernel
  Region *entry = nullptr;                ///< of the function being emitted
  Value currentRow;                       ///< flattened, of the tile's loop
  std::string problem;
};

/// True if `tensor` depends on a reduction over P or over everything.
bool Pointwise::isFinal(Value tensor) {
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return false;
  if (llvm::is_contained(shape.finalReduces, op))
    return true;
  return llvm::any_of(op->getOperands(), [&](Value v) { return isFinal(v); });
}

LogicalResult Pointwise::analyse() {
  int64_t pRank = -1;
  auto want = [&](int64_t rank, Operation *op) -> LogicalResult {
    if (pRank >= 0 && pRank != rank)
      return kernel.emitError("pointwise kernel: reductions disagree about "
                              "which dimensions are rows");
    pRank = rank;
    return success();
  };
  shape.flat = isFlat(kernel);
  SmallVector<ReduceOp> reduces(kernel.getBody().front().getOps<ReduceOp>());
  for (ReduceOp reduce : reduces) {
    ArrayRef<int64_t> dims = reduce.getDims();
    int64_t rank = tensorType(reduce.getInput()).getRank();
    bool all = int64_t(dims.size()) == rank;
    if (dims.empty() ||
        dims.back() - dims.front() + 1 != int64_t(dims.size()) ||
        (dims.front() != 0 && dims.back() != rank - 1))
      return kernel.emitError("pointwise kernel: a reduction must be over the "
                              "leading or over the trailing dimensions");
    if (all || dims.front() == 0) {
      shape.finalReduces.push_back(reduce);
      if (!all && failed(want(dims.size(), reduce)))
        return failure();
      continue;
    }
    if (failed(want(dims.front(), reduce)))
      return failure();
    shape.rowReduces.push_back(reduce);
  }
  // The widest value that is stored or reduced gives the sizes of P; what it is
  // computed from may be ordered otherwise. Without reductions every dimension
  // but the last is a row's.
  ArrayRef<int64_t> widest;
  auto see = [&](Value value) {
    if (shapeOf(value).size() > widest.size())
      widest = shapeOf(value);
  };
  for (ReduceOp reduce : reduces)
    see(reduce.getInput());
  for (Value value : yields(kernel))
    if (!isFinal(value))
      see(value);
  if (shape.flat)
    pRank = 0;
  if (pRank < 0)
    pRank = widest.empty() ? 0 : int64_t(widest.size()) - 1;
  shape.p.assign(widest.begin(), widest.begin() + pRank);
  shape.stages = rowStages(shape.rowReduces);
  return success();
}

Value Pointwise::masked(Value value, ReduceOp reduce, PointEmitter &points) {
  if (!points.laneMask)
    return value;
  Value neutral = identity(emit, reduce.getKind(), value.getType());
  return arith::SelectOp::create(emit, emit.getLoc(), points.laneMask, value,
                                 neutral);
}

void Pointwise::overLanes(int64_t size, Indices prefix, PointEmitter &points,
                          std::function<void(const Indices &)> body) {
  int64_t whole = size / kLanes * kLanes;
  auto at = [&](Value base) {
    Indices here = prefix;
    here.push_back({base, 0, true, kInner});
    return here;
  };
  if (whole)
    emit.loop(0, whole, kLanes, [&](Value base) {
      Operation *outer = base.getParentBlock()->getParentOp();
      if (prefix.empty() || prefix.back().level != kInner)
        points.enter(kRow, outer);
      points.enterInner();
      body(at(base));
    });
  if (whole == size)
    return;
  Value begin = emit.i64(whole);
  points.enter(kRow, begin.getDefiningOp());
  points.enterInner(emit.mask(size - whole));
  body(at(begin));
  points.enterInner();
}

void Pointwise::overRest(ArrayRef<int64_t> sizes, Indices prefix,
                         PointEmitter &points,
                         std::function<void(const Indices &)> body) {
  if (sizes.empty()) {
    points.enter(kRow, nullptr);
    points.enterInner();
    return body(prefix);
  }
  if (sizes.size() == 1)
    return overLanes(sizes[0], prefix, points, body);
  emit.loop(0, sizes[0], 1, [&](Value i) {
    points.enter(kRow, nullptr);
    Indices here = prefix;
    here.push_back({i, 0, false, kRow});
    overRest(sizes.drop_front(), here, points, body);
  });
}


/// One loop for the row reductions of a stage, one vector of partial sums each.
void Pointwise::emitRowReduces(ArrayRef<ReduceOp> stage, const Indices &prefix,
                               PointEmitter &points) {
  for (ReduceOp reduce : stage) {
    RankedTensorType type = tensorType(reduce.getInput());
    Type lanes = Emitter::lanes(type.getElementType());
    ArrayRef<int64_t> rest = type.getShape().drop_front(shape.p.size());
    // The partial sums live in a stack slot that mem2reg turns into registers.
    Value slot;
    {
      OpBuilder::InsertionGuard guard(emit);
      emit.setInsertionPointToStart(&entry->front());
      slot = LLVM::AllocaOp::create(
          emit, emit.getLoc(), LLVM::LLVMPointerType::get(emit.getContext()),
          lanes, emit.i64(1), 64);
    }
    emit.store(identity(emit, reduce.getKind(), lanes), slot);
    overRest(rest, prefix, points, [&](const Indices &at) {
      Value value =
          masked(points.evaluateLanes(reduce.getInput(), at), reduce, points);
      Value sum = emit.load(lanes, slot);
      emit.store(combine(emit, reduce.getKind(), sum, value), slot);
    });
    Value total = emit.foldLanes(emit.load(lanes, slot), [&](Value a, Value b) {
      return combine(emit, reduce.getKind(), a, b);
    });
    points.bind(reduce.getOutput(), total, kRow);
  }
}

void Pointwise::emitStores(const Indices &prefix, Value tile,
                           NativeFunction &native, PointEmitter &points) {
  ArrayRef<Value> results = resultPointers(kernel, native);
  // Values of one shape share a loop; so do the inputs of sums over rows.
  Loops loops;
  for (auto [n, value] : llvm::enumerate(yields(kernel))) {
    if (isFinal(value))
      continue;
    Value tensor = value, pointer = results[n];
    RankedTensorType type = tensorType(tensor);
    if (type.getRank() < int64_t(shape.p.size()) ||
        !type.getShape().take_front(shape.p.size()).equals(shape.p)) {
      problem = "a result does not have the kernel's row dimensions";
      return;
    }
    storeTensor(tensor, type, pointer, points, loops);
  }
  for (auto [n, reduce] : llvm::enumerate(shape.finalReduces)) {
    RankedTensorType type = tensorType(reduce.getInput());
    Value partial = partialRow(n, tile, native);
    ReduceOp op = reduce;
    loops[type.getShape().drop_front(shape.p.size())].push_back(
        [=, this, &points](const Indices &at) {
          addPartial(op, partial, at, points);
        });
  }
  for (auto &[rest, bodies] : loops)
    overRest(rest, prefix, points, [&](const Indices &at) {
      for (auto &body : bodies)
        body(at);
    });
}

/// A join that is stored is stored part by part: no lane asks which part.
void Pointwise::storeTensor(Value tensor, RankedTensorType type, Value pointer,
                            PointEmitter &points, Loops &loops) {
  auto join = tensor.getDefiningOp<JoinOp>();
  if (!join || join.getDim() < shape.p.size()) {
    loops[type.getShape().drop_front(shape.p.size())].push_back(
        [=, &points](const Indices &at) {
          points.store(points.evaluate(tensor, at),
                       points.address(pointer, type, at));
        });
    return;
  }
  int64_t offset = 0;
  for (Value part : join.getInputs()) {
    Value value = part;
    int64_t along = join.getDim(), begin = offset;
    loops[shapeOf(part).drop_front(shape.p.size())].push_back(
        [=, &points](const Indices &at) {
          Value lanes = points.evaluate(value, at);
          Indices to = at;
          to[along].offset += begin;
          points.store(lanes, points.address(pointer, type, to));
        });
    offset += shapeOf(part)[join.getDim()];
  }
}

Value Pointwise::partialRow(unsigned reduce, Value tile,
                            NativeFunction &native) {
  ReduceOp op = shape.finalReduces[reduce];
  int64_t row = partialStride(op);
  Value base = native.bindings[kernel.getBody().front().getNumArguments() +
                               yields(kernel).size() + reduce];
  return emit.at(base, tensorType(op.getOutput()).getElementType(),
                 emit.mul(tile, row));
}

void Pointwise::addPartial(ReduceOp reduce, Value partial, const Indices &at,
                           PointEmitter &points) {
  Type element = tensorType(reduce.getOutput()).getElementType();
  Type lanes = Emitter::lanes(element);
  if (at.empty() || !at.back().lanes) {
    // One number a row: the lanes that a loop over all numbers would take.
    Value one = points.evaluate(reduce.getInput(), at);
    Value to = emit.at(partial, element, emit.rem(currentRow, kLanes));
    Value sum = emit.load(element, to);
    return emit.store(combine(emit, reduce.getKind(), sum, one), to);
  }
  Value value =
      masked(points.evaluateLanes(reduce.getInput(), at), reduce, points);
  // The partial row is padded to whole vectors: no mask.
  RankedTensorType type = tensorType(reduce.getOutput());
  Value to = partial;
  if (type.getRank() != 0)
    to = points
             .address(partial, type,
                      Indices(at.begin() + shape.p.size(), at.end()))
             .pointer;
  emit.store(combine(emit, reduce.getKind(), emit.load(lanes, to), value), to);
}

void Pointwise::clearPartials(Value tile, NativeFunction &native) {
  for (auto [n, reduce] : llvm::enumerate(shape.finalReduces)) {
    Type element = tensorType(reduce.getOutput()).getElementType();
    Value row = partialRow(n, tile, native);
    ReduceKind kind = reduce.getKind();
    emit.loop(0, partialStride(reduce), kLanes, [&](Value i) {
      emit.store(identity(emit, kind, Emitter::lanes(element)),
                 emit.at(row, element, i));
    });
  }
}

void Pointwise::emitRow(Value row, Value tile, NativeFunction &native,
                        PointEmitter &points) {
  points.enter(kRow, nullptr);
  currentRow = row;
  Indices prefix(shape.p.size());
  Value rest = row;
  for (int64_t dim = shape.p.size() - 1; dim >= 0; --dim) {
    prefix[dim] = {dim ? emit.rem(rest, shape.p[dim]) : rest, 0, false, kRow};
    rest = emit.div(rest, shape.p[dim]);
  }
  for (ArrayRef<ReduceOp> stage : shape.stages)
    emitRowReduces(stage, prefix, points);
  emitStores(prefix, tile, native, points);
}

/// Elements [tile * kTileElements, ...) of every value, as one loop.
void Pointwise::emitFlatTile(Value tile, NativeFunction &native,
                             PointEmitter &points) {
  ArrayRef<Value> results = resultPointers(kernel, native);
  Value begin = emit.mul(tile, flatTile);
  Value end = emit.min(emit.add(begin, flatTile), emit.i64(flatElements));
  auto body = [&](Value base, Value mask) {
    points.enterInner(mask);
    auto at = [&](Value tensor) {
      bool scalar = tensorType(tensor).getNumElements() == 1 &&
                    flatElements != 1;
      Indices here(tensorType(tensor).getRank());
      if (!scalar && !here.empty())
        here.back() = {base, 0, true, kInner};
      return here;
    };
    for (auto [n, value] : llvm::enumerate(yields(kernel))) {
      if (isFinal(value) || tensorType(value).getNumElements() != flatElements)
        continue;
      points.store(points.evaluate(value, at(value)),
                   points.address(results[n], tensorType(value), at(value)));
    }
    for (auto [n, reduce] : llvm::enumerate(shape.finalReduces))
      addPartial(reduce, partialRow(n, tile, native),
                 at(reduce.getInput()), points);
  };
  Value count = arith::SubIOp::create(emit, emit.getLoc(), end, begin);
  Value tail = emit.rem(count, kLanes);
  Value whole = arith::SubIOp::create(emit, emit.getLoc(), end, tail);
  emit.loop(begin, whole, kLanes, [&](Value base) { body(base, nullptr); });
  if (flatElements % kLanes == 0)
    return;
  Value some = arith::CmpIOp::create(emit, emit.getLoc(),
                                     arith::CmpIPredicate::sgt, tail,
                                     emit.i64(0));
  emit.ifThen(some, [&] { body(whole, emit.maskBelow(tail)); });
}

LogicalResult Pointwise::emitMain() {
  int64_t rows = product(shape.p), rowElements = 1;
  for (Operation &op : kernel.getBody().front().without_terminator())
    for (Value value : llvm::concat<Value>(op.getOperands(), op.getResults())) {
      flatElements = std::max(flatElements, tensorType(value).getNumElements());
      ArrayRef<int64_t> sizes = shapeOf(value);
      if (sizes.size() >= shape.p.size() &&
          sizes.take_front(shape.p.size()).equals(shape.p))
        rowElements =
            std::max(rowElements, product(sizes.drop_front(shape.p.size())));
    }
  if (shape.flat) {
    flatTile = shape.finalReduces.empty() ? kTileElements
                                          : partialTile(flatElements);
    tiles = llvm::divideCeil(flatElements, flatTile);
  } else {
    rowsPerTile = shape.finalReduces.empty()
                      ? std::max<int64_t>(1, kTileElements / rowElements)
                      : partialTile(rows);
    tiles = llvm::divideCeil(rows, rowsPerTile);
  }
  for (ReduceOp reduce : shape.finalReduces) {
    Type element = tensorType(reduce.getOutput()).getElementType();
    lowered.workspaceBytes.push_back(tiles * partialStride(reduce) *
                                     bytesOf(element));
  }
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = tiles;
  launch.bindings = plainBindings(kernel, shape.finalReduces.size());
  countBytes(kernel, launch);
  NativeFunction native = beginNative(emit, into, launch.symbol,
                                      launch.bindings.size());
  entry = &native.function.getBody();
  PointEmitter points(emit, kernel, native.bindings);
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    points.enter(kOnce, tile.getParentBlock()->getParentOp());
    clearPartials(tile, native);
    if (shape.flat) {
      points.enter(kRow, nullptr);
      return emitFlatTile(tile, native, points);
    }
    Value begin = emit.mul(tile, rowsPerTile);
    Value end = emit.min(emit.add(begin, rowsPerTile), emit.i64(rows));
    emit.loop(begin, end, 1,
              [&](Value row) { emitRow(row, tile, native, points); });
  });
  lowered.launches.push_back(std::move(launch));
  if (problem.empty())
    problem = points.problem;
  return success();
}

/// The second launch: adds partial rows in the order of tiles and makes what
/// depends on the sums.
LogicalResult Pointwise::emitFinish() {
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str() + ".finish";
  launch.bindings = plainBindings(kernel, shape.finalReduces.size());
  NativeFunction native = beginNative(emit, into, launch.symbol,
                                      launch.bindings.size());
  entry = &native.function.getBody();
  PointEmitter points(emit, kernel, native.bindings);
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value) {
    points.enter(kOnce, nullptr);
    bindTotals(native, points);
    for (auto [n, value] : llvm::enumerate(yields(kernel)))
      if (isFinal(value))
        storeFinal(value, resultPointers(kernel, native)[n], native, points);
  });
  lowered.launches.push_back(std::move(launch));
  if (problem.empty())
    problem = points.problem;
  return success();
}

/// Reductions over everything, folded to a scalar.
void Pointwise::bindTotals(NativeFunction &native, PointEmitter &points) {
  for (auto [n, reduce] : llvm::enumerate(shape.finalReduces)) {
    if (reduce.getDims().size() != shapeOf(reduce.getInput()).size())
      continue;
    ReduceKind kind = reduce.getKind();
    Value lanes = sumAt(n, partialRow(n, emit.i64(0), native));
    auto add = [&](Value a, Value b) { return combine(emit, kind, a, b); };
    points.bind(reduce.getOutput(), emit.foldLanes(lanes, add), kOnce);
  }
}

void Pointwise::storeFinal(Value tensor, Value pointer, NativeFunction &native,
                           PointEmitter &points) {
  RankedTensorType type = tensorType(tensor);
  overRest(type.getShape(), {}, points, [&](const Indices &at) {
    // The place in the partial rows is the place in the result.
    for (auto [r, reduce] : llvm::enumerate(shape.finalReduces)) {
      RankedTensorType reduced = tensorType(reduce.getOutput());
      if (!reduced.getRank() || reduced.getShape() != type.getShape())
        continue;
      PointEmitter::Address from = points.address(
          partialRow(r, emit.i64(0), native), reduced, at);
      points.bind(reduce.getOutput(), sumAt(r, from.pointer), kInner);
    }
    points.store(points.evaluate(tensor, at),
                 points.address(pointer, type, at));
  });
}

/// Sum over tiles of the 16 lanes at `pointer` in the first partial row.
Value Pointwise::sumAt(unsigned n, Value pointer) {
  ReduceOp reduce = shape.finalReduces[n];
  Type element = tensorType(reduce.getOutput()).getElementType();
  Type lanes = Emitter::lanes(element);
  return emit.loop(emit.i64(0), emit.i64(tiles), 1,
                   ValueRange{identity(emit, reduce.getKind(), lanes)},
                   [&](Value tile, ValueRange sum) -> SmallVector<Value> {
                     Value at = emit.mul(tile, partialStride(reduce));
                     Value part =
                         emit.load(lanes, emit.at(pointer, element, at));
                     return {combine(emit, reduce.getKind(), sum[0], part)};
                   })[0];
}

FailureOr<LoweredKernel> Pointwise::run() {
  if (failed(analyse()) || failed(emitMain()))
    return failure();
  if (!shape.finalReduces.empty() && failed(emitFinish()))
    return failure();
  if (!problem.empty())
    return kernel.emitError("the CPU target cannot lower this kernel: ")
           << problem;
  return lowered;
}

} // namespace

FailureOr<LoweredKernel> lowerPointwise(KernelOp kernel, ModuleOp into) {
  return Pointwise(kernel, into).run();
}

} // namespace ltc::cpu
