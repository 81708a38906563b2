// SPDX-License-Identifier: Apache-2.0
#include "backends/gpu/target/Block.h"

using namespace mlir;

namespace ltc::gpu {

namespace gpu = mlir::gpu;

Block::Block(Location loc, const Machine &machine)
    : Emitter(loc, loc.getContext()), machine(machine) {
  width = kVector;
  masksMemory = false;
}

void Block::begin(ModuleOp into, const KernelLaunch &launch) {
  symbol = launch.symbol;
  threads = launch.threads;
  module = into.lookupSymbol<gpu::GPUModuleOp>("kernels");
  if (!module) {
    setInsertionPointToEnd(into.getBody());
    module = gpu::GPUModuleOp::create(*this, getLoc(), "kernels");
  }
  setInsertionPointToEnd(module.getBody());
  auto global = LLVM::LLVMPointerType::get(getContext(), 1);
  SmallVector<Type> parameters(launch.bindings.size(), global);
  auto function = gpu::GPUFuncOp::create(*this, getLoc(), symbol,
                                         getFunctionType(parameters, {}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), getUnitAttr());
  function.setKnownBlockSizeAttr(getDenseI32ArrayAttr({launch.threads, 1, 1}));
  function.setKnownGridSizeAttr(
      getDenseI32ArrayAttr({int32_t(launch.tiles), 1, 1}));
  setInsertionPointToStart(&function.getBody().front());
  bindings.assign(function.getArguments().begin(),
                  function.getArguments().end());
  auto wide = [&](Value index) -> Value {
    return arith::IndexCastOp::create(*this, getLoc(), getI64Type(), index);
  };
  block = wide(gpu::BlockIdOp::create(*this, getLoc(), gpu::Dimension::x,
                                      getIndexAttr(launch.tiles)));
  thread = wide(gpu::ThreadIdOp::create(*this, getLoc(), gpu::Dimension::x,
                                        getIndexAttr(launch.threads)));
  auto end = gpu::ReturnOp::create(*this, getLoc());
  setInsertionPoint(end);
}

Value Block::sub(Value a, Value b) {
  return arith::SubIOp::create(*this, getLoc(), a, b);
}
Value Block::less(Value a, Value b) {
  return arith::CmpIOp::create(*this, getLoc(), arith::CmpIPredicate::slt, a,
                               b);
}
Value Block::less(Value a, int64_t b) { return less(a, i64(b)); }
Value Block::isZero(Value a) {
  return arith::CmpIOp::create(*this, getLoc(), arith::CmpIPredicate::eq, a,
                               i64(0));
}
Value Block::both(Value a, Value b) {
  if (!a || !b)
    return a ? a : b;
  return arith::AndIOp::create(*this, getLoc(), a, b);
}
Value Block::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(*this, getLoc(), condition, a, b);
}
Value Block::where(Value condition, Value value, ReduceKind kind) {
  if (!condition)
    return value;
  return select(condition, value, identity(*this, kind, value.getType()));
}
void Block::guarded(Value condition, std::function<void()> then) {
  condition ? ifThen(condition, std::move(then)) : then();
}

void Block::barrier() { gpu::BarrierOp::create(*this, getLoc()); }

Value Block::shared(int64_t bytes) {
  std::string name = symbol + "_shared" + std::to_string(sharedCount++);
  auto type = LLVM::LLVMArrayType::get(getI8Type(), bytes);
  {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPointToStart(module.getBody());
    LLVM::GlobalOp::create(*this, getLoc(), type, /*isConstant=*/false,
                           LLVM::Linkage::Internal, name, Attribute(),
                           /*alignment=*/16, /*addrSpace=*/3);
  }
  return LLVM::AddressOfOp::create(
      *this, getLoc(), LLVM::LLVMPointerType::get(getContext(), 3), name);
}

Value Block::fold(Value value, ReduceKind kind) {
  if (!isa<VectorType>(value.getType()))
    return value;
  return foldLanes(value, [&](Value a, Value b) {
    return combine(*this, kind, a, b);
  });
}

/// Moved as words of 32 bits.
Value Block::exchange(Value value, int64_t distance) {
  Type type = value.getType(), word = getI32Type();
  int64_t bits = type.getIntOrFloatBitWidth();
  auto move = [&](Value one) -> Value {
    return gpu::ShuffleOp::create(*this, getLoc(), one, int32_t(distance),
                                  int32_t(machine.subgroup),
                                  gpu::ShuffleMode::XOR)
        .getShuffleResult();
  };
  Type integer = getIntegerType(bits);
  Value plain = bitcast(value, integer);
  if (bits < 32) {
    Value wide = arith::ExtUIOp::create(*this, getLoc(), word, plain);
    plain = arith::TruncIOp::create(*this, getLoc(), integer, move(wide));
  } else if (bits == 32) {
    plain = move(plain);
  } else {
    Value low = arith::TruncIOp::create(*this, getLoc(), word, plain);
    Value shift = arith::ConstantIntOp::create(*this, getLoc(), integer, 32);
    Value top = arith::ShRUIOp::create(*this, getLoc(), plain, shift);
    Value high = arith::TruncIOp::create(*this, getLoc(), word, top);
    low = arith::ExtUIOp::create(*this, getLoc(), integer, move(low));
    high = arith::ExtUIOp::create(*this, getLoc(), integer, move(high));
    high = arith::ShLIOp::create(*this, getLoc(), high, shift);
    plain = arith::OrIOp::create(*this, getLoc(), high, low);
  }
  return bitcast(plain, type);
}

Value Block::hasBit(int64_t distance) {
  Value bit = arith::AndIOp::create(*this, getLoc(), thread, i64(distance));
  return arith::CmpIOp::create(*this, getLoc(), arith::CmpIPredicate::ne, bit,
                               i64(0));
}

Value Block::real(double value) {
  return arith::ConstantOp::create(*this, getLoc(), getF32FloatAttr(value));
}
Value Block::loadIndex(Value base, Value index) {
  Type i32 = getI32Type();
  Value read = load(i32, at(base, i32, index));
  return arith::ExtSIOp::create(*this, getLoc(), getI64Type(), read);
}
void Block::storeIndex(Value value, Value base, Value index) {
  Type i32 = getI32Type();
  Value narrow = arith::TruncIOp::create(*this, getLoc(), i32, value);
  store(narrow, at(base, i32, index));
}
Value Block::clamp(Value value, int64_t low, int64_t high) {
  Value least = min(value, i64(high));
  return arith::MaxSIOp::create(*this, getLoc(), least, i64(low));
}

Value Block::butterfly(Partial partial, int64_t threads) {
  Value value = partial.value;
  for (int64_t distance = 1; distance < threads; distance *= 2)
    value = combine(*this, partial.kind, value, exchange(value, distance));
  return value;
}

SmallVector<Value> Block::teamFold(ArrayRef<Partial> partials, int64_t team,
                                   bool again) {
  SmallVector<Value> totals;
  for (Partial partial : partials)
    totals.push_back(butterfly(partial, std::min(team, kWarp)));
  if (team <= kWarp || partials.empty())
    return totals;
  // One value of each warp goes through shared memory; every warp then holds
  // all of them, copied as often as it takes to fill it.
  int64_t warps = team / kWarp;
  Value lane = rem(thread, kWarp), warp = div(thread, kWarp);
  SmallVector<Value> rooms;
  for (Partial partial : partials)
    rooms.push_back(
        shared(threads / kWarp * bytesOf(partial.value.getType())));
  if (again)
    barrier(); // the last round's values have been read
  ifThen(isZero(lane), [&] {
    for (auto [room, total] : llvm::zip(rooms, totals))
      store(total, at(room, total.getType(), warp));
  });
  barrier();
  Value from = add(mul(div(thread, team), warps), rem(lane, warps));
  for (auto [room, total, partial] : llvm::zip(rooms, totals, partials)) {
    Type type = total.getType();
    total = butterfly({load(type, at(room, type, from)), partial.kind}, warps);
  }
  return totals;
}

} // namespace ltc::gpu
