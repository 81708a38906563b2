// SPDX-License-Identifier: Apache-2.0
// @predict, a whole window, becomes @decode and @prefill with caches.
#include "ir/interfaces/Line.h"
#include "ir/ops/Build.h"
#include "llvm/ADT/StringMap.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"
#include "passes/generation/Passes.h"
#include "passes/generation/Prepare.h"
#include <map>

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_DERIVEGENERATIONPASS
#include "passes/generation/Passes.h.inc"

namespace {

/// A function at the step's times: its arguments are the source's, then the
/// times before the step, then prepared values, then caches; its results the
/// source's, then what the caches become.
struct Derived {
  func::FuncOp function;
  SmallVector<TimeDim> results;
  SmallVector<std::string> prepared, caches; ///< their names
};

/// Why there is no way, and where.
struct Obstacle {
  Location loc;
  std::string why;
};

class Family;

/// One function, op by op.
class Walker : public TimeStep {
public:
  Walker(Family &family, func::FuncOp source, OpBuilder &builder,
         int64_t chunk, int64_t length)
      : TimeStep(builder, chunk, length), family(family), source(source) {}
  FailureOr<Derived> run(const std::string &name, ArrayRef<TimeDim> arguments);

  Value cache(RankedTensorType type, StringRef name) override;
  void keep(Value cache, Value next) override {
    for (Cache &known : caches)
      if (known.value == cache)
        known.next = next;
  }
  Value sliceOf(Value whole, int64_t dim) override;

private:
  struct Cache {
    std::string name;
    Value value, next;
  };
  LogicalResult walk(Operation &op);
  LogicalResult walkCall(func::CallOp call);
  FailureOr<SmallVector<Value>> advance(Operation &op);
  bool isChoice(Operation &op);
  llvm::DenseSet<Operation *> needed();
  void remember(Operation &op, ArrayRef<Value> made);
  Value rowsAt(Value whole);
  Value chunkOf(MapOp map, unsigned result, int64_t dim);
  LogicalResult obstacle(Operation &op);

  Family &family;
  func::FuncOp source, target;
  llvm::DenseMap<Value, Value> values;
  llvm::DenseMap<Value, TimeDim> timesOf;
  SmallVector<Cache> caches;
  llvm::StringMap<int> calls;
};

/// The functions of one chunk size.
class Family {
public:
  Family(ModuleOp module, std::string phase, int64_t chunk, int64_t length,
         const PreparedValues &prepared)
      : prepared(prepared), module(module), symbols(module),
        phase(std::move(phase)), chunk(chunk), length(length) {}

  FailureOr<func::FuncOp> run(func::FuncOp predict, bool logits);
  FailureOr<Derived> derive(func::FuncOp source, ArrayRef<TimeDim> arguments);
  func::FuncOp lookup(StringRef name) {
    return symbols.lookup<func::FuncOp>(name);
  }
  void eraseAll() {
    for (auto &[key, derived] : done)
      derived.function.erase();
  }
  std::optional<Obstacle> obstacle;
  const PreparedValues &prepared;

private:
  ModuleOp module;
  SymbolTable symbols;
  std::string phase;
  int64_t chunk, length;
  std::map<std::string, Derived> done;
};

FailureOr<Derived> Family::derive(func::FuncOp source,
                                  ArrayRef<TimeDim> arguments) {
  std::string name = source.getSymName().str(), key = name;
  for (TimeDim time : arguments)
    key += "," + std::to_string(time.dim) + "x" + std::to_string(time.each);
  if (auto found = done.find(key); found != done.end())
    return found->second;
  if (StringRef(name).consume_front("predict."))
    name = name.substr(8);
  std::string prefix = source.isPrivate() ? phase + "." + name : phase;
  OpBuilder builder(module.getContext());
  Walker walker(*this, source, builder, chunk, length);
  FailureOr<Derived> made = walker.run(prefix, arguments);
  if (failed(made))
    return failure();
  symbols.insert(made->function);
  done[key] = *made;
  return made;
}

FailureOr<func::FuncOp> Family::run(func::FuncOp predict, bool logits) {
  SmallVector<TimeDim> times;
  for (BlockArgument argument : predict.getArguments()) {
    ArrayRef<int64_t> shape = shapeOf(argument);
    bool timed = isBoundTo(predict, argument.getArgNumber(), "input") &&
                 !shape.empty() && shape.back() == length;
    times.push_back(timed ? TimeDim{int64_t(shape.size()) - 1} : TimeDim{});
  }
  FailureOr<Derived> made = derive(predict, times);
  if (failed(made))
    return failure();
  func::FuncOp function = made->function;
  MLIRContext *context = module.getContext();
  unsigned ready = made->prepared.size();
  unsigned first = function.getNumArguments() - made->caches.size();
  unsigned results = function.getNumResults() - made->caches.size();
  for (unsigned a = 0; a + ready + 1 < first; ++a)
    if (Attribute bind = predict.getArgAttr(a, "ltc.bind"))
      function.setArgAttr(a, "ltc.bind", bind);
  function.setArgAttr(first - ready - 1, "ltc.bind",
                      bindOf(context, "past", ""));
  for (auto [p, name] : llvm::enumerate(made->prepared))
    function.setArgAttr(first - ready + p, "ltc.bind",
                        bindOf(context, "cache", name));
  for (unsigned r = 0; r < results; ++r)
    if (Attribute bind = predict.getResultAttr(r, "ltc.bind"))
      function.setResultAttr(r, "ltc.bind", bind);
  for (auto [c, name] : llvm::enumerate(made->caches)) {
    DictionaryAttr bind = bindOf(context, "cache", name);
    function.setArgAttr(first + c, "ltc.bind", bind);
    function.setResultAttr(results + c, "ltc.bind", bind);
  }
  function->setAttr("ltc.length", Builder(context).getI64IntegerAttr(chunk));
  if (!logits) {
    llvm::BitVector dropped(function.getNumResults());
    dropped.set(0, results);
    Operation *end = function.getBody().front().getTerminator();
    end->eraseOperands(0, results);
    (void)function.eraseResults(dropped);
  }
  return function;
}

FailureOr<Derived> Walker::run(const std::string &name,
                               ArrayRef<TimeDim> arguments) {
  Location loc = source.getLoc();
  target = func::FuncOp::create(loc, name, builder.getFunctionType({}, {}));
  target.setVisibility(source.getVisibility());
  Block *body = target.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  for (auto [argument, time] : llvm::zip(source.getArguments(), arguments)) {
    values[argument] = body->addArgument(typeOf(argument.getType(), time),
                                         argument.getLoc());
    timesOf[argument] = time;
  }
  past = body->addArgument(
      RankedTensorType::get({}, builder.getI32Type()), loc);
  Derived derived;
  for (auto [value, name] : family.prepared)
    if (value.getParentRegion() == &source.getBody()) {
      values[value] = body->addArgument(value.getType(), value.getLoc());
      derived.prepared.push_back(name);
    }
  llvm::DenseSet<Operation *> live = needed();
  for (Operation &op : source.getBody().front().without_terminator())
    if (live.contains(&op) && failed(walk(op))) {
      target.erase();
      return failure();
    }
  SmallVector<Value> results;
  for (Value value : source.getBody().front().getTerminator()->getOperands()) {
    results.push_back(values.lookup(value));
    derived.results.push_back(timesOf.lookup(value));
  }
  for (Cache &known : caches) {
    results.push_back(known.next);
    derived.caches.push_back(known.name);
  }
  func::ReturnOp::create(builder, loc, results);
  target.setFunctionType(builder.getFunctionType(
      body->getArgumentTypes(), TypeRange(ValueRange(results))));
  derived.function = target;
  return derived;
}

/// What the results are made of: terms that a prediction drops may still stand
/// there.
llvm::DenseSet<Operation *> Walker::needed() {
  llvm::DenseSet<Operation *> live;
  SmallVector<Operation *> stack = {
      source.getBody().front().getTerminator()};
  while (!stack.empty())
    for (Value operand : stack.pop_back_val()->getOperands())
      if (Operation *def = operand.getDefiningOp())
        if (!family.prepared.count(operand) && live.insert(def).second)
          stack.push_back(def);
  return live;
}

Value Walker::cache(RankedTensorType type, StringRef name) {
  std::string own = name.str();
  for (int n = 2; llvm::any_of(caches, [&](Cache &c) { return c.name == own; });
       ++n)
    own = name.str() + std::to_string(n);
  Value argument = target.getBody().front().addArgument(type, source.getLoc());
  caches.push_back({own, argument, argument});
  return argument;
}

LogicalResult Walker::obstacle(Operation &op) {
  if (!family.obstacle)
    family.obstacle = Obstacle{op.getLoc(), why};
  return failure();
}

void Walker::remember(Operation &op, ArrayRef<Value> made) {
  for (auto [n, result] : llvm::enumerate(op.getResults())) {
    values[result] = made[n];
    timesOf[result] = n < results.size() ? results[n] : TimeDim{};
  }
}

/// sum[t] where(index[t] == position, x, 0) with the position that the host
/// asks for: one of the step's.
bool Walker::isChoice(Operation &op) {
  auto sum = dyn_cast<ReduceOp>(op);
  auto where = sum ? sum.getInput().getDefiningOp<MapOp>() : MapOp();
  if (!where || sum.getKind() != ReduceKind::Sum || where.getNumResults() != 1)
    return false;
  TimeDim time = timesOf.lookup(sum.getInput());
  Value yielded = where.getBody().front().getTerminator()->getOperand(0);
  auto select = yielded.getDefiningOp<arith::SelectOp>();
  auto equal = select ? select.getCondition().getDefiningOp<arith::CmpIOp>()
                      : arith::CmpIOp();
  if (!time || !equal || equal.getPredicate() != arith::CmpIPredicate::eq ||
      !matchPattern(select.getFalseValue(), m_AnyZeroFloat()))
    return false;
  auto matches = [&](Value index, Value position) {
    auto at = index.getDefiningOp<IndexOp>();
    auto argument = dyn_cast<BlockArgument>(position);
    if (!at || int64_t(at.getDim()) != time.dim || !argument)
      return false;
    auto asked =
        dyn_cast<BlockArgument>(where.getInputs()[argument.getArgNumber()]);
    return asked && isBoundTo(source, asked.getArgNumber(), "position");
  };
  return matches(equal.getLhs(), equal.getRhs()) ||
         matches(equal.getRhs(), equal.getLhs());
}

LogicalResult Walker::walk(Operation &op) {
  if (auto call = dyn_cast<func::CallOp>(op))
    return walkCall(call);
  operands.clear();
  times.clear();
  results.clear();
  for (Value operand : op.getOperands()) {
    operands.push_back(values.lookup(operand));
    times.push_back(timesOf.lookup(operand));
  }
  auto made = advance(op);
  if (failed(made))
    return obstacle(op);
  remember(op, *made);
  return success();
}

FailureOr<SmallVector<Value>> Walker::advance(Operation &op) {
  if (llvm::none_of(times, [](TimeDim time) { return bool(time); }) ||
      isChoice(op)) {
    results.assign(op.getNumResults(), TimeDim{});
    return again(&op);
  }
  if (auto own = dyn_cast<IncrementalInterface>(op))
    return own.advance(*this);
  return pointwise(&op);
}

/// A block's caches are the caller's, under the call's name.
LogicalResult Walker::walkCall(func::CallOp call) {
  func::FuncOp callee = family.lookup(call.getCallee());
  SmallVector<TimeDim> arguments;
  SmallVector<Value> inputs;
  for (Value operand : call.getOperands()) {
    arguments.push_back(timesOf.lookup(operand));
    inputs.push_back(values.lookup(operand));
  }
  FailureOr<Derived> derived = family.derive(callee, arguments);
  if (failed(derived))
    return failure();
  StringRef block = call.getCallee();
  block.consume_front("predict.");
  std::string prefix =
      block.str() + "." + std::to_string(calls[block]++) + ".";
  inputs.push_back(past);
  unsigned first = caches.size();
  Block &body = derived->function.getBody().front();
  unsigned own = body.getNumArguments() - derived->caches.size();
  for (auto [c, name] : llvm::enumerate(derived->caches))
    inputs.push_back(cache(
        cast<RankedTensorType>(body.getArgument(own + c).getType()),
        prefix + name));
  auto made = func::CallOp::create(builder, call.getLoc(), derived->function,
                                   inputs);
  for (unsigned c = 0; c < derived->caches.size(); ++c)
    caches[first + c].next = made.getResult(call.getNumResults() + c);
  results = derived->results;
  SmallVector<Value> outputs(
      made.getResults().take_front(call.getNumResults()));
  remember(*call.getOperation(), outputs);
  return success();
}

/// Rows past, past + 1, ... of a value whose first dimension counts times.
Value Walker::rowsAt(Value whole) {
  Location loc = whole.getLoc();
  Type i32 = builder.getI32Type();
  AffineMap none = projection(builder.getContext(), 1, {});
  Value ids =
      buildMap(builder, loc, RankedTensorType::get({chunk}, i32), {past},
               {none},
               [&](OpBuilder &b, ValueRange in) {
                 Value index = IndexOp::create(b, loc, i32, 0);
                 return SmallVector<Value>{
                     arith::AddIOp::create(b, loc, index, in[0])};
               })
          .getResult(0);
  Value rows = values.lookup(whole);
  return GatherOp::create(builder, loc, typeOf(whole.getType(), {0}), rows,
                          ids);
}

Value Walker::sliceOf(Value whole, int64_t dim) {
  if (shapeOf(whole)[dim] != length)
    return {};
  if (auto map = whole.getDefiningOp<MapOp>())
    if (Value made =
            chunkOf(map, cast<OpResult>(whole).getResultNumber(), dim))
      return made;
  return dim == 0 ? rowsAt(whole) : Value();
}

/// A map of what no input makes, at the step's times alone.
Value Walker::chunkOf(MapOp map, unsigned result, int64_t dim) {
  SmallVector<Value> inputs;
  SmallVector<TimeDim> along;
  for (unsigned n = 0; n < map.getInputs().size(); ++n) {
    Value input = map.getInputs()[n];
    AffineMap read = map.getMap(n);
    inputs.push_back(values.lookup(input));
    along.push_back({});
    for (unsigned d = 0; d < read.getNumResults(); ++d)
      if (int64_t(read.getDimPosition(d)) == dim) {
        inputs[n] = sliceOf(input, d);
        along[n] = {int64_t(d)};
        if (!inputs[n])
          return {};
      }
  }
  // As if the map had been by time from the start.
  SmallVector<Value> outerOperands = std::exchange(operands, inputs);
  SmallVector<TimeDim> outerTimes = std::exchange(times, along);
  SmallVector<TimeDim> outerResults = std::exchange(
      results, SmallVector<TimeDim>(map.getNumResults(), TimeDim{dim}));
  SmallVector<Value> made = again(map);
  bool counts = succeeded(
      made[0].getDefiningOp<MapOp>().countFromPast(*this, {dim}));
  operands = outerOperands;
  times = outerTimes;
  results = outerResults;
  return counts ? made[result] : Value();
}

class DeriveGeneration
    : public impl::DeriveGenerationPassBase<DeriveGeneration> {
  using DeriveGenerationPassBase::DeriveGenerationPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto predict = module.lookupSymbol<func::FuncOp>("predict");
    auto length = module->getAttrOfType<IntegerAttr>("ltc.length");
    if (!predict || predict.isExternal() || !length)
      return;
    PreparedValues prepared = findPrepared(predict);
    Family decode(module, "decode", 1, length.getInt(), prepared);
    if (failed(decode.run(predict, true)))
      return giveUp(decode);
    int64_t most = std::min<int64_t>(chunk, length.getInt() / 2);
    Family prefill(module, "prefill", most, length.getInt(), prepared);
    if (most > 1 && failed(prefill.run(predict, false))) {
      decode.eraseAll();
      return giveUp(prefill);
    }
    if (!prepared.empty())
      buildPrepare(predict, prepared);
  }

  void giveUp(Family &family) {
    family.eraseAll();
    Obstacle &found = *family.obstacle;
    emitRemark(found.loc) << "generation takes the whole window for each "
                             "token: "
                          << found.why;
    std::string line = lineOf(found.loc);
    getOperation()->setAttr(
        "ltc.no_cache_why",
        StringAttr::get(&getContext(),
                        (line.empty() ? line : line + ": ") + found.why));
  }
};

} // namespace
} // namespace ltc
