// SPDX-License-Identifier: Apache-2.0
// Writes value and gradients into one function (the joint), then cuts it in
// two. The cut: a value costs its bytes if it is kept; cheap ops may run again
// in the backward; arguments and outputs exist anyway and cost nothing.
#include "passes/autodiff/BlockGradient.h"
#include "ir/ops/Build.h"
#include "mlir/IR/IRMapping.h"
#include "passes/autodiff/MinCut.h"
#include "passes/autodiff/Reverse.h"

using namespace mlir;

namespace ltc {
namespace {

struct Joint {
  func::FuncOp function;
  unsigned arguments = 0, outputs = 0;
  BlockGradient result;
  llvm::DenseSet<Value> late; ///< depends on a gradient that comes in
  llvm::SetVector<Value> kept;

  Block &body() { return function.getBody().front(); }
  func::ReturnOp end() { return cast<func::ReturnOp>(body().getTerminator()); }
  bool isLate(Value value) const { return late.contains(value); }
};

void classify(Joint &joint) {
  for (unsigned i = joint.arguments; i < joint.body().getNumArguments(); ++i)
    joint.late.insert(joint.body().getArgument(i));
  for (Operation &op : joint.body().without_terminator())
    if (llvm::any_of(op.getOperands(),
                     [&](Value v) { return joint.isLate(v); }))
      joint.late.insert(op.result_begin(), op.result_end());
}

/// Copy of `block` with the gradients of `wanted` as further results.
FailureOr<Joint> buildJoint(func::FuncOp block, ArrayRef<Want> wanted) {
  Joint joint;
  OpBuilder b(block);
  joint.function = cast<func::FuncOp>(b.clone(*block));
  joint.arguments = block.getNumArguments();
  joint.outputs = joint.result.outputs = block.getNumResults();
  Block &body = joint.body();
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  SmallVector<std::pair<Value, Value>> seeds;
  for (auto [j, output] : llvm::enumerate(joint.end().getOperands()))
    if (isFloat(output)) {
      joint.result.dOutputs.push_back(j);
      seeds.push_back(
          {output, body.addArgument(output.getType(), output.getLoc())});
    }
  SmallVector<Value> arguments;
  for (unsigned i = 0; i < joint.arguments; ++i)
    if (wanted[i] != Want::Nothing)
      arguments.push_back(body.getArgument(i));
  b.setInsertionPoint(joint.end());
  auto noCalls = [](OpBuilder &, func::CallOp call, ArrayRef<Value>,
                    ArrayRef<bool>) -> FailureOr<SmallVector<Value>> {
    return call.emitError("a block that calls a block has no gradient yet");
  };
  auto grads = buildGradients(b, ops, seeds, arguments, noCalls);
  if (failed(grads))
    return joint.function.erase(), failure();
  SmallVector<Value> results(joint.end().getOperands());
  unsigned n = 0;
  for (unsigned i = 0; i < joint.arguments; ++i) {
    Value grad = wanted[i] != Want::Nothing ? (*grads)[n++] : Value();
    if (!grad)
      continue;
    joint.result.dArguments.push_back(i);
    joint.result.accumulated.push_back(wanted[i] == Want::Sum);
    if (wanted[i] == Want::Sum)
      grad = buildAdd(b, grad.getLoc(),
                      body.addArgument(grad.getType(), grad.getLoc()), grad);
    results.push_back(grad);
  }
  joint.end()->setOperands(results);
  joint.function.setType(
      b.getFunctionType(body.getArgumentTypes(),
                        ValueRange(results).getTypes()));
  joint.function.removeArgAttrsAttr(), joint.function.removeResAttrsAttr();
  simplify(joint.function);
  classify(joint);
  return joint;
}

int64_t bytesOf(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getNumElements() *
         ((type.getElementType().getIntOrFloatBitWidth() + 7) / 8);
}

bool mayRunAgain(Operation *op) {
  auto cost = dyn_cast<CostInterface>(op);
  return cost && cost.cheapToRecompute();
}

/// Values of the forward that the backward reads: its ops' operands, and
/// gradients that are forward values themselves.
llvm::SetVector<Value> readLate(Joint &joint) {
  llvm::SetVector<Value> read;
  for (Operation &op : joint.body().without_terminator())
    if (op.getNumResults() && joint.isLate(op.getResult(0)))
      for (Value operand : op.getOperands())
        if (!joint.isLate(operand))
          read.insert(operand);
  for (Value result : joint.end().getOperands().drop_front(joint.outputs))
    if (!joint.isLate(result))
      read.insert(result);
  return read;
}

/// Nodes 2i, 2i + 1 of the graph: value i before and after it is kept.
void chooseKept(Joint &joint) {
  llvm::SetVector<Value> values;
  for (unsigned i = 0; i < joint.arguments; ++i)
    values.insert(joint.body().getArgument(i));
  for (Operation &op : joint.body().without_terminator())
    for (Value result : op.getResults())
      if (!joint.isLate(result))
        values.insert(result);
  DenseMap<Value, int> place;
  for (auto [i, value] : llvm::enumerate(values))
    place[value] = 2 * static_cast<int>(i);
  int source = 2 * static_cast<int>(values.size()), sink = source + 1;
  MinCut cut(sink + 1);
  SmallVector<Value> outputs(
      joint.end().getOperands().take_front(joint.outputs));
  for (Value value : values) {
    int in = place[value];
    Operation *op = value.getDefiningOp();
    bool free = !op || llvm::is_contained(outputs, value);
    // One byte more for each value: of equal cuts, the one of fewer values.
    cut.addEdge(in, in + 1, free ? 0 : bytesOf(value) + 1);
    if (!op || !mayRunAgain(op)) {
      cut.addEdge(source, in, MinCut::unlimited);
      continue;
    }
    if (op->getNumOperands() == 0) // a fill: made where it is read
      continue;
    for (Value operand : op->getOperands())
      cut.addEdge(place[operand] + 1, in, MinCut::unlimited);
  }
  for (Value value : readLate(joint))
    cut.addEdge(place[value] + 1, sink, MinCut::unlimited);
  cut.run(source, sink);
  // A free value has an edge of no capacity, so it is cut wherever reached.
  for (Value value : values)
    if (cut.onSourceSide(place[value]) && !cut.onSourceSide(place[value] + 1))
      joint.kept.insert(value);
}

/// Ops that `results` need, not looking behind `given`.
llvm::DenseSet<Operation *> needed(ValueRange results,
                                   const llvm::SetVector<Value> &given) {
  llvm::DenseSet<Operation *> ops;
  SmallVector<Value> work(results);
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (given.contains(value) || !op || !ops.insert(op).second)
      continue;
    llvm::append_range(work, op->getOperands());
  }
  return ops;
}

/// A private function named `name` from `given` to `results`, cloned.
func::FuncOp extract(Joint &joint, const Twine &name,
                     const llvm::SetVector<Value> &given,
                     ArrayRef<Value> results) {
  OpBuilder b(joint.function);
  SmallVector<Type> from, to;
  for (Value value : given)
    from.push_back(value.getType());
  for (Value value : results)
    to.push_back(value.getType());
  auto function = func::FuncOp::create(b, joint.function.getLoc(), name.str(),
                                       b.getFunctionType(from, to));
  function.setPrivate();
  Block *body = function.addEntryBlock();
  IRMapping mapping;
  for (auto [i, value] : llvm::enumerate(given))
    mapping.map(value, body->getArgument(i));
  b.setInsertionPointToEnd(body);
  llvm::DenseSet<Operation *> ops = needed(results, given);
  for (Operation &op : joint.body().without_terminator()) {
    if (!ops.contains(&op))
      continue;
    Operation *copy = b.clone(op, mapping);
    // A kept value stays the given one, even if its op runs for another.
    for (auto [old, made] : llvm::zip(op.getResults(), copy->getResults()))
      if (!given.contains(old))
        mapping.map(old, made);
      else
        mapping.map(old, body->getArgument(llvm::find(given, old) -
                                           given.begin()));
  }
  SmallVector<Value> mapped;
  for (Value value : results)
    mapped.push_back(mapping.lookup(value));
  func::ReturnOp::create(b, joint.end().getLoc(), mapped);
  eraseDead(*body);
  return function;
}

/// Drops kept values that the backward came not to read.
void dropUnread(Joint &joint) {
  auto ops = needed(joint.end().getOperands().drop_front(joint.outputs),
                    joint.kept);
  auto isRead = [&](Value value) {
    return llvm::any_of(value.getUsers(), [&](Operation *user) {
      return ops.contains(user);
    }) || llvm::is_contained(
        joint.end().getOperands().drop_front(joint.outputs), value);
  };
  llvm::SetVector<Value> read;
  for (Value value : joint.kept)
    if (isRead(value))
      read.insert(value);
  joint.kept = read;
}
} // namespace

FailureOr<BlockGradient> buildBlockGradient(func::FuncOp block,
                                            ArrayRef<Want> wanted) {
  FailureOr<Joint> joint = buildJoint(block, wanted);
  if (failed(joint))
    return failure();
  chooseKept(*joint);
  dropUnread(*joint);
  BlockGradient result = joint->result;
  SmallVector<Value> outputs(
      joint->end().getOperands().take_front(joint->outputs));
  SmallVector<Value> forwardResults = outputs;
  for (Value value : joint->kept) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      result.kept.push_back({true, argument.getArgNumber()});
      continue;
    }
    auto found = llvm::find(forwardResults, value);
    result.kept.push_back(
        {false, static_cast<unsigned>(found - forwardResults.begin())});
    if (found == forwardResults.end())
      forwardResults.push_back(value);
  }
  llvm::SetVector<Value> given, late = joint->kept;
  for (BlockArgument argument : joint->body().getArguments())
    (argument.getArgNumber() < joint->arguments ? given : late)
        .insert(argument);
  StringRef name = block.getSymName();
  result.forward = extract(*joint, name + ".forward", given, forwardResults);
  result.backward = extract(
      *joint, name + ".backward", late,
      SmallVector<Value>(
          joint->end().getOperands().drop_front(joint->outputs)));
  joint->function.erase();
  return result;
}

} // namespace ltc
