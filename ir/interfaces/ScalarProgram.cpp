// SPDX-License-Identifier: Apache-2.0
// The meaning of each scalar op, one line each.
#include "ir/interfaces/ScalarProgram.h"
#include "ir/interfaces/Philox.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <bit>
#include <cmath>

using namespace mlir;

namespace ltc {
namespace {
using In = ScalarProgram::Instruction;
using Compute = decltype(In::compute);

Cell real(double f) { return Cell{.f = f}; }
Cell whole(int64_t i) { return Cell{.i = i}; }

uint64_t bits(const Cell &cell, unsigned width) {
  uint64_t value = static_cast<uint64_t>(cell.i);
  return width >= 64 ? value : value & ((uint64_t(1) << width) - 1);
}

/// Keeps `width` bits: sign-extended, but i1 as 0 or 1.
int64_t wrap(int64_t value, unsigned width) {
  if (width >= 64)
    return value;
  if (width == 1)
    return value & 1;
  return static_cast<int64_t>(static_cast<uint64_t>(value) << (64 - width)) >>
         (64 - width);
}

bool compareFloats(double a, double b, arith::CmpFPredicate predicate) {
  using P = arith::CmpFPredicate;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case P::AlwaysFalse: return false;
  case P::OEQ: return a == b;
  case P::OGT: return a > b;
  case P::OGE: return a >= b;
  case P::OLT: return a < b;
  case P::OLE: return a <= b;
  case P::ONE: return !unordered && a != b;
  case P::ORD: return !unordered;
  case P::UEQ: return unordered || a == b;
  case P::UGT: return unordered || a > b;
  case P::UGE: return unordered || a >= b;
  case P::ULT: return unordered || a < b;
  case P::ULE: return unordered || a <= b;
  case P::UNE: return a != b;
  case P::UNO: return unordered;
  case P::AlwaysTrue: return true;
  }
  return false;
}

bool compareIntegers(const Cell &a, const Cell &b, const In &in) {
  using P = arith::CmpIPredicate;
  // An i1 is signed when compared so, as MLIR has it: true is -1.
  int64_t x = in.fromWidth == 1 ? -a.i : a.i;
  int64_t y = in.fromWidth == 1 ? -b.i : b.i;
  uint64_t ux = bits(a, in.fromWidth), uy = bits(b, in.fromWidth);
  switch (static_cast<P>(in.attribute)) {
  case P::eq: return x == y;
  case P::ne: return x != y;
  case P::slt: return x < y;
  case P::sle: return x <= y;
  case P::sgt: return x > y;
  case P::sge: return x >= y;
  case P::ult: return ux < uy;
  case P::ule: return ux <= uy;
  case P::ugt: return ux > uy;
  case P::uge: return ux >= uy;
  }
  return false;
}

double larger(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? NAN : (a > b ? a : b);
}
double smaller(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? NAN : (a < b ? a : b);
}

/// Toward zero; what does not fit sticks to the nearest integer.
int64_t toInteger(double x) {
  if (std::isnan(x))
    return 0;
  constexpr double limit = 9223372036854774784.0; // largest double < 2^63
  return static_cast<int64_t>(smaller(larger(x, -limit), limit));
}

/// float32 and wider stay float64 here; 16-bit formats round.
double narrowTo(const llvm::fltSemantics &format, double x) {
  llvm::APFloat value(x);
  bool lost;
  value.convert(format, llvm::APFloat::rmNearestTiesToEven, &lost);
  return value.convertToDouble();
}

double narrow(double x, const In &in) {
  if (in.width >= 32)
    return x;
  return narrowTo(in.attribute ? llvm::APFloat::BFloat()
                               : llvm::APFloat::IEEEhalf(),
                  x);
}

Cell bitcast(const Cell &a, const In &in) {
  if (in.integer)
    return whole(in.width == 64
                     ? std::bit_cast<int64_t>(a.f)
                     : std::bit_cast<int32_t>(static_cast<float>(a.f)));
  return real(in.width == 64
                  ? std::bit_cast<double>(a.i)
                  : std::bit_cast<float>(static_cast<int32_t>(a.i)));
}

int64_t randomBits(uint64_t low, uint64_t high, uint64_t key) {
  return philox({uint32_t(low), uint32_t(low >> 32), uint32_t(high),
                 uint32_t(high >> 32)},
                {uint32_t(key), uint32_t(key >> 32)})[0];
}

#define FLOAT1(expr)                                                           \
  [](const Cell &a, const Cell &, const Cell &, const In &) {                  \
    double x = a.f;                                                            \
    return real(expr);                                                         \
  }
#define FLOAT2(expr)                                                           \
  [](const Cell &a, const Cell &b, const Cell &, const In &) {                 \
    double x = a.f, y = b.f;                                                   \
    return real(expr);                                                         \
  }
// Unsigned, so that overflow wraps.
#define INT2(expr)                                                             \
  [](const Cell &a, const Cell &b, const Cell &, const In &in) {               \
    uint64_t x = bits(a, in.fromWidth), y = bits(b, in.fromWidth);             \
    (void)x, (void)y;                                                          \
    return whole(static_cast<int64_t>(expr));                                  \
  }
#define ANY(expr)                                                              \
  [](const Cell &a, const Cell &b, const Cell &c, const In &in) {              \
    (void)a, (void)b, (void)c, (void)in;                                       \
    return expr;                                                               \
  }

Compute floatOp(StringRef name) {
  static const llvm::StringMap<Compute> table = {
      {"arith.addf", FLOAT2(x + y)},
      {"arith.subf", FLOAT2(x - y)},
      {"arith.mulf", FLOAT2(x * y)},
      {"arith.divf", FLOAT2(x / y)},
      {"arith.negf", FLOAT1(-x)},
      {"arith.maximumf", FLOAT2(larger(x, y))},
      {"arith.minimumf", FLOAT2(smaller(x, y))},
      {"arith.maxnumf", FLOAT2(std::fmax(x, y))},
      {"arith.minnumf", FLOAT2(std::fmin(x, y))},
      {"arith.extf", FLOAT1(x)},
      {"math.exp", FLOAT1(std::exp(x))},
      {"math.exp2", FLOAT1(std::exp2(x))},
      {"math.expm1", FLOAT1(std::expm1(x))},
      {"math.log", FLOAT1(std::log(x))},
      {"math.log2", FLOAT1(std::log2(x))},
      {"math.log1p", FLOAT1(std::log1p(x))},
      {"math.sqrt", FLOAT1(std::sqrt(x))},
      {"math.rsqrt", FLOAT1(1 / std::sqrt(x))},
      {"math.tanh", FLOAT1(std::tanh(x))},
      {"math.sin", FLOAT1(std::sin(x))},
      {"math.cos", FLOAT1(std::cos(x))},
      {"math.powf", FLOAT2(std::pow(x, y))},
      {"math.absf", FLOAT1(std::fabs(x))},
      {"math.floor", FLOAT1(std::floor(x))},
      {"math.ceil", FLOAT1(std::ceil(x))},
      {"math.erf", FLOAT1(std::erf(x))},
      {"math.fma", ANY(real(a.f * b.f + c.f))},
      {"math.copysign", FLOAT2(std::copysign(x, y))}};
  return table.lookup(name);
}

Compute integerOp(StringRef name) {
  static const llvm::StringMap<Compute> table = {
      {"arith.addi", INT2(x + y)},
      {"arith.subi", INT2(x - y)},
      {"arith.muli", INT2(x * y)},
      {"arith.divui", INT2(y ? x / y : 0)},
      {"arith.remui", INT2(y ? x % y : 0)},
      {"arith.divsi", ANY(whole(b.i ? a.i / b.i : 0))},
      {"arith.remsi", ANY(whole(b.i ? a.i % b.i : 0))},
      {"arith.maxsi", ANY(whole(a.i > b.i ? a.i : b.i))},
      {"arith.minsi", ANY(whole(a.i < b.i ? a.i : b.i))},
      {"arith.xori", INT2(x ^ y)},
      {"arith.andi", INT2(x & y)},
      {"arith.ori", INT2(x | y)},
      {"arith.shli", INT2(y < 64 ? x << y : 0)},
      {"arith.shrui", INT2(y < 64 ? x >> y : 0)},
      {"arith.shrsi", ANY(whole(a.i >> (b.i & 63)))},
      {"arith.extui", INT2(x)},
      {"arith.extsi", ANY(whole(in.fromWidth == 1 ? -a.i : a.i))},
      {"arith.trunci", INT2(x)},
      {"arith.cmpi", ANY(whole(compareIntegers(a, b, in)))},
      {"arith.cmpf",
       ANY(whole(compareFloats(
           a.f, b.f, static_cast<arith::CmpFPredicate>(in.attribute))))},
      {"ltc.random", ANY(whole(randomBits(a.i, b.i, c.i)))},
      {"arith.fptosi", ANY(whole(toInteger(a.f)))}};
  return table.lookup(name);
}

Compute mixedOp(StringRef name) {
  static const llvm::StringMap<Compute> table = {
      {"arith.select", ANY(a.i ? b : c)},
      {"arith.truncf", ANY(real(narrow(a.f, in)))},
      {"arith.sitofp", ANY(real(in.fromWidth == 1 ? -a.i : a.i))},
      {"arith.uitofp", ANY(real(static_cast<double>(bits(a, in.fromWidth))))},
      {"arith.bitcast", ANY(bitcast(a, in))}};
  return table.lookup(name);
}

Compute find(StringRef name) {
  if (Compute found = floatOp(name))
    return found;
  if (Compute found = integerOp(name))
    return found;
  return mixedOp(name);
}

int64_t attributeOf(Operation &op) {
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return static_cast<int64_t>(compare.getPredicate());
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return static_cast<int64_t>(compare.getPredicate());
  if (isa<arith::TruncFOp>(op))
    return op.getResult(0).getType().isBF16();
  return 0;
}

Cell constant(arith::ConstantOp op) {
  if (auto value = dyn_cast<FloatAttr>(op.getValue()))
    return real(value.getValueAsDouble());
  APInt value = cast<IntegerAttr>(op.getValue()).getValue();
  return whole(wrap(value.getSExtValue(), value.getBitWidth()));
}
} // namespace

double roundedTo(Type element, double x) {
  auto real = dyn_cast<FloatType>(element);
  bool narrow = real && real.getWidth() < 32;
  return narrow ? narrowTo(real.getFloatSemantics(), x) : x;
}

bool ScalarProgram::knows(Operation &op) {
  return isa<arith::ConstantOp, IndexOp, TrainingOp, YieldOp>(op) ||
         find(op.getName().getStringRef());
}

void ScalarProgram::add(Operation &op, DenseMap<Value, unsigned> &cellOf) {
  unsigned to = cells.size();
  cells.push_back(whole(0));
  cellOf[op.getResult(0)] = to;
  if (auto value = dyn_cast<arith::ConstantOp>(op)) {
    cells[to] = constant(value);
    return;
  }
  if (isa<TrainingOp>(op)) { // evaluation has made it a constant
    cells[to] = whole(1);
    return;
  }
  if (auto index = dyn_cast<IndexOp>(op)) {
    indices.push_back({to, static_cast<unsigned>(index.getDim())});
    return;
  }
  Instruction in;
  in.compute = find(op.getName().getStringRef());
  assert(in.compute && "a scalar op outside of the reference's list");
  for (unsigned i = 0; i < op.getNumOperands(); ++i)
    in.from[i] = cellOf.at(op.getOperand(i));
  in.to = to;
  in.width = op.getResult(0).getType().getIntOrFloatBitWidth();
  in.fromWidth = op.getOperand(0).getType().getIntOrFloatBitWidth();
  in.integer = op.getResult(0).getType().isInteger();
  in.attribute = attributeOf(op);
  program.push_back(in);
}

ScalarProgram::ScalarProgram(Block &body) {
  DenseMap<Value, unsigned> cellOf;
  for (BlockArgument argument : body.getArguments()) {
    cellOf[argument] = cells.size();
    cells.push_back(whole(0));
    argumentIsInteger.push_back(argument.getType().isInteger());
  }
  for (Operation &op : body.without_terminator())
    add(op, cellOf);
  for (Value value : body.getTerminator()->getOperands()) {
    yielded.push_back(cellOf.at(value));
    resultIsInteger.push_back(value.getType().isInteger());
  }
}

void ScalarProgram::run(const double *arguments, const int64_t *point,
                        double *results) {
  for (size_t i = 0; i < argumentIsInteger.size(); ++i)
    cells[i] = argumentIsInteger[i] ? whole(static_cast<int64_t>(arguments[i]))
                                    : real(arguments[i]);
  for (auto [cell, dim] : indices)
    cells[cell] = whole(point[dim]);
  for (const Instruction &in : program) {
    Cell value = in.compute(cells[in.from[0]], cells[in.from[1]],
                            cells[in.from[2]], in);
    if (in.integer)
      value.i = wrap(value.i, in.width);
    cells[in.to] = value;
  }
  for (size_t i = 0; i < yielded.size(); ++i)
    results[i] = resultIsInteger[i] ? static_cast<double>(cells[yielded[i]].i)
                                    : cells[yielded[i]].f;
}

} // namespace ltc
