// SPDX-License-Identifier: Apache-2.0
// One rule a scalar op. d is the gradient of the op's result y; x0, x1 its
// operands. At a kink: PyTorch's choice, which no order of operands changes.
#include "ir/ops/ScalarGradient.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;

namespace {
/// The sweep's state: gradients so far, and short names for building.
struct Sweep {
  OpBuilder &b;
  Location loc;
  llvm::DenseSet<Value> active; ///< depends on a wanted value
  DenseMap<Value, Value> gradient;

  Value number(Value like, double value) {
    return arith::ConstantOp::create(
        b, loc, b.getFloatAttr(like.getType(), value));
  }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value mul(Value x, double y) { return mul(x, number(x, y)); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, loc, x); }
  Value pick(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, loc, c, x, y);
  }
  Value is(arith::CmpFPredicate predicate, Value x, Value y) {
    return arith::CmpFOp::create(b, loc, predicate, x, y);
  }
  /// d flows into x; `build` runs only if it matters.
  void flow(Value x, llvm::function_ref<Value()> build) {
    if (!active.contains(x))
      return;
    Value d = build();
    Value &sum = gradient[x];
    sum = sum ? Value(arith::AddFOp::create(b, loc, sum, d)) : d;
  }
};

using Rule = void (*)(Sweep &s, Operation &op, Value d);
Value x(Operation &op, unsigned i) { return op.getOperand(i); }
Value y(Operation &op) { return op.getResult(0); }

#define RULE(...) [](Sweep & s, Operation & op, Value d) { __VA_ARGS__; }
#define FLOW(i, expr) s.flow(x(op, i), [&]() -> Value { return expr; })

void selectRule(Sweep &s, Operation &op, Value d) {
  FLOW(1, s.pick(x(op, 0), d, s.number(d, 0)));
  FLOW(2, s.pick(x(op, 0), s.number(d, 0), d));
}

/// maximum and minimum: d goes to the operand that was taken; equals share it.
void takeRule(Sweep &s, Operation &op, Value d, arith::CmpFPredicate first) {
  Value zero = s.number(d, 0), half = s.mul(d, 0.5);
  Value equal = s.is(arith::CmpFPredicate::OEQ, x(op, 0), x(op, 1));
  Value taken = s.is(first, x(op, 0), x(op, 1));
  FLOW(0, s.pick(equal, half, s.pick(taken, d, zero)));
  FLOW(1, s.pick(equal, half, s.pick(taken, zero, d)));
}

/// |x|: d times the sign of x, 0 at 0.
void absRule(Sweep &s, Operation &op, Value d) {
  using P = arith::CmpFPredicate;
  Value zero = s.number(d, 0);
  FLOW(0, s.pick(s.is(P::OEQ, x(op, 0), zero), zero,
                 s.pick(s.is(P::OLT, x(op, 0), zero), s.neg(d), d)));
}

void powRule(Sweep &s, Operation &op, Value d) {
  // y = x^p: dx = d p x^(p-1);  dp = d y log x, and 0 at x = 0.
  auto pow = [&](Value base, Value exponent) -> Value {
    return math::PowFOp::create(s.b, s.loc, base, exponent);
  };
  Value base = x(op, 0), p = x(op, 1);
  FLOW(0, s.mul(s.mul(d, p), pow(base, s.sub(p, s.number(p, 1)))));
  s.flow(p, [&]() -> Value {
    Value zero = s.number(base, 0);
    Value log = math::LogOp::create(s.b, s.loc, base);
    Value positive = s.is(arith::CmpFPredicate::OGT, base, zero);
    return s.pick(positive, s.mul(d, s.mul(y(op), log)), zero);
  });
}

/// extf and truncf: d in the operand's type.
void castRule(Sweep &s, Operation &op, Value d) {
  Type type = x(op, 0).getType();
  FLOW(0, type.getIntOrFloatBitWidth() > d.getType().getIntOrFloatBitWidth()
              ? Value(arith::ExtFOp::create(s.b, s.loc, type, d))
              : Value(arith::TruncFOp::create(s.b, s.loc, type, d)));
}

const llvm::StringMap<Rule> &arithRules() {
  using P = arith::CmpFPredicate;
  static const llvm::StringMap<Rule> table = {
      {"arith.addf", RULE(FLOW(0, d); FLOW(1, d))},
      {"arith.subf", RULE(FLOW(0, d); FLOW(1, s.neg(d)))},
      {"arith.mulf",
       RULE(FLOW(0, s.mul(d, x(op, 1))); FLOW(1, s.mul(d, x(op, 0))))},
      {"arith.divf", RULE(FLOW(0, s.div(d, x(op, 1)));
                          FLOW(1, s.neg(s.div(s.mul(d, y(op)), x(op, 1)))))},
      {"arith.negf", RULE(FLOW(0, s.neg(d)))},
      {"arith.select", selectRule},
      {"arith.maximumf", RULE(takeRule(s, op, d, P::OGE))},
      {"arith.minimumf", RULE(takeRule(s, op, d, P::OLE))},
      {"arith.maxnumf", RULE(takeRule(s, op, d, P::OGE))},
      {"arith.minnumf", RULE(takeRule(s, op, d, P::OLE))},
      {"arith.extf", castRule},
      {"arith.truncf", castRule},
      {"math.fma", RULE(FLOW(0, s.mul(d, x(op, 1)));
                        FLOW(1, s.mul(d, x(op, 0))); FLOW(2, d))}};
  return table;
}

const llvm::StringMap<Rule> &mathRules() {
  static const llvm::StringMap<Rule> table = {
      {"math.exp", RULE(FLOW(0, s.mul(d, y(op))))},
      {"math.exp2", RULE(FLOW(0, s.mul(d, s.mul(y(op), M_LN2))))},
      {"math.expm1",
       RULE(FLOW(0, s.mul(d, s.sub(y(op), s.number(d, -1)))))},
      {"math.log", RULE(FLOW(0, s.div(d, x(op, 0))))},
      {"math.log2", RULE(FLOW(0, s.div(d, s.mul(x(op, 0), M_LN2))))},
      {"math.log1p",
       RULE(FLOW(0, s.div(d, s.sub(x(op, 0), s.number(d, -1)))))},
      {"math.sqrt", RULE(FLOW(0, s.div(s.mul(d, 0.5), y(op))))},
      {"math.rsqrt", RULE(FLOW(0, s.mul(s.mul(d, s.mul(y(op), -0.5)),
                                        s.mul(y(op), y(op)))))},
      {"math.tanh", RULE(FLOW(0, s.mul(d, s.sub(s.number(d, 1),
                                                s.mul(y(op), y(op))))))},
      {"math.sin",
       RULE(FLOW(0, s.mul(d, math::CosOp::create(s.b, s.loc, x(op, 0)))))},
      {"math.cos",
       RULE(FLOW(0, s.neg(s.mul(
                        d, math::SinOp::create(s.b, s.loc, x(op, 0))))))},
      {"math.powf", powRule},
      {"math.absf", absRule},
      {"math.erf",
       RULE(FLOW(0, s.mul(s.mul(d, M_2_SQRTPI),
                          math::ExpOp::create(
                              s.b, s.loc,
                              s.neg(s.mul(x(op, 0), x(op, 0)))))))}};
  return table;
}

/// Constant almost everywhere: no gradient, and that is right.
bool isFlat(Operation &op) {
  return isa<math::FloorOp, math::CeilOp>(op) ||
         !isa<FloatType>(op.getResult(0).getType()) ||
         !llvm::any_of(op.getOperandTypes(), llvm::IsaPred<FloatType>);
}

/// Values that depend on `wanted` by floats.
llvm::DenseSet<Value> activeValues(ArrayRef<Operation *> ops,
                                   ArrayRef<Value> wanted) {
  llvm::DenseSet<Value> active(wanted.begin(), wanted.end());
  for (Operation *op : ops)
    if (op->getNumResults() == 1 && !isFlat(*op) &&
        llvm::any_of(op->getOperands(),
                     [&](Value v) { return active.contains(v); }))
      active.insert(op->getResult(0));
  return active;
}
} // namespace

FailureOr<SmallVector<Value>>
ltc::differentiateScalars(OpBuilder &b, ArrayRef<Operation *> ops,
                          ArrayRef<std::pair<Value, Value>> seeds,
                          ArrayRef<Value> wanted) {
  Sweep s{b, b.getUnknownLoc(), activeValues(ops, wanted),
          DenseMap<Value, Value>()};
  for (auto [value, seed] : seeds) {
    if (Operation *op = value.getDefiningOp())
      s.loc = op->getLoc();
    s.flow(value, [seed = seed] { return seed; });
  }
  for (Operation *op : llvm::reverse(ops)) {
    if (op->getNumResults() != 1 || !s.active.contains(op->getResult(0)))
      continue;
    Value d = s.gradient.lookup(op->getResult(0));
    if (!d)
      continue;
    s.loc = op->getLoc();
    StringRef name = op->getName().getStringRef();
    Rule rule = arithRules().lookup(name);
    if (!rule)
      rule = mathRules().lookup(name);
    if (!rule)
      return op->emitError("has no gradient, but one is needed here; "
                           "stop_gradient(..) says that none should flow");
    rule(s, *op, d);
  }
  SmallVector<Value> results;
  for (Value value : wanted)
    results.push_back(s.gradient.lookup(value));
  return results;
}

void ltc::eraseDeadScalars(Block &body) {
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
}
