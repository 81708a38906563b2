// SPDX-License-Identifier: Apache-2.0
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

ltc::MapOp ltc::buildMap(OpBuilder &b, Location loc, TypeRange results,
                         ValueRange inputs, ArrayRef<AffineMap> maps,
                         ScalarBody fill) {
  auto map =
      MapOp::create(b, loc, results, inputs, b.getAffineMapArrayAttr(maps));
  SmallVector<Type> elements;
  for (Value input : inputs)
    elements.push_back(elementOf(input));
  OpBuilder::InsertionGuard guard(b);
  Block *body = b.createBlock(&map.getBody(), {}, elements,
                              SmallVector<Location>(elements.size(), loc));
  SmallVector<Value> values = fill(b, body->getArguments());
  YieldOp::create(b, loc, values);
  return map;
}

Value ltc::buildFill(OpBuilder &b, Location loc, RankedTensorType type,
                     double value) {
  auto map = buildMap(b, loc, type, {}, {}, [&](OpBuilder &b, ValueRange) {
    TypedAttr attr;
    if (isa<FloatType>(type.getElementType()))
      attr = b.getFloatAttr(type.getElementType(), value);
    else
      attr = b.getIntegerAttr(type.getElementType(), int64_t(value));
    return SmallVector<Value>{arith::ConstantOp::create(b, loc, attr)};
  });
  return map.getResult(0);
}

arith::ConstantOp ltc::fillOf(Value value) {
  auto map = value.getDefiningOp<MapOp>();
  if (!map || !map.getInputs().empty() || map.getNumResults() != 1)
    return {};
  return map.getBody()
      .front()
      .getTerminator()
      ->getOperand(0)
      .getDefiningOp<arith::ConstantOp>();
}

Value ltc::buildAdd(OpBuilder &b, Location loc, Value lhs, Value rhs) {
  if (!lhs || !rhs)
    return lhs ? lhs : rhs;
  AffineMap same =
      b.getMultiDimIdentityMap(static_cast<unsigned>(shapeOf(lhs).size()));
  auto map = buildMap(b, loc, lhs.getType(), {lhs, rhs}, {same, same},
                      [&](OpBuilder &b, ValueRange x) {
                        Value sum = arith::AddFOp::create(b, loc, x[0], x[1]);
                        return SmallVector<Value>{sum};
                      });
  return map.getResult(0);
}

bool ltc::isElementwiseAdd(MapOp map) {
  Block &body = map.getBody().front();
  if (map.getInputs().size() != 2 || body.getOperations().size() != 2 ||
      !map.getMap(0).isIdentity() || !map.getMap(1).isIdentity())
    return false;
  auto add = dyn_cast<arith::AddFOp>(body.front());
  return add && add.getLhs() != add.getRhs() &&
         body.getTerminator()->getOperand(0) == add.getResult();
}

Value ltc::buildCast(OpBuilder &b, Location loc, Value input, Type element) {
  auto type = cast<RankedTensorType>(input.getType());
  bool wider = element.getIntOrFloatBitWidth() >
               type.getElementType().getIntOrFloatBitWidth();
  auto map = buildMap(
      b, loc, type.clone(element), input,
      b.getMultiDimIdentityMap(unsigned(type.getRank())),
      [&](OpBuilder &b, ValueRange x) {
        Value y = wider ? Value(arith::ExtFOp::create(b, loc, element, x[0]))
                        : arith::TruncFOp::create(b, loc, element, x[0]);
        return SmallVector<Value>{y};
      });
  return map.getResult(0);
}

bool ltc::isCast(Operation *op) {
  auto map = dyn_cast_or_null<MapOp>(op);
  if (!map || map.getInputs().size() != 1 || !map.getMap(0).isIdentity())
    return false;
  Block &body = map.getBody().front();
  return body.getOperations().size() == 2 &&
         isa<arith::ExtFOp, arith::TruncFOp>(body.front()) &&
         body.getTerminator()->getOperand(0) == body.front().getResult(0);
}

Value ltc::buildCopy(OpBuilder &b, Location loc, RankedTensorType type,
                     Value input, AffineMap map) {
  if (map.isIdentity() && input.getType() == type)
    return input;
  return buildMap(b, loc, type, input, map,
                  [](OpBuilder &, ValueRange x) {
                    return SmallVector<Value>(x);
                  })
      .getResult(0);
}

AffineMap ltc::projection(MLIRContext *context, unsigned rank,
                          ArrayRef<int64_t> dims) {
  SmallVector<AffineExpr> results;
  for (int64_t dim : dims)
    results.push_back(getAffineDimExpr(static_cast<unsigned>(dim), context));
  return AffineMap::get(rank, 0, results, context);
}

SmallVector<int64_t> ltc::otherDims(unsigned rank, ArrayRef<int64_t> dims) {
  SmallVector<int64_t> rest;
  for (int64_t i = 0; i < static_cast<int64_t>(rank); ++i)
    if (!llvm::is_contained(dims, i))
      rest.push_back(i);
  return rest;
}

Value ltc::buildSum(OpBuilder &b, Location loc, Value input,
                    ArrayRef<int64_t> dims) {
  if (dims.empty())
    return input;
  SmallVector<int64_t> rest;
  for (int64_t dim : otherDims(shapeOf(input).size(), dims))
    rest.push_back(shapeOf(input)[dim]);
  auto type = RankedTensorType::get(rest, elementOf(input));
  return ReduceOp::create(b, loc, type, input, ReduceKind::Sum, dims);
}
