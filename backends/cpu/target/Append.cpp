// SPDX-License-Identifier: Apache-2.0
// ltc.append: rows go to their place in the cache; all else stays, or is copied
// where the result is not stored over the cache. A tile is one index of the
// dimensions outside of the one along which rows are appended.
#include "backends/cpu/target/Lowering.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Copies `count` elements.
void copy(Emitter &emit, Type element, Value from, Value to, int64_t count) {
  VectorType lanes = Emitter::lanes(element);
  int64_t whole = count / kLanes * kLanes;
  if (whole)
    emit.loop(0, whole, kLanes, [&](Value i) {
      emit.store(emit.load(lanes, emit.at(from, element, i)),
                 emit.at(to, element, i));
    });
  if (whole == count)
    return;
  Value mask = emit.mask(count - whole);
  emit.storeMasked(emit.loadMasked(lanes, emit.at(from, element, whole), mask),
                   emit.at(to, element, whole), mask);
}

} // namespace

FailureOr<LoweredKernel> lowerAppend(KernelOp kernel, ModuleOp into) {
  auto append = cast<AppendOp>(kernel.getBody().front().front());
  Type element = elementOf(append.getCache());
  if (element.getIntOrFloatBitWidth() % 8 != 0)
    return kernel.emitError("the CPU target appends no ") << element;
  ArrayRef<int64_t> cache = shapeOf(append.getCache());
  int64_t dim = append.getDim(), size = cache[dim];
  int64_t added = shapeOf(append.getRows())[dim], outer = 1, inner = 1;
  for (auto [i, n] : llvm::enumerate(cache))
    (int64_t(i) < dim ? outer : inner) *= int64_t(i) == dim ? 1 : n;

  Emitter emit(kernel.getLoc(), kernel.getContext());
  Location loc = emit.getLoc();
  KernelLaunch launch;
  launch.symbol = kernel.getSymName().str();
  launch.tiles = outer;
  launch.bindings = plainBindings(kernel);
  double bytes = double(outer * added * inner) * double(bytesOf(element));
  launch.readBytes = launch.writtenBytes = bytes;
  NativeFunction native =
      beginNative(emit, into, launch.symbol, launch.bindings.size());
  auto pointer = [&](Value operand) {
    return native.bindings[cast<BlockArgument>(operand).getArgNumber()];
  };
  Value result = resultPointers(kernel, native)[0];
  bool inPlace = kernel.getInplace()[0] ==
                 int64_t(cast<BlockArgument>(append.getCache()).getArgNumber());
  Type i32 = emit.getI32Type();
  Value position = arith::ExtSIOp::create(
      emit, loc, emit.getI64Type(),
      emit.load(i32, emit.at(pointer(append.getPosition()), i32, 0)));
  position = arith::MaxSIOp::create(
      emit, loc, emit.min(position, emit.i64(size - added)), emit.i64(0));
  emit.loop(native.tileBegin, native.tileEnd, 1, [&](Value tile) {
    Value begin = emit.mul(tile, size * inner);
    Value to = emit.at(result, element, begin);
    if (!inPlace)
      copy(emit, element, emit.at(pointer(append.getCache()), element, begin),
           to, size * inner);
    copy(emit, element,
         emit.at(pointer(append.getRows()), element,
                 emit.mul(tile, added * inner)),
         emit.at(to, element, emit.mul(position, inner)), added * inner);
  });
  LoweredKernel lowered;
  lowered.launches.push_back(std::move(launch));
  return lowered;
}

} // namespace ltc::cpu
