// SPDX-License-Identifier: Apache-2.0
// What the algorithms share: how a shape is spread over threads, what is
// stored, and the second launch that ends a sum over rows.
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {

Spread::Spread(ArrayRef<int64_t> all) : sizes(all.begin(), all.end()) {
  for (int64_t size : sizes)
    vectors *= size;
  if (!sizes.empty() && sizes.back() % kVector == 0)
    width = kVector;
  vectors /= width;
}

Indices Spread::point(Block &emit, Value vector, Level level) const {
  Indices at(sizes.size());
  for (int64_t dim = int64_t(sizes.size()) - 1; dim >= 0; --dim) {
    bool last = dim + 1 == int64_t(sizes.size());
    int64_t count = last ? sizes[dim] / width : sizes[dim];
    Value own = dim ? emit.rem(vector, count) : vector;
    at[dim] = {last ? emit.mul(own, width) : own, 0, last && width > 1, level};
    if (dim)
      vector = emit.div(vector, count);
  }
  return at;
}

RowVectors::RowVectors(const Machine &machine, Type element, int64_t count)
    : element(element), width(count % kVector ? 1 : kVector),
      vectors(count / width) {
  if (machine.aligned)
    alignment = std::min(width, int64_t(kAlignment) / bytesOf(element));
}
Type RowVectors::type() const {
  return width > 1 ? Type(Emitter::lanes(element, width)) : element;
}
Value RowVectors::place(Block &emit, Value base, Value row,
                        Value vector) const {
  Value index = emit.add(emit.mul(row, vectors), vector);
  return emit.at(base, element, emit.mul(index, width));
}
Value RowVectors::load(Block &emit, Value base, Value row,
                       Value vector) const {
  return emit.load(type(), place(emit, base, row, vector), alignment);
}
void RowVectors::store(Block &emit, Value value, Value base, Value row,
                       Value vector) const {
  emit.store(value, place(emit, base, row, vector), alignment);
}

SmallVector<Stored> partsOf(Value tensor, Value pointer, size_t rows) {
  auto type = cast<RankedTensorType>(tensor.getType());
  auto join = tensor.getDefiningOp<JoinOp>();
  if (!join || size_t(join.getDim()) < rows)
    return {{tensor, pointer, type}};
  SmallVector<Stored> parts;
  int64_t offset = 0;
  for (Value part : join.getInputs()) {
    parts.push_back({part, pointer, type, int64_t(join.getDim()), offset});
    offset += shapeOf(part)[join.getDim()];
  }
  return parts;
}

void Stored::store(PointEmitter &points, Value value, const Indices &at) const {
  Indices to = at;
  if (dim >= 0)
    to[dim].offset += offset;
  points.store(value, points.address(pointer, type, to));
}

bool isFinal(Value tensor, ArrayRef<ReduceOp> finalReduces) {
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return false;
  return llvm::is_contained(finalReduces, op) ||
         llvm::any_of(op->getOperands(), [&](Value operand) {
           return isFinal(operand, finalReduces);
         });
}

std::string symbolOf(KernelOp kernel, const Machine &machine) {
  std::string symbol = kernel.getSymName().str();
  for (char &c : symbol)
    if (!llvm::isAlnum(c))
      c = '_';
  return machine.aligned ? symbol : symbol + "_unaligned";
}

KernelLaunch launchOf(KernelOp kernel, std::string symbol, int64_t tiles,
                      int threads, int64_t workspaces) {
  KernelLaunch launch;
  launch.symbol = std::move(symbol);
  launch.tiles = tiles;
  launch.threads = threads;
  launch.bindings = plainBindings(kernel, workspaces);
  countBytes(kernel, launch);
  return launch;
}

LogicalResult checked(KernelOp kernel, const std::string &problem) {
  if (problem.empty())
    return success();
  return kernel.emitError("the GPU targets cannot lower this kernel: ")
         << problem;
}

namespace {

/// Threads that add one column's partial rows, each every 8th of them.
constexpr int64_t kGroups = 8;
constexpr int64_t kThreads = kWarp * kGroups;

class Finish {
public:
  Finish(KernelOp kernel, const Machine &machine, ArrayRef<FinalSum> sums)
      : kernel(kernel), machine(machine), sums(sums),
        emit(kernel.getLoc(), machine) {
    for (const FinalSum &sum : sums)
      reduces.push_back(sum.reduce);
  }

  LogicalResult run(ModuleOp into, LoweredKernel &lowered) {
    int64_t blocks = 1;
    for (Value value : yields(kernel))
      if (isFinal(value, reduces))
        blocks = std::max(blocks, blocksOf(Spread(shapeOf(value))));
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine) + "_finish", blocks,
                 kThreads, sums.size());
    emit.begin(into, launch);
    PointEmitter points(emit, kernel, emit.bindings);
    points.alignment = machine.aligned ? kAlignment : 1;
    lane = emit.rem(emit.thread, kWarp);
    group = emit.div(emit.thread, kWarp);
    for (auto [n, value] : llvm::enumerate(yields(kernel))) {
      if (!isFinal(value, reduces))
        continue;
      Value pointer =
          emit.bindings[kernel.getBody().front().getNumArguments() + n];
      Spread spread(shapeOf(value));
      int64_t own = shapeOf(value).empty() ? 1 : blocksOf(spread);
      emit.guarded(own < blocks ? emit.less(emit.block, own) : Value(), [&] {
        points.enter(kOnce, nullptr);
        shapeOf(value).empty() ? storeNumber(value, pointer, points)
                               : storeColumns(value, pointer, spread, points);
      });
    }
    lowered.launches.push_back(std::move(launch));
    return checked(kernel, points.problem);
  }

private:
  static int64_t blocksOf(const Spread &spread) {
    return llvm::divideCeil(spread.vectors, kWarp);
  }
  Value partials(size_t n) {
    return emit.bindings[emit.bindings.size() - sums.size() + n];
  }

  /// Columns of the warp's threads: sums of every 8th partial row, then of
  /// the eight in order.
  void storeColumns(Value tensor, Value pointer, const Spread &spread,
                    PointEmitter &points) {
    emit.width = spread.width;
    Value vector = emit.add(emit.mul(emit.block, kWarp), lane), valid;
    if (spread.vectors % kWarp) {
      valid = emit.less(vector, spread.vectors);
      vector = emit.min(vector, emit.i64(spread.vectors - 1));
    }
    Indices at = spread.point(emit, vector, kRow);
    for (auto [n, reduce] : llvm::enumerate(reduces))
      if (shapeOf(reduce.getOutput()) == shapeOf(tensor))
        points.bind(reduce.getOutput(),
                    columnSum(n, emit.mul(vector, spread.width), spread), kRow);
    Value value = points.evaluate(tensor, at);
    emit.guarded(emit.both(valid, emit.isZero(group)), [&] {
      points.store(value, points.address(
                              pointer, cast<RankedTensorType>(tensor.getType()),
                              at));
    });
  }

  Value columnSum(size_t n, Value column, const Spread &spread) {
    ReduceOp reduce = sums[n].reduce;
    ReduceKind kind = reduce.getKind();
    Type element = elementOf(reduce.getOutput());
    Type type = spread.width > 1 ? Type(emit.wide(element)) : element;
    Value base = emit.at(partials(n), element, column);
    Value sum = emit.loop(
        group, emit.i64(sums[n].rows), kGroups,
        ValueRange{identity(emit, kind, type)},
        [&](Value row, ValueRange sum) -> SmallVector<Value> {
          Value from = emit.at(base, element, emit.mul(row, sums[n].stride));
          return {combine(emit, kind, sum[0],
                          emit.load(type, from, spread.width))};
        })[0];
    int64_t bytes = spread.width * bytesOf(element);
    Value room = emit.shared(kThreads * bytes);
    auto place = [&](Value ofGroup) {
      Value index = emit.add(emit.mul(ofGroup, kWarp), lane);
      return emit.at(room, element, emit.mul(index, spread.width));
    };
    emit.store(sum, place(group), spread.width);
    emit.barrier();
    sum = {};
    for (int64_t g = 0; g < kGroups; ++g) {
      Value part = emit.load(type, place(emit.i64(g)), spread.width);
      sum = sum ? combine(emit, kind, sum, part) : part;
    }
    return sum;
  }

  void storeNumber(Value tensor, Value pointer, PointEmitter &points) {
    SmallVector<Partial> parts;
    SmallVector<Value> tensors;
    for (auto [n, sum] : llvm::enumerate(sums)) {
      ReduceOp reduce = sum.reduce;
      if (!shapeOf(reduce.getOutput()).empty())
        continue;
      ReduceKind kind = reduce.getKind();
      Type element = elementOf(reduce.getOutput());
      Value base = partials(n);
      parts.push_back(
          {emit.loop(emit.thread, emit.i64(sum.rows), kThreads,
                     ValueRange{identity(emit, kind, element)},
                     [&](Value row, ValueRange sum) -> SmallVector<Value> {
                       Value from = emit.at(base, element, row);
                       return {combine(emit, kind, sum[0],
                                       emit.load(element, from))};
                     })[0],
           kind});
      tensors.push_back(reduce.getOutput());
    }
    for (auto [total, output] :
         llvm::zip(emit.teamFold(parts, kThreads, false), tensors))
      points.bind(output, total, kRow);
    Value value = points.evaluate(tensor, {});
    emit.guarded(emit.isZero(emit.thread), [&] { emit.store(value, pointer); });
  }

  KernelOp kernel;
  const Machine &machine;
  ArrayRef<FinalSum> sums;
  SmallVector<ReduceOp> reduces;
  Block emit;
  Value lane, group;
};

} // namespace

LogicalResult lowerFinish(KernelOp kernel, ModuleOp into,
                          const Machine &machine, ArrayRef<FinalSum> sums,
                          LoweredKernel &lowered) {
  return Finish(kernel, machine, sums).run(into, lowered);
}

} // namespace ltc::gpu
