// SPDX-License-Identifier: Apache-2.0
// Verifiers of ltc.attention and ltc.attention_grad; letters: Attention.td.
#include "ir/ops/Attention.h"
#include "ir/interfaces/ScalarProgram.h"

using namespace mlir;

std::optional<int64_t> ltc::distanceOffset(AffineExpr index) {
  MLIRContext *context = index.getContext();
  AffineExpr t = getAffineDimExpr(3, context), u = getAffineDimExpr(4, context);
  auto offset = dyn_cast<AffineConstantExpr>(
      simplifyAffineExpr(index - (t - u), 5, 0));
  if (!offset)
    return std::nullopt;
  return offset.getValue();
}

llvm::SmallVector<int64_t> ltc::extraGradShape(AffineMap map, int64_t batches,
                                               int64_t groups,
                                               ArrayRef<int64_t> extra) {
  SmallVector<int64_t> shape = {batches, groups};
  for (auto [index, size] : llvm::zip(map.getResults(), extra)) {
    auto dim = dyn_cast<AffineDimExpr>(index);
    if (!dim || dim.getPosition() > 1)
      shape.push_back(size);
  }
  return shape;
}

/// (C3) an extra is indexed by dimensions of its own, or by a distance.
static LogicalResult verifyExtra(Operation *op, AffineMap map,
                                 ArrayRef<int64_t> space, Value extra) {
  ArrayRef<int64_t> shape = ltc::shapeOf(extra);
  if (map.getNumDims() != 5 || map.getNumSymbols() ||
      map.getNumResults() != shape.size())
    return op->emitOpError("(C3) expects a map from (b,g,r,t,u) to the ")
           << shape.size() << " dimensions of " << extra.getType();
  llvm::SmallBitVector seen(5);
  for (auto [index, size] : llvm::zip(map.getResults(), shape)) {
    auto dim = dyn_cast<AffineDimExpr>(index);
    llvm::SmallBitVector used(5);
    if (dim)
      used.set(dim.getPosition());
    else if (ltc::distanceOffset(index))
      used.set(3).set(4);
    else
      return op->emitOpError("(C3) expects an index to be a dimension or "
                             "t - u + a constant, but the map is ")
             << AffineMapAttr::get(map);
    if (seen.anyCommon(used) || (dim && used.any() && seen.any() &&
                                 ((used[3] && seen[4]) || (used[4] && seen[3]))))
      return op->emitOpError("(C3) expects no extra by t and u both, but the "
                             "map is ")
             << AffineMapAttr::get(map);
    seen |= used;
    if (dim && space[dim.getPosition()] != size)
      return op->emitOpError("(C3) expects ")
             << space[dim.getPosition()] << " elements along each dimension of "
             << extra.getType() << " as the map " << AffineMapAttr::get(map)
             << " has";
  }
  return success();
}

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
  for (Operation &inner : body.without_terminator())
    if (!isa<ltc::IndexOp>(inner) && !ltc::ScalarProgram::knows(inner))
      return inner.emitOpError("(C3) is no scalar op that a region may hold");
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
    if (failed(verifyExtra(op, map, space, extra)))
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
  if (Value sink = getSink())
    if (shapeOf(sink) != shapeOf(getQuery()).slice(2, 2) ||
        !elementOf(sink).isF32())
      return emitOpError("(C1) expects sink (g,r) of f32");
  if (Value offset = getOffset())
    if (!shapeOf(offset).empty() || !elementOf(offset).isInteger(32))
      return emitOpError("(C1) expects offset to be one i32");
  return verifyOutput(*this, getQuery(), getValue(), getOutput(), getLse());
}

/// (C1), (C3) of the gradients of extras.
static LogicalResult verifyExtraGrads(ltc::AttentionGradOp op) {
  if (op.getExtraGrads().size() != op.getDExtras().size())
    return op.emitOpError("(C1) expects one result per entry of extraGrads");
  for (auto [n, result] : llvm::zip(op.getExtraGrads(), op.getDExtras())) {
    if (n < 0 || n >= int64_t(op.getExtras().size()) || op.getScore().empty() ||
        !ltc::elementOf(op.getExtras()[n]).isF32())
      return op.emitOpError("(C3) expects extraGrads to number extras of f32 "
                            "that a score reads");
    auto map = cast<AffineMapAttr>(op.getExtraMaps()[n]).getValue();
    ArrayRef<int64_t> key = ltc::shapeOf(op.getKey());
    SmallVector<int64_t> shape = ltc::extraGradShape(
        map, key[0], key[2], ltc::shapeOf(op.getExtras()[n]));
    if (ltc::shapeOf(result) != ArrayRef<int64_t>(shape))
      return op.emitOpError("(C1) expects the gradient of extra ")
             << n << " to be (b,g,..) by its other dimensions";
  }
  return success();
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
  return verifyExtraGrads(*this);
}
