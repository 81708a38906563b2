// SPDX-License-Identifier: Apache-2.0
// Writes @accumulate and @evaluate: the loss's ops with blocks' forwards, the
// chunks of wide values, the sweep back, and sums onto what came in.
#include "passes/autodiff/Accumulate.h"
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "passes/autodiff/Reverse.h"

using namespace mlir;

namespace ltc {
namespace {

struct Term {
  std::string name, weightKey; ///< no key: reported, not trained
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
    terms.push_back({text("name"), text("weight_key")});
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

/// @head's chunk functions. `gradients`: arguments whose gradient it makes.
struct ChunkFunction {
  func::FuncOp function;
  SmallVector<int64_t> sizes;
  SmallVector<unsigned> sliced; ///< arguments whose gradient is a chunk's
  SmallVector<unsigned> summed; ///< arguments whose gradient accumulates
};

/// Adds the sums so far as arguments: result j becomes argument + result j.
void accumulateResults(func::FuncOp function, unsigned first, unsigned count) {
  Block &body = function.getBody().front();
  Operation *end = body.getTerminator();
  OpBuilder b(end);
  for (unsigned j = first; j < first + count; ++j) {
    Value value = end->getOperand(j);
    Value before = body.addArgument(value.getType(), value.getLoc());
    end->setOperand(j, buildAdd(b, value.getLoc(), before, value));
  }
  function.setType(b.getFunctionType(body.getArgumentTypes(),
                                     end->getOperandTypes()));
}

/// Forward only: (arguments, sums) -> sums.
ChunkFunction buildValueChunk(const Head &head, int64_t chunkBytes) {
  ChunkFunction chunk;
  chunk.sizes = head.chunkSizes(chunkBytes);
  std::string name =
      (func::FuncOp(head.function).getSymName() + ".value").str();
  chunk.function = cloneForChunk(head, name, chunk.sizes);
  accumulateResults(chunk.function, 0, chunk.function.getNumResults());
  return chunk;
}

/// Value and gradients in one visit:
/// (arguments, seeds, sums, gradients so far) -> (chunk gradients, sums,
/// gradients). A seed is what flows into a sum, known beforehand.
FailureOr<ChunkFunction> buildGradientChunk(const Head &head,
                                            ArrayRef<bool> wanted,
                                            ArrayRef<bool> seeded,
                                            int64_t chunkBytes) {
  ChunkFunction chunk;
  chunk.sizes = head.chunkSizes(chunkBytes);
  std::string name =
      (func::FuncOp(head.function).getSymName() + ".chunk").str();
  chunk.function = cloneForChunk(head, name, chunk.sizes);
  Block &body = chunk.function.getBody().front();
  Operation *end = body.getTerminator();
  SmallVector<Value> sums(end->getOperands()), arguments;
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  for (auto [i, argument] : llvm::enumerate(body.getArguments()))
    if (wanted[i])
      arguments.push_back(argument);
  SmallVector<std::pair<Value, Value>> seeds;
  for (auto [j, sum] : llvm::enumerate(sums))
    if (seeded[j])
      seeds.push_back({sum, body.addArgument(sum.getType(), sum.getLoc())});
  OpBuilder b(end);
  auto noCalls = [](OpBuilder &, func::CallOp call, ArrayRef<Value>,
                    ArrayRef<bool>) -> FailureOr<SmallVector<Value>> {
    return call.emitError("a wide value is read by a call");
  };
  auto grads = buildGradients(b, ops, seeds, arguments, noCalls);
  if (failed(grads))
    return failure();
  SmallVector<Value> slices, totals;
  for (unsigned i = 0, n = 0; i < wanted.size(); ++i) {
    if (!wanted[i] || !(*grads)[n++])
      continue;
    bool isChunk = llvm::any_of(head.arguments[i],
                                [](int64_t token) { return token >= 0; });
    (isChunk ? chunk.sliced : chunk.summed).push_back(i);
    (isChunk ? slices : totals).push_back((*grads)[n - 1]);
  }
  SmallVector<Value> results = slices;
  llvm::append_range(results, sums);
  llvm::append_range(results, totals);
  end->setOperands(results);
  accumulateResults(chunk.function, slices.size(),
                    sums.size() + totals.size());
  simplify(chunk.function);
  return chunk;
}

/// The part of `value` that belongs to the chunk at `point`.
Value sliceAt(OpBuilder &b, Location loc, Value value, const Tokens &tokens,
              ArrayRef<int64_t> sizes, ArrayRef<int64_t> point) {
  for (auto [dim, token] : llvm::enumerate(tokens)) {
    if (token < 0)
      continue;
    SmallVector<int64_t> shape(shapeOf(value));
    if (shape[dim] == sizes[token])
      continue;
    shape[dim] = sizes[token];
    value = SliceOp::create(b, loc,
                            RankedTensorType::get(shape, elementOf(value)),
                            value, dim, point[token] * sizes[token]);
  }
  return value;
}

/// Chunks' gradients, in order of `grid`, as the whole value's: joined along
/// the last token dimension first.
Value joinChunks(OpBuilder &b, Location loc, SmallVector<Value> parts,
                 const Tokens &tokens, ArrayRef<int64_t> grid) {
  for (int64_t token = static_cast<int64_t>(grid.size()) - 1; token >= 0;
       --token) {
    if (grid[token] == 1)
      continue;
    auto dim = llvm::find(tokens, token) - tokens.begin();
    SmallVector<Value> joined;
    for (size_t i = 0; i < parts.size(); i += grid[token]) {
      auto some = ArrayRef<Value>(parts).slice(i, grid[token]);
      if (dim == static_cast<int64_t>(tokens.size())) {
        Value sum; // the value does not vary along this token dimension
        for (Value part : some)
          sum = buildAdd(b, loc, sum, part);
        joined.push_back(sum);
        continue;
      }
      SmallVector<int64_t> shape(shapeOf(some[0]));
      shape[dim] *= grid[token];
      joined.push_back(JoinOp::create(
          b, loc, RankedTensorType::get(shape, elementOf(some[0])), some,
          dim));
    }
    parts = joined;
  }
  return parts[0];
}

SmallVector<int64_t> gridOf(const Head &head, ArrayRef<int64_t> sizes) {
  SmallVector<int64_t> grid;
  for (auto [whole, size] : llvm::zip(head.sizes, sizes))
    grid.push_back(whole / size);
  return grid;
}

const Head *headOf(Operation &op, ArrayRef<Head> heads) {
  auto call = dyn_cast<func::CallOp>(op);
  for (const Head &head : heads)
    if (call && func::FuncOp(head.function).getSymName() == call.getCallee())
      return &head;
  return nullptr;
}

/// Calls `chunk` for every chunk of the tokens. `totals` run through: sums,
/// then gradients so far. Returns the chunks' gradients, one list a slice.
SmallVector<SmallVector<Value>> callChunks(Phase &p, const Head &head,
                                           const ChunkFunction &chunk,
                                           ValueRange inputs, ValueRange seeds,
                                           SmallVector<Value> &totals) {
  SmallVector<SmallVector<Value>> slices(chunk.sliced.size());
  Location loc = func::FuncOp(head.function).getLoc();
  forEachPoint(gridOf(head, chunk.sizes), [&](ArrayRef<int64_t> point) {
    SmallVector<Value> operands;
    for (auto [input, tokens] : llvm::zip(inputs, head.arguments))
      operands.push_back(
          sliceAt(p.b, loc, input, tokens, chunk.sizes, point));
    llvm::append_range(operands, seeds);
    llvm::append_range(operands, totals);
    auto call = func::CallOp::create(p.b, loc, chunk.function, operands);
    for (auto [n, parts] : llvm::enumerate(slices))
      parts.push_back(call.getResult(n));
    for (auto [n, total] : llvm::enumerate(totals))
      total = call.getResult(slices.size() + n);
  });
  return slices;
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
      if (has == bind("scalar", "key", key))
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
    auto slices = callChunks(*this, head, *chunk, inputs, given, running);
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
                       joinChunks(b, call.getLoc(), slices[n],
                                  head.arguments[i],
                                  gridOf(head, chunk->sizes))});
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
    callChunks(p, *head, buildValueChunk(*head, chunkBytes), inputs, {},
               running);
    for (auto [n, term] : llvm::enumerate(head->terms))
      p.sums[term] = running[n];
  }
  closeSums(p, heads);
  SmallVector<std::pair<Value, DictionaryAttr>> results;
  for (auto [sum, term] : llvm::zip(p.sums, p.terms))
    results.push_back({sum, p.bind("term", "name", term.name)});
  p.finish(results);
  return success();
}

} // namespace ltc
