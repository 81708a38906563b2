// SPDX-License-Identifier: Apache-2.0
#include "backends/emit/Emitter.h"

using namespace mlir;

namespace ltc {

Value Emitter::i64(int64_t value) {
  return arith::ConstantIntOp::create(*this, getLoc(), value, 64);
}
static std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}
Value Emitter::add(Value a, Value b) {
  if (constantOf(a) == 0)
    return b;
  if (constantOf(b) == 0)
    return a;
  return arith::AddIOp::create(*this, getLoc(), a, b);
}
Value Emitter::add(Value a, int64_t b) { return b ? add(a, i64(b)) : a; }
Value Emitter::mul(Value a, int64_t b) {
  if (auto constant = constantOf(a))
    return i64(*constant * b);
  if (b == 1)
    return a;
  return b ? Value(arith::MulIOp::create(*this, getLoc(), a, i64(b))) : i64(0);
}
Value Emitter::div(Value a, int64_t b) {
  return b == 1 ? a : arith::DivUIOp::create(*this, getLoc(), a, i64(b));
}
Value Emitter::rem(Value a, int64_t b) {
  return b == 1 ? i64(0) : arith::RemUIOp::create(*this, getLoc(), a, i64(b));
}
Value Emitter::min(Value a, Value b) {
  return arith::MinSIOp::create(*this, getLoc(), a, b);
}

VectorType Emitter::lanes(Type element, int64_t count) {
  return VectorType::get({count}, element);
}
Value Emitter::splat(Value scalar) {
  return vector::BroadcastOp::create(*this, getLoc(), wide(scalar.getType()),
                                     scalar);
}
Value Emitter::iota(int64_t step) {
  SmallVector<int64_t> steps;
  for (int64_t lane = 0; lane < width; ++lane)
    steps.push_back(lane * step);
  return arith::ConstantOp::create(
      *this, getLoc(),
      DenseElementsAttr::get(wide(getI64Type()), ArrayRef<int64_t>(steps)));
}
Value Emitter::extract(Value vector, int64_t lane) {
  return vector::ExtractOp::create(*this, getLoc(), vector, lane);
}
Value Emitter::pack(ArrayRef<Value> scalars) {
  return vector::FromElementsOp::create(
      *this, getLoc(), lanes(scalars[0].getType(), scalars.size()), scalars);
}
Value Emitter::zero(Type type) {
  return arith::ConstantOp::create(*this, getLoc(), getZeroAttr(type));
}
Value Emitter::mask(int64_t count) {
  SmallVector<bool> bits(kLanes, false);
  std::fill_n(bits.begin(), count, true);
  return arith::ConstantOp::create(
      *this, getLoc(),
      DenseElementsAttr::get(lanes(getI1Type()), ArrayRef<bool>(bits)));
}
Value Emitter::maskBelow(Value count, int64_t laneCount) {
  SmallVector<int64_t> steps;
  for (int64_t lane = 0; lane < laneCount; ++lane)
    steps.push_back(lane);
  Value iota = arith::ConstantOp::create(
      *this, getLoc(),
      DenseElementsAttr::get(lanes(getI64Type(), laneCount),
                             ArrayRef<int64_t>(steps)));
  Value limit = vector::BroadcastOp::create(
      *this, getLoc(), lanes(count.getType(), laneCount), count);
  return arith::CmpIOp::create(*this, getLoc(), arith::CmpIPredicate::slt, iota,
                               limit);
}

int64_t bytesOf(Type element) {
  if (isa<LLVM::LLVMPointerType>(element))
    return 8;
  return std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8);
}

Value Emitter::at(Value base, Type element, Value index) {
  if (constantOf(index) == 0)
    return base;
  return LLVM::GEPOp::create(*this, getLoc(), base.getType(), element, base,
                             ValueRange{index});
}
Value Emitter::at(Value base, Type element, int64_t index) {
  if (!index)
    return base;
  return LLVM::GEPOp::create(*this, getLoc(), base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{int32_t(index)});
}
static Type elementType(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? vector.getElementType() : type;
}
/// The type that holds the same bits in memory: i16 for bf16.
static Type stored(Type type) {
  if (!elementType(type).isBF16())
    return type;
  Type bits = IntegerType::get(type.getContext(), 16);
  auto vector = dyn_cast<VectorType>(type);
  return vector ? Type(vector.clone(bits)) : bits;
}
Value Emitter::bitcast(Value value, Type type) {
  if (value.getType() == type)
    return value;
  return LLVM::BitcastOp::create(*this, getLoc(), type, value);
}
Value Emitter::load(Type type, Value pointer, int64_t alignment) {
  Value bits = LLVM::LoadOp::create(*this, getLoc(), stored(type), pointer,
                                    alignment * bytesOf(elementType(type)));
  return bitcast(bits, type);
}
void Emitter::store(Value value, Value pointer, int64_t alignment) {
  LLVM::StoreOp::create(*this, getLoc(),
                        bitcast(value, stored(value.getType())), pointer,
                        alignment * bytesOf(elementType(value.getType())));
}
Value Emitter::loadMasked(VectorType type, Value pointer, Value mask) {
  Type bits = stored(type);
  Value read = LLVM::MaskedLoadOp::create(
      *this, getLoc(), bits, pointer, mask, zero(bits),
      uint32_t(bytesOf(type.getElementType())));
  return bitcast(read, type);
}
void Emitter::prefetch(Value pointer) {
  LLVM::Prefetch::create(*this, getLoc(), pointer, /*rw=*/0, /*hint=*/3,
                         /*cache=*/1);
}
void Emitter::storeMasked(Value value, Value pointer, Value mask) {
  LLVM::MaskedStoreOp::create(
      *this, getLoc(), bitcast(value, stored(value.getType())), pointer, mask,
      uint32_t(bytesOf(elementType(value.getType()))));
}
Value Emitter::loadStrided(VectorType type, Value pointer, int64_t stride,
                           Value laneMask) {
  if (stride == 0)
    return splat(load(type.getElementType(), pointer));
  if (stride == 1)
    return laneMask ? loadMasked(type, pointer, laneMask)
                    : load(type, pointer);
  if (!masksMemory) {
    SmallVector<Value> read;
    for (int64_t lane = 0; lane < width; ++lane)
      read.push_back(load(type.getElementType(),
                          at(pointer, type.getElementType(), lane * stride)));
    return pack(read);
  }
  Value offsets = iota(stride);
  auto pointers = VectorType::get({width}, pointer.getType());
  Value addresses =
      LLVM::GEPOp::create(*this, getLoc(), pointers, type.getElementType(),
                          pointer, ValueRange{offsets});
  Type bits = stored(type);
  Value read = LLVM::masked_gather::create(
      *this, getLoc(), bits, addresses, laneMask ? laneMask : mask(width),
      ValueRange{zero(bits)}, uint32_t(bytesOf(type.getElementType())));
  return bitcast(read, type);
}
Value Emitter::shuffle(Value a, Value b, ArrayRef<int32_t> picks) {
  return LLVM::ShuffleVectorOp::create(*this, getLoc(), a, b, picks);
}
void Emitter::transpose16(MutableArrayRef<Value> rows) {
  // Swaps the off-diagonal s x s blocks of each 2s x 2s block, s = 1, 2, 4, 8.
  for (int32_t s = 1; s < kLanes; s *= 2) {
    SmallVector<int32_t> low, high;
    for (int32_t lane = 0; lane < kLanes; ++lane) {
      low.push_back(lane & s ? kLanes + lane - s : lane);
      high.push_back(lane & s ? kLanes + lane : lane + s);
    }
    for (int32_t i = 0; i < kLanes; ++i) {
      if (i & s)
        continue;
      Value a = rows[i], b = rows[i + s];
      rows[i] = shuffle(a, b, low);
      rows[i + s] = shuffle(a, b, high);
    }
  }
}

SmallVector<Value> Emitter::loop(Value lo, Value hi, int64_t step,
                                 ValueRange carried, Body body) {
  auto loop = scf::ForOp::create(*this, getLoc(), lo, hi, i64(step), carried);
  OpBuilder::InsertionGuard guard(*this);
  if (!loop.getBody()->empty())
    setInsertionPoint(loop.getBody()->getTerminator());
  else
    setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(*this, getLoc(), next);
  return SmallVector<Value>(loop.getResults());
}
void Emitter::loop(Value lo, Value hi, int64_t step,
                   std::function<void(Value)> body) {
  loop(lo, hi, step, ValueRange{},
       [&](Value i, ValueRange) -> SmallVector<Value> {
         body(i);
         return {};
       });
}
void Emitter::loop(int64_t lo, int64_t hi, int64_t step,
                   std::function<void(Value)> body) {
  Value first = i64(lo), end = i64(hi); // in this order with any compiler
  loop(first, end, step, std::move(body));
}
void Emitter::ifThen(Value condition, std::function<void()> then) {
  auto branch = scf::IfOp::create(*this, getLoc(), condition, false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  then();
}

Value Emitter::foldLanes(
    Value vector, llvm::function_ref<Value(Value, Value)> combine) {
  int32_t lanes = cast<VectorType>(vector.getType()).getNumElements();
  for (int32_t half = lanes / 2; half >= 1; half /= 2) {
    SmallVector<int32_t> low, high;
    for (int32_t lane = 0; lane < half; ++lane) {
      low.push_back(lane);
      high.push_back(lane + half);
    }
    Value a = shuffle(vector, vector, low), b = shuffle(vector, vector, high);
    vector = combine(a, b);
  }
  return extract(vector, 0);
}

} // namespace ltc
