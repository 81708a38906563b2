// SPDX-License-Identifier: Apache-2.0
// Rows that move as they are, or are added: ltc.append, ltc.dispatch and
// ltc.combine. A thread makes one vector of one row of the result.
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {
namespace {

constexpr int64_t kThreads = 256;

class Move {
public:
  Move(KernelOp kernel, const Machine &machine)
      : kernel(kernel), machine(machine), emit(kernel.getLoc(), machine),
        result(yields(kernel)[0]) {}

  FailureOr<LoweredKernel> run(ModuleOp into) {
    Operation *op = result.getDefiningOp();
    Type element = elementOf(result);
    if (yields(kernel).size() != 1 || !op ||
        !llvm::all_of(op->getOperands(), llvm::IsaPred<BlockArgument>) ||
        element.getIntOrFloatBitWidth() % 8 != 0)
      return kernel.emitError("the GPU targets move rows of whole arguments, "
                              "and do nothing else in the same kernel");
    if (auto append = dyn_cast<AppendOp>(op))
      return appended(append, into);
    if (auto dispatch = dyn_cast<DispatchOp>(op))
      return dispatched(dispatch, into);
    auto combine = cast<CombineOp>(op);
    if (!isa<FloatType>(element) && combine.getEach() != 1)
      return kernel.emitError("the GPU targets add rows of floats only");
    return combined(combine, into);
  }

private:
  using Body =
      llvm::function_ref<void(const RowVectors &, Value row, Value vector)>;

  /// body for all vectors of `rows` rows of `count` elements; `moved` rows are
  /// read and written.
  LoweredKernel over(ModuleOp into, int64_t rows, int64_t count, Body body) {
    RowVectors vectors(machine, elementOf(result), count);
    int64_t all = rows * vectors.vectors;
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine),
                 llvm::divideCeil(all, kThreads), kThreads, 0);
    launch.writtenBytes = double(rows * count * bytesOf(elementOf(result)));
    launch.readBytes = launch.writtenBytes;
    emit.begin(into, launch);
    Value number = emit.add(emit.mul(emit.block, kThreads), emit.thread);
    emit.guarded(all % kThreads ? emit.less(number, all) : Value(), [&] {
      Value row = emit.div(number, vectors.vectors);
      body(vectors, row, emit.rem(number, vectors.vectors));
    });
    LoweredKernel lowered;
    lowered.launches.push_back(std::move(launch));
    return lowered;
  }
  Value pointer(Value argument) {
    return emit.bindings[cast<BlockArgument>(argument).getArgNumber()];
  }
  Value output() { return emit.bindings.back(); }
  int64_t elements(Value value) {
    return cast<RankedTensorType>(value.getType()).getNumElements();
  }

  LoweredKernel appended(AppendOp op, ModuleOp into) {
    ArrayRef<int64_t> cache = shapeOf(op.getCache());
    int64_t dim = op.getDim(), size = cache[dim];
    int64_t added = shapeOf(op.getRows())[dim];
    int64_t outer = ShapedType::getNumElements(cache.take_front(dim));
    int64_t inner = ShapedType::getNumElements(cache.drop_front(dim + 1));
    auto position = [&] {
      return emit.clamp(
          emit.loadIndex(pointer(op.getPosition()), emit.i64(0)), 0,
          size - added);
    };
    bool inPlace =
        kernel.getInplace()[0] ==
        int64_t(cast<BlockArgument>(op.getCache()).getArgNumber());
    if (inPlace)
      return over(into, outer * added, inner,
                  [&](const RowVectors &rows, Value row, Value vector) {
                    Value to = emit.mul(emit.div(row, added), size);
                    to = emit.add(emit.add(to, position()),
                                  emit.rem(row, added));
                    rows.store(emit,
                               rows.load(emit, pointer(op.getRows()), row,
                                         vector),
                               output(), to, vector);
                  });
    return over(into, outer * size, inner,
                [&](const RowVectors &rows, Value row, Value vector) {
                  Value from = emit.sub(emit.rem(row, size), position());
                  Value old = emit.less(from, int64_t(0));
                  Value fresh = emit.select(old, emit.i64(added), from);
                  fresh = emit.less(fresh, added);
                  Value own = emit.mul(emit.div(row, size), added);
                  own = emit.add(own, emit.clamp(from, 0, added - 1));
                  Value base = emit.select(fresh, pointer(op.getRows()),
                                           pointer(op.getCache()));
                  Value value = rows.load(
                      emit, base, emit.select(fresh, own, row), vector);
                  rows.store(emit, value, output(), row, vector);
                });
  }

  LoweredKernel dispatched(DispatchOp op, ModuleOp into) {
    int64_t count = shapeOf(result)[0];
    return over(into, count, elements(result) / count,
                [&](const RowVectors &rows, Value row, Value vector) {
                  Value slot = emit.loadIndex(pointer(op.getSlot()), row);
                  Value value =
                      rows.load(emit, pointer(op.getInput()),
                                emit.div(slot, op.getEach()), vector);
                  rows.store(emit, value, output(), row, vector);
                });
  }

  /// Rows are added in order of the slots.
  LoweredKernel combined(CombineOp op, ModuleOp into) {
    int64_t each = op.getEach(), slots = shapeOf(op.getInput())[0];
    return over(
        into, slots / each, elements(op.getInput()) / slots,
        [&](const RowVectors &rows, Value row, Value vector) {
          Value sum;
          for (int64_t j = 0; j < each; ++j) {
            Value slot = emit.add(emit.mul(row, each), j);
            Value place = emit.loadIndex(pointer(op.getPlace()), slot);
            Value value =
                rows.load(emit, pointer(op.getInput()), place, vector);
            sum = sum ? Value(arith::AddFOp::create(emit, emit.getLoc(), sum,
                                                    value))
                      : value;
          }
          rows.store(emit, sum, output(), row, vector);
        });
  }

  KernelOp kernel;
  const Machine &machine;
  Block emit;
  Value result;
};

} // namespace

FailureOr<LoweredKernel> lowerMove(KernelOp kernel, ModuleOp into,
                                   const Machine &machine) {
  return Move(kernel, machine).run(into);
}

} // namespace ltc::gpu
