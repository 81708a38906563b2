// SPDX-License-Identifier: Apache-2.0
// What follows from attention's keep region: a band of keys around a query.
#include "ir/ops/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace {
/// ofT t + ofU u + constant.
struct Linear {
  int64_t ofT = 0, ofU = 0, constant = 0;
  Linear plus(const Linear &other, int64_t sign) const {
    return {ofT + sign * other.ofT, ofU + sign * other.ofU,
            constant + sign * other.constant};
  }
};

std::optional<Linear> linear(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    if (argument.getArgNumber() > 1)
      return std::nullopt;
    return argument.getArgNumber() ? Linear{0, 1, 0} : Linear{1, 0, 0};
  }
  APInt number;
  if (matchPattern(value, m_ConstantInt(&number)))
    return Linear{0, 0, number.getSExtValue()};
  Operation *op = value.getDefiningOp();
  if (auto index = dyn_cast<ltc::IndexOp>(op); index && index.getDim() > 2)
    return index.getDim() == 4 ? Linear{0, 1, 0} : Linear{1, 0, 0};
  if (!isa<arith::AddIOp, arith::SubIOp>(op))
    return std::nullopt;
  auto lhs = linear(op->getOperand(0)), rhs = linear(op->getOperand(1));
  if (!lhs || !rhs)
    return std::nullopt;
  return lhs->plus(*rhs, isa<arith::AddIOp>(op) ? 1 : -1);
}

void narrow(std::optional<int64_t> &bound, int64_t limit) {
  bound = bound ? std::min(*bound, limit) : limit;
}

/// `lhs < rhs` (<= if `orEqual`).
void readBound(Value lhs, Value rhs, bool orEqual, ltc::KeepBounds &bounds) {
  auto less = linear(lhs), more = linear(rhs);
  if (!less || !more)
    return;
  Linear difference = less->plus(*more, -1);
  int64_t limit = (orEqual ? 1 : 0) - difference.constant;
  if (difference.ofT == 1 && difference.ofU == -1)
    narrow(bounds.window, limit);
  if (difference.ofT == -1 && difference.ofU == 1)
    narrow(bounds.ahead, limit);
}

/// Looks through the conjuncts of the condition.
void readConjuncts(Value condition, ltc::KeepBounds &bounds) {
  if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
    readConjuncts(both.getLhs(), bounds);
    return readConjuncts(both.getRhs(), bounds);
  }
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return;
  Value lhs = compare.getLhs(), rhs = compare.getRhs();
  switch (compare.getPredicate()) {
  case arith::CmpIPredicate::sle:
    return readBound(lhs, rhs, true, bounds);
  case arith::CmpIPredicate::slt:
    return readBound(lhs, rhs, false, bounds);
  case arith::CmpIPredicate::sge:
    return readBound(rhs, lhs, true, bounds);
  case arith::CmpIPredicate::sgt:
    return readBound(rhs, lhs, false, bounds);
  default:
    return;
  }
}
} // namespace

ltc::KeepBounds ltc::keepBounds(Region &keep) {
  KeepBounds bounds;
  if (!keep.empty())
    readConjuncts(keep.front().getTerminator()->getOperand(0), bounds);
  return bounds;
}

double ltc::KeepBounds::pairs(int64_t queries, int64_t keys) const {
  double sum = 0;
  for (int64_t t = 0; t < queries; ++t) {
    int64_t end = ahead ? std::clamp<int64_t>(t + *ahead, 0, keys) : keys;
    int64_t begin =
        window ? std::clamp<int64_t>(t - *window + 1, 0, end) : 0;
    sum += double(end - begin);
  }
  return sum;
}
