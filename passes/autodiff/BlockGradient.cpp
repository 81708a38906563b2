// SPDX-License-Identifier: Apache-2.0
// Writes value and gradients into one function (the joint), then cuts it in
// two. The cut: a value costs its bytes if it is kept; cheap ops may run again
// in the backward, others at a price; arguments and outputs exist anyway and
// cost nothing.
#include "passes/autodiff/BlockGradient.h"
#include "ir/ops/Build.h"
#include "mlir/IR/IRMapping.h"
#include "passes/autodiff/MinCut.h"
#include "passes/autodiff/Reverse.h"
#include "passes/recompute/Variants.h"
#include <cmath>

using namespace mlir;

namespace ltc {
namespace {

struct Joint {
  func::FuncOp function;
  unsigned arguments = 0, outputs = 0;
  BlockGradient result;
  llvm::DenseSet<Value> late; ///< depends on a gradient that comes in

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

/// In flops; a byte moved counts as many as a core computes meanwhile.
double costOf(Operation *op) {
  constexpr double kFlopsPerByte = 8;
  double bytes = 0;
  for (Value value : op->getOperands())
    bytes += double(bytesOf(value));
  for (Value value : op->getResults())
    bytes += double(bytesOf(value));
  return cast<CostInterface>(op).flops() + kFlopsPerByte * bytes;
}

/// What running `op` again in the backward costs the cut. `price` is that of a
/// flop in bytes; none: only what is cheap runs again.
int64_t priceOf(Operation *op, std::optional<double> price) {
  if (mayRunAgain(op))
    return 0;
  if (!price || !isa<CostInterface>(op))
    return MinCut::unlimited;
  return int64_t(std::ceil(std::min(costOf(op) * *price, 1e15)));
}

/// The values that the smallest cut keeps. Nodes 2i, 2i + 1 of the graph: value
/// i before and after it is kept.
llvm::SetVector<Value> chooseKept(Joint &joint, std::optional<double> price) {
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
    int64_t again = op ? priceOf(op, price) : MinCut::unlimited;
    if (again > 0)
      cut.addEdge(source, in, again);
    if (again == MinCut::unlimited)
      continue;
    for (Value operand : op->getOperands()) // none: a fill, made where read
      cut.addEdge(place[operand] + 1, in, MinCut::unlimited);
  }
  for (Value value : readLate(joint))
    cut.addEdge(place[value] + 1, sink, MinCut::unlimited);
  cut.run(source, sink);
  // A free value has an edge of no capacity, so it is cut wherever reached.
  llvm::SetVector<Value> kept;
  for (Value value : values)
    if (cut.onSourceSide(place[value]) && !cut.onSourceSide(place[value] + 1))
      kept.insert(value);
  return kept;
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

/// Without kept values that the backward came not to read.
llvm::SetVector<Value> withoutUnread(Joint &joint,
                                     const llvm::SetVector<Value> &kept) {
  auto grads = joint.end().getOperands().drop_front(joint.outputs);
  auto ops = needed(grads, kept);
  llvm::SetVector<Value> read;
  for (Value value : kept)
    if (llvm::is_contained(grads, value) ||
        llvm::any_of(value.getUsers(),
                     [&](Operation *user) { return ops.contains(user); }))
      read.insert(value);
  return read;
}

/// One way to split the joint.
struct Cut {
  llvm::SetVector<Value> kept;
  int64_t bytes = 0;           ///< of what is kept for the backward's sake
  double cost = 0, flops = 0;  ///< of what runs again and is not cheap
};

Cut cutAt(Joint &joint, std::optional<double> price) {
  Cut cut;
  cut.kept = withoutUnread(joint, chooseKept(joint, price));
  auto outputs = joint.end().getOperands().take_front(joint.outputs);
  for (Value value : cut.kept)
    if (value.getDefiningOp() && !llvm::is_contained(outputs, value))
      cut.bytes += bytesOf(value);
  auto ops =
      needed(joint.end().getOperands().drop_front(joint.outputs), cut.kept);
  for (Operation &op : joint.body().without_terminator())
    if (ops.contains(&op) && !joint.isLate(op.getResult(0)) &&
        !mayRunAgain(&op)) {
      cut.cost += costOf(&op);
      cut.flops += cast<CostInterface>(op).flops();
    }
  return cut;
}

/// What keeps everything but cheap values, then up to `levels` cuts that keep
/// ever less: flops get cheaper until they cost nothing.
std::vector<Cut> cutsOf(Joint &joint, unsigned levels) {
  std::vector<Cut> all = {cutAt(joint, std::nullopt)};
  for (int i = 0; levels > 0 && i <= 24; ++i) {
    Cut cut = cutAt(joint, i == 24 ? 0 : std::ldexp(1.0, -i));
    if (cut.bytes < all.back().bytes)
      all.push_back(std::move(cut));
  }
  std::vector<Cut> chosen = {all[0]};
  size_t count = std::min<size_t>(levels, all.size() - 1);
  for (size_t n = 1; n <= count; ++n) // the last always, others evenly
    chosen.push_back(all[n * (all.size() - 1) / count]);
  return chosen;
}

/// Numbers what a precision policy must round alike wherever it runs: a copy
/// in a backward may have lost the reader that made it round.
void numberContractions(Joint &joint) {
  Builder b(joint.function.getContext());
  int64_t n = 0;
  for (Operation &op : joint.body().without_terminator())
    if (isa<ContractOp>(op) && !joint.isLate(op.getResult(0)))
      op.setAttr(kContraction, b.getI64IntegerAttr(n++));
}

/// Forward and backward of `cut`, beside the block.
void split(Joint &joint, const Cut &cut, const Twine &name,
           BlockGradient &result) {
  SmallVector<Value> outputs(
      joint.end().getOperands().take_front(joint.outputs));
  SmallVector<Value> forwardResults = outputs;
  result.kept.clear();
  for (Value value : cut.kept) {
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
  llvm::SetVector<Value> given, late = cut.kept;
  for (BlockArgument argument : joint.body().getArguments())
    (argument.getArgNumber() < joint.arguments ? given : late)
        .insert(argument);
  result.forward = extract(joint, name + ".forward", given, forwardResults);
  result.backward = extract(
      joint, name + ".backward", late,
      SmallVector<Value>(
          joint.end().getOperands().drop_front(joint.outputs)));
}

Variant describe(const BlockGradient &gradient, const Cut &cut,
                 StringRef block) {
  Variant variant;
  variant.block = block.str();
  variant.outputs = gradient.outputs;
  for (BlockGradient::Kept kept : gradient.kept)
    variant.kept.push_back(kept.isArgument ? int64_t(kept.index)
                                           : -1 - int64_t(kept.index));
  variant.cost = cut.cost;
  variant.flops = cut.flops;
  return variant;
}
} // namespace

FailureOr<BlockGradient> buildBlockGradient(func::FuncOp block,
                                            ArrayRef<Want> wanted,
                                            unsigned levels) {
  FailureOr<Joint> joint = buildJoint(block, wanted);
  if (failed(joint))
    return failure();
  if (levels > 0)
    numberContractions(*joint);
  std::vector<Cut> cuts = cutsOf(*joint, levels);
  StringRef name = block.getSymName();
  BlockGradient result = joint->result;
  result.hasVariants = cuts.size() > 1;
  for (auto [level, cut] : llvm::enumerate(cuts)) {
    BlockGradient made = joint->result;
    split(*joint, cut, variantName(name, level), made);
    if (cuts.size() > 1) {
      Variant variant = describe(made, cut, name);
      variant.level = int64_t(level);
      variant.levels = int64_t(cuts.size() - 1);
      setVariant(made.forward, variant);
      setVariant(made.backward, variant);
    }
    if (level == 0) {
      result.forward = made.forward;
      result.backward = made.backward;
      result.kept = made.kept;
    }
  }
  joint->function.erase();
  return result;
}

} // namespace ltc
