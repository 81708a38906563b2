// SPDX-License-Identifier: Apache-2.0
// Verifiers of ltc.attention and ltc.attention_grad; letters: Attention.td.
#include "ir/ops/Ops.h"

using namespace mlir;

/// (C3) a region takes `leading`, then one scalar per extra.
static LogicalResult verifyRegion(Operation *op, Region &region, StringRef name,
                                  ArrayRef<Type> leading, ValueRange extras,
                                  Type result) {
  if (region.empty())
    return success();
  SmallVector<Type> expected(leading);
  for (Value extra : extras)
    expected.push_back(ltc::elementOf(extra));
  Block &body = region.front();
  if (!llvm::equal(body.getArgumentTypes(), expected))
    return op->emitOpError("(C3) expects the region ")
           << name << " to take " << expected.size()
           << " scalars of the extras' types after its own";
  if (body.empty() || !isa<ltc::YieldOp>(body.back()) ||
      body.back().getNumOperands() != 1 ||
      body.back().getOperand(0).getType() != result)
    return op->emitOpError("(C3) expects the region ")
           << name << " to yield one " << result;
  return success();
}

template <typename Op> static LogicalResult verifyAttention(Op op) {
  ArrayRef<int64_t> q = ltc::shapeOf(op.getQuery());
  ArrayRef<int64_t> key = ltc::shapeOf(op.getKey());
  ArrayRef<int64_t> value = ltc::shapeOf(op.getValue());
  if (q.size() != 5 || key.size() != 4 || value.size() != 4)
    return op.emitOpError("(C1) expects query (b,t,g,r,k), key (b,u,g,k) and "
                          "value (b,u,g,c)");
  bool fits = q[0] == key[0] && q[0] == value[0] && key[1] == value[1] &&
              q[2] == key[2] && q[2] == value[2] && q[4] == key[3];
  if (!fits)
    return op.emitOpError("(C1) expects query, key and value to agree in b, u, "
                          "g and k");
  if (ltc::elementOf(op.getQuery()) != ltc::elementOf(op.getKey()) ||
      ltc::elementOf(op.getQuery()) != ltc::elementOf(op.getValue()))
    return op.emitOpError("(C4) expects query, key and value of one element "
                          "type");
  if (op.getScale().convertToDouble() <= 0)
    return op.emitOpError("(C2) expects scale > 0");
  if (op.getExtraMaps().size() != op.getExtras().size())
    return op.emitOpError("(C3) expects one map per extra");
  int64_t space[] = {q[0], q[2], q[3], q[1], key[1]}; // b, g, r, t, u
  for (auto [map, extra] : llvm::zip(
           op.getExtraMaps().template getAsValueRange<AffineMapAttr>(),
           op.getExtras()))
    if (failed(ltc::verifyProjection(op, map, space, extra)))
      return failure();
  Builder b(op.getContext());
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  if (failed(verifyRegion(op, op.getKeep(), "keep", {i32, i32}, op.getExtras(),
                          b.getI1Type())))
    return failure();
  return verifyRegion(op, op.getScore(), "score", {f32, i32, i32},
                      op.getExtras(), f32);
}

/// (C1) of the results of attention.
static LogicalResult verifyOutput(Operation *op, Value query, Value value,
                                  Value output, Value lse) {
  SmallVector<int64_t> shape(ltc::shapeOf(query));
  if (ltc::shapeOf(lse) != ArrayRef<int64_t>(shape).drop_back())
    return op->emitOpError("(C1) expects lse (b,t,g,r)");
  shape[4] = ltc::shapeOf(value)[3];
  if (!ltc::elementOf(lse).isF32())
    return op->emitOpError("(C4) expects lse in f32");
  if (ltc::shapeOf(output) != ArrayRef<int64_t>(shape))
    return op->emitOpError("(C1) expects output (b,t,g,r,c)");
  return success();
}

LogicalResult ltc::AttentionOp::verify() {
  if (failed(verifyAttention(*this)))
    return failure();
  return verifyOutput(*this, getQuery(), getValue(), getOutput(), getLse());
}

LogicalResult ltc::AttentionGradOp::verify() {
  if (failed(verifyAttention(*this)) ||
      failed(verifyOutput(*this, getQuery(), getValue(), getOutput(),
                          getLse())))
    return failure();
  if (getDOutput().getType() != getOutput().getType())
    return emitOpError("(C1) expects dOut of the output's type");
  Type f32 = Float32Type::get(getContext());
  for (auto [d, value] : {std::pair<Value, Value>{getDQuery(), getQuery()},
                          {getDKey(), getKey()},
                          {getDValue(), getValue()}})
    if (shapeOf(d) != shapeOf(value) ||
        (elementOf(d) != elementOf(value) && elementOf(d) != f32))
      return emitOpError("(C1) expects gradients of the shapes of their "
                         "values, in their type or f32");
  return success();
}
