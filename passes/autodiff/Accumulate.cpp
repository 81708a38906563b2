// SPDX-License-Identifier: Apache-2.0
// Writes @accumulate and @evaluate: the loss's ops with blocks' forwards, the
// chunks of wide values, the sweep back, and sums onto what came in.
#include "passes/autodiff/Accumulate.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "passes/autodiff/Chunks.h"
#include "passes/autodiff/Reverse.h"
#include "passes/recompute/Variants.h"

using namespace mlir;

namespace ltc {
namespace {

struct Term {
  std::string name, weightKey; ///< no key: reported, not trained
  bool trainingOnly = false;   ///< evaluation drops it
};

SmallVector<Term> termsOf(func::FuncOp loss) {
  SmallVector<Term> terms;
  auto list = loss->getParentOfType<ModuleOp>()->getAttrOfType<ArrayAttr>(
      "ltc.terms");
  for (unsigned i = 0; i < loss.getNumResults(); ++i) {
    auto entry = list && i < list.size() ? dyn_cast<DictionaryAttr>(list[i])
                                         : DictionaryAttr();
    auto text = [&](StringRef key) -> std::string {
      auto attr = entry ? entry.getAs<StringAttr>(key) : StringAttr();
      return attr ? attr.getValue().str() : "";
    };
    auto only = entry ? entry.getAs<BoolAttr>("training_only") : BoolAttr();
    terms.push_back(
        {text("name"), text("weight_key"), only && only.getValue()});
  }
  return terms;
}

/// The function that is being written.
struct Phase {
  func::FuncOp loss, function;
  OpBuilder b;
  IRMapping mapping;
  SmallVector<Term> terms;
  SmallVector<Value> sums; ///< running, one a term

  Phase(func::FuncOp loss, StringRef name) : loss(loss), b(loss) {
    terms = termsOf(loss);
    function = cast<func::FuncOp>(b.cloneWithoutRegions(*loss));
    function.setSymName(name);
    function.removeResAttrsAttr();
    Block *body = b.createBlock(&function.getBody());
    for (BlockArgument argument : loss.getArguments())
      mapping.map(argument,
                  body->addArgument(argument.getType(), argument.getLoc()));
    setTypes({});
  }

  Block &body() { return function.getBody().front(); }
  Location loc() { return loss.getLoc(); }

  void setTypes(ValueRange results) {
    function.setType(b.getFunctionType(body().getArgumentTypes(),
                                       results.getTypes()));
  }
  /// A dictionary {class = kind, key = value}.
  DictionaryAttr bind(StringRef kind, StringRef key, StringRef value) {
    return b.getDictionaryAttr(
        {b.getNamedAttr("class", b.getStringAttr(kind)),
         b.getNamedAttr(key, b.getStringAttr(value))});
  }
  Value addArgument(Type type, DictionaryAttr bind) {
    unsigned index = body().getNumArguments();
    (void)function.insertArgument(
        index, type, b.getDictionaryAttr(b.getNamedAttr("ltc.bind", bind)),
        loc());
    return body().getArgument(index);
  }
  void finish(ArrayRef<std::pair<Value, DictionaryAttr>> results) {
    SmallVector<Value> values;
    for (auto &[value, bind] : results)
      values.push_back(value);
    func::ReturnOp::create(b, loc(), values);
    setTypes(values);
    for (auto [i, result] : llvm::enumerate(results))
      function.setResultAttr(i, "ltc.bind", result.second);
    simplify(function);
  }
  Value mapped(Value value) { return mapping.lookup(value); }
};

const Head *headOf(Operation &op, ArrayRef<Head> heads) {
  auto call = dyn_cast<func::CallOp>(op);
  for (const Head &head : heads)
    if (call && func::FuncOp(head.function).getSymName() == call.getCallee())
      return &head;
  return nullptr;
}

void addSums(Phase &p) {
  for (auto [term, value] :
       llvm::zip(p.terms,
                 p.loss.getBody().front().getTerminator()->getOperands()))
    p.sums.push_back(
        p.addArgument(value.getType(), p.bind("term", "name", term.name)));
}

/// What the loss returned is added to the sums, but for heads' terms, whose
/// sums ran through the chunks.
void closeSums(Phase &p, ArrayRef<Head> heads) {
  Operation *end = p.loss.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(end->getOperands()))
    if (!value.getDefiningOp() || !headOf(*value.getDefiningOp(), heads))
      p.sums[i] = buildAdd(p.b, value.getLoc(), p.sums[i], p.mapped(value));
}

/// @accumulate, on top of what every phase has.
struct Accumulate : Phase {
  const BlockGradients &blocks;
  ArrayRef<Head> heads;
  int64_t chunkBytes;
  SmallVector<BlockArgument> parameters; ///< of the loss
  DenseMap<Value, Value> totals; ///< gradient so far, by loss's parameter
  SmallVector<Value> dSums;      ///< seed of each term; null: not trained
  DenseMap<Operation *, const BlockGradient *> forwards;
  int64_t numbered = 0; ///< calls of blocks with variants
  SmallVector<std::pair<Value, Value>> seeds;

  Accumulate(func::FuncOp loss, const BlockGradients &blocks,
             ArrayRef<Head> heads, int64_t chunkBytes)
      : Phase(loss, "accumulate"), blocks(blocks), heads(heads),
        chunkBytes(chunkBytes) {}

  StringAttr nameOf(BlockArgument parameter) {
    return loss.getArgAttrOfType<DictionaryAttr>(parameter.getArgNumber(),
                                                 "ltc.bind")
        .getAs<StringAttr>("name");
  }

  void addGradients() {
    for (BlockArgument argument : loss.getArguments()) {
      if (!isBound(argument, "parameter") || !isFloat(argument))
        continue;
      parameters.push_back(argument);
      totals[argument] = addArgument(
          argument.getType(),
          bind("gradient", "name", nameOf(argument).getValue()));
    }
  }

  /// The argument bound to scalar `key`; one is added if the loss has none.
  Value scalar(StringRef key) {
    for (unsigned i = 0; i < body().getNumArguments(); ++i) {
      auto has = function.getArgAttrOfType<DictionaryAttr>(i, "ltc.bind");
      if (has && has.get("class") == b.getStringAttr("scalar") &&
          has.get("key") == b.getStringAttr(key))
        return body().getArgument(i);
    }
    return addArgument(RankedTensorType::get({}, b.getF64Type()),
                       bind("scalar", "key", key));
  }

  /// seed = weight * inverse count, in float64, rounded once.
  void addSeeds() {
    SmallVector<std::pair<Value, Value>> factors;
    auto f64 = RankedTensorType::get({}, b.getF64Type());
    for (Term &term : terms)
      factors.push_back(
          {term.weightKey.empty()
               ? Value()
               : addArgument(f64, bind("inverse_count", "name", term.name)),
           Value()});
    for (auto [term, pair] : llvm::zip(terms, factors))
      if (pair.first)
        pair.second = scalar(term.weightKey);
    AffineMap point = b.getMultiDimIdentityMap(0);
    for (auto [sum, pair] : llvm::zip(sums, factors)) {
      if (!pair.first) {
        dSums.push_back({});
        continue;
      }
      Type element = elementOf(sum);
      auto map = buildMap(
          b, loc(), sum.getType(), {pair.first, pair.second}, {point, point},
          [&](OpBuilder &b, ValueRange x) {
            Value y = arith::MulFOp::create(b, loc(), x[0], x[1]);
            if (element != x[0].getType())
              y = arith::TruncFOp::create(b, loc(), element, y);
            return SmallVector<Value>{y};
          });
      dSums.push_back(map.getResult(0));
    }
  }

  void emitForward(func::CallOp call, const BlockGradient &block) {
    SmallVector<Value> operands;
    for (Value operand : call.getOperands())
      operands.push_back(mapped(operand));
    auto forward =
        func::CallOp::create(b, call.getLoc(), block.forward, operands);
    forwards[forward] = &block;
    if (block.hasVariants)
      forward->setAttr(kCall, b.getI64IntegerAttr(numbered++));
    for (auto [n, result] : llvm::enumerate(call.getResults()))
      mapping.map(result, forward.getResult(n));
  }

  LogicalResult emitHead(func::CallOp call, const Head &head) {
    llvm::DenseSet<Value> active = activeInLoss();
    SmallVector<bool> wanted, seeded;
    SmallVector<Value> inputs, running, given;
    for (Value operand : call.getOperands()) {
      wanted.push_back(active.contains(operand));
      inputs.push_back(mapped(operand));
    }
    for (unsigned term : head.terms) {
      seeded.push_back(bool(dSums[term]));
      running.push_back(sums[term]);
      if (dSums[term])
        given.push_back(dSums[term]);
    }
    auto chunk = buildGradientChunk(head, wanted, seeded, chunkBytes);
    if (failed(chunk))
      return failure();
    for (unsigned i : chunk->summed)
      running.push_back(startOf(call.getOperand(i)));
    auto slices = callChunks(b, head, *chunk, inputs, given, running);
    for (auto [n, term] : llvm::enumerate(head.terms))
      sums[term] = running[n];
    for (auto [n, i] : llvm::enumerate(chunk->summed)) {
      Value total = running[head.terms.size() + n], of = call.getOperand(i);
      if (totals.count(of))
        totals[of] = total;
      else
        seeds.push_back({mapped(of), total});
    }
    for (auto [n, i] : llvm::enumerate(chunk->sliced))
      seeds.push_back({inputs[i],
                       joinChunks(b, head, *chunk, i, slices[n])});
    return success();
  }

  /// Where a gradient that accumulates over chunks begins.
  Value startOf(Value operand) {
    if (Value total = totals.lookup(operand))
      return total;
    return buildFill(b, loc(), cast<RankedTensorType>(operand.getType()), 0);
  }

  llvm::DenseSet<Value> activeInLoss() {
    SmallVector<Operation *> ops;
    for (Operation &op : loss.getBody().front())
      ops.push_back(&op);
    return dependents(ops, SmallVector<Value>(parameters.begin(),
                                              parameters.end()));
  }

  LogicalResult emitValue() {
    for (Operation &op : loss.getBody().front().without_terminator()) {
      auto call = dyn_cast<func::CallOp>(op);
      auto block = call ? blocks.find(call.getCallee().str()) : blocks.end();
      if (const Head *head = headOf(op, heads)) {
        if (failed(emitHead(call, *head)))
          return failure();
      } else if (block != blocks.end()) {
        emitForward(call, block->second);
      } else {
        b.clone(op, mapping);
      }
    }
    Operation *end = loss.getBody().front().getTerminator();
    for (auto [i, value] : llvm::enumerate(end->getOperands()))
      if (dSums[i] && mapping.contains(value))
        seeds.push_back({mapped(value), dSums[i]});
    return success();
  }

  /// The rule of a forward's call: the backward's call.
  FailureOr<SmallVector<Value>> callBackward(func::CallOp call,
                                             ArrayRef<Value> dResults) {
    const BlockGradient &block = *forwards.at(call);
    SmallVector<Value> operands, grads(call.getNumOperands());
    for (BlockGradient::Kept kept : block.kept)
      operands.push_back(kept.isArgument ? call.getOperand(kept.index)
                                         : call.getResult(kept.index));
    for (unsigned j : block.dOutputs) {
      auto type = cast<RankedTensorType>(call.getResult(j).getType());
      operands.push_back(dResults[j]
                             ? dResults[j]
                             : buildFill(b, call.getLoc(), type, 0));
    }
    // A sum goes on from this parameter's gradient so far.
    auto total = [&](unsigned i) -> Value & {
      auto argument = cast<BlockArgument>(call.getOperand(i));
      return totals[loss.getArgument(argument.getArgNumber())];
    };
    for (auto [i, sum] : llvm::zip(block.dArguments, block.accumulated))
      if (sum)
        operands.push_back(total(i));
    auto backward =
        func::CallOp::create(b, call.getLoc(), block.backward, operands);
    if (block.hasVariants)
      backward->setAttr(kCall, call->getAttr(kCall));
    for (auto [n, i] : llvm::enumerate(block.dArguments))
      (block.accumulated[n] ? total(i) : grads[i]) = backward.getResult(n);
    return grads;
  }

  LogicalResult emitGradients() {
    SmallVector<Operation *> ops;
    for (Operation &op : body())
      ops.push_back(&op);
    SmallVector<Value> wanted;
    for (Value parameter : parameters)
      wanted.push_back(mapped(parameter));
    auto grads = buildGradients(
        b, ops, seeds, wanted,
        [&](OpBuilder &, func::CallOp call, ArrayRef<Value> dResults,
            ArrayRef<bool>) { return callBackward(call, dResults); });
    if (failed(grads))
      return failure();
    for (auto [parameter, grad] : llvm::zip(parameters, *grads))
      totals[parameter] =
          buildAdd(b, parameter.getLoc(), totals[parameter], grad);
    return success();
  }

  void close() {
    closeSums(*this, heads);
    SmallVector<std::pair<Value, DictionaryAttr>> results;
    for (auto [sum, term] : llvm::zip(sums, terms))
      results.push_back({sum, bind("term", "name", term.name)});
    SmallVector<unsigned> idle; // parameters that no term trains
    for (BlockArgument parameter : parameters) {
      Value total = totals[parameter];
      if (auto argument = dyn_cast<BlockArgument>(total)) {
        idle.push_back(argument.getArgNumber());
        continue;
      }
      results.push_back(
          {total, bind("gradient", "name", nameOf(parameter).getValue())});
    }
    for (unsigned index : llvm::reverse(idle))
      (void)function.eraseArgument(index);
    finish(results);
  }
};
} // namespace

LogicalResult buildAccumulate(func::FuncOp loss, const BlockGradients &blocks,
                              ArrayRef<Head> heads, int64_t chunkBytes) {
  Accumulate p(loss, blocks, heads, chunkBytes);
  p.addGradients();
  addSums(p);
  p.addSeeds();
  if (failed(p.emitValue()) || failed(p.emitGradients()))
    return failure();
  p.close();
  return success();
}

LogicalResult buildEvaluate(func::FuncOp loss, ArrayRef<Head> heads,
                            int64_t chunkBytes) {
  Phase p(loss, "evaluate");
  addSums(p);
  SmallVector<unsigned> dropped;
  for (auto [i, term] : llvm::enumerate(p.terms))
    if (term.trainingOnly)
      dropped.push_back(cast<BlockArgument>(p.sums[i]).getArgNumber());
  for (Operation &op : loss.getBody().front().without_terminator()) {
    const Head *head = headOf(op, heads);
    if (!head) {
      p.b.clone(op, p.mapping);
      continue;
    }
    SmallVector<Value> inputs, running;
    for (Value operand : op.getOperands())
      inputs.push_back(p.mapped(operand));
    for (unsigned term : head->terms)
      running.push_back(p.sums[term]);
    callChunks(p.b, *head, buildValueChunk(*head, chunkBytes), inputs, {},
               running);
    for (auto [n, term] : llvm::enumerate(head->terms))
      p.sums[term] = running[n];
  }
  closeSums(p, heads);
  SmallVector<std::pair<Value, DictionaryAttr>> results;
  for (auto [sum, term] : llvm::zip(p.sums, p.terms))
    if (!term.trainingOnly)
      results.push_back({sum, p.bind("term", "name", term.name)});
  p.finish(results);
  for (unsigned index : llvm::reverse(dropped))
    if (p.body().getArgument(index).use_empty())
      (void)p.function.eraseArgument(index);
  return success();
}

} // namespace ltc
