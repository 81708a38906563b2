// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/WideValue.h"
#include "ir/ops/Ops.h"
#include "mlir/IR/IRMapping.h"
#include <set>

using namespace mlir;

namespace ltc {
namespace {

using TokensOf = DenseMap<Value, Tokens>;

/// Whether `op` pairs a token with another: one factor with two tokens, or one
/// token on two factors.
bool mixesTokens(Operation *op, const TokensOf &tokens) {
  Factors all = cast<FactorsInterface>(op).factors();
  std::set<std::pair<int64_t, int64_t>> pairs; // factor, token
  for (auto [operand, dims] : llvm::zip(op->getOperands(), all.operands)) {
    auto known = tokens.find(operand);
    if (known == tokens.end())
      continue;
    for (auto [token, dim] : llvm::zip(known->second, dims))
      if (token >= 0 && dim.size() == 1)
        pairs.insert({dim[0], token});
  }
  std::set<int64_t> factors, seen;
  for (auto [factor, token] : pairs)
    if (!factors.insert(factor).second || !seen.insert(token).second)
      return true;
  return false;
}

/// Tokens of a factor, from the operands that are known.
DenseMap<int64_t, int64_t> tokensOfFactors(Operation *op, const Factors &all,
                                           const TokensOf &tokens) {
  DenseMap<int64_t, int64_t> result;
  for (auto [operand, dims] : llvm::zip(op->getOperands(), all.operands)) {
    auto known = tokens.find(operand);
    if (known == tokens.end())
      continue;
    for (auto [token, dim] : llvm::zip(known->second, dims))
      if (token >= 0 && dim.size() == 1)
        result[dim[0]] = token;
  }
  return result;
}

Tokens tokensOfDims(const std::vector<Factors::Dim> &dims,
                    const DenseMap<int64_t, int64_t> &byFactor) {
  Tokens tokens;
  for (const Factors::Dim &dim : dims) {
    auto found = dim.size() == 1 ? byFactor.find(dim[0]) : byFactor.end();
    tokens.push_back(found == byFactor.end() ? -1 : found->second);
  }
  return tokens;
}

/// Results' tokens from the operands'.
void propagate(Operation *op, TokensOf &tokens) {
  auto interface = dyn_cast<FactorsInterface>(op);
  if (!interface)
    return;
  Factors all = interface.factors();
  auto byFactor = tokensOfFactors(op, all, tokens);
  for (auto [result, dims] : llvm::zip(op->getResults(), all.results))
    tokens[result] = tokensOfDims(dims, byFactor);
}

bool hasAll(const Tokens &tokens, size_t count) {
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i)
    if (!llvm::is_contained(tokens, i))
      return false;
  return true;
}

/// One wide value and what is made from it.
struct Candidate {
  ContractOp wide;
  SmallVector<int64_t> sizes;
  llvm::SetVector<Operation *> ops; ///< in order; `wide` first
  TokensOf tokens;
  llvm::MapVector<Value, Tokens> inputs; ///< from outside
  SmallVector<Value> sums;               ///< returned by the loss
  SmallVector<unsigned> terms;           ///< as this result
};

bool isParameter(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getInput();
  return isBound(value, "parameter");
}

/// Labels of the result that come from the operand that is no parameter.
std::optional<SmallVector<int64_t>> tokenLabels(ContractOp op) {
  bool right = isParameter(op.getRhs());
  if (right == isParameter(op.getLhs()))
    return std::nullopt;
  ArrayRef<int64_t> own = right ? op.getRhsDims() : op.getLhsDims();
  SmallVector<int64_t> labels;
  for (int64_t label : op.getOutDims())
    if (!llvm::is_contained(own, label))
      labels.push_back(label);
  // A label of both operands that stays would be neither.
  for (int64_t label : own)
    if (llvm::is_contained(op.getOutDims(), label) &&
        llvm::is_contained(right ? op.getLhsDims() : op.getRhsDims(), label))
      return std::nullopt;
  if (labels.empty())
    return std::nullopt;
  return labels;
}

/// Why `op`, which reads a chunked value, cannot run chunk by chunk; or "".
StringRef refusal(Operation *op, Candidate &c) {
  size_t count = c.sizes.size();
  auto summed = [&](Value v) {
    auto known = c.tokens.find(v);
    return known != c.tokens.end() && !hasAll(known->second, count);
  };
  if (mixesTokens(op, c.tokens))
    return "an op that mixes tokens reads it";
  if (isa<MapOp, ContractOp>(op) && llvm::any_of(op->getOperands(), summed))
    return "a sum over tokens is read by arithmetic";
  if (isa<ContractOp, StopGradientOp>(op))
    return "";
  if (auto map = dyn_cast<MapOp>(op)) {
    Tokens &space = c.tokens[map.getResult(0)];
    for (IndexOp index : map.getBody().getOps<IndexOp>())
      if (space[index.getDim()] >= 0)
        return "the position of a token is read where it is used";
    return "";
  }
  if (auto reduce = dyn_cast<ReduceOp>(op)) {
    const Tokens &from = c.tokens[reduce.getInput()];
    bool overTokens = llvm::any_of(
        reduce.getDims(), [&](int64_t dim) { return from[dim] >= 0; });
    if (overTokens && reduce.getKind() != ReduceKind::Sum)
      return "an extremum over tokens is taken";
    return "";
  }
  return "an op that mixes tokens reads it";
}

/// Adds `op`'s operands from outside; false if one is used in two ways that
/// do not fit together.
void addInputs(Operation *op, Candidate &c) {
  auto interface = cast<FactorsInterface>(op);
  Factors all = interface.factors();
  auto byFactor = tokensOfFactors(op, all, c.tokens);
  for (auto [operand, dims] : llvm::zip(op->getOperands(), all.operands))
    if (!c.tokens.count(operand))
      c.inputs.insert({operand, tokensOfDims(dims, byFactor)});
}

/// Everything that `wide` reaches; or the reason against it.
StringRef collect(Candidate &c, ArrayRef<int64_t> labels) {
  Tokens own;
  for (auto [label, size] :
       llvm::zip(c.wide.getOutDims(), shapeOf(c.wide.getOutput()))) {
    auto at = llvm::find(labels, label);
    own.push_back(at == labels.end() ? -1 : at - labels.begin());
    if (at != labels.end())
      c.sizes.push_back(size);
  }
  c.tokens[c.wide.getOutput()] = own;
  c.ops.insert(c.wide);
  for (Operation *op = c.wide->getNextNode(); op; op = op->getNextNode()) {
    auto reads = [&](Value v) { return c.tokens.count(v) > 0; };
    if (llvm::none_of(op->getOperands(), reads))
      continue;
    if (isa<func::ReturnOp>(op)) {
      for (auto [i, value] : llvm::enumerate(op->getOperands()))
        if (reads(value)) {
          c.sums.push_back(value);
          c.terms.push_back(i);
        }
      continue;
    }
    if (!isa<FactorsInterface>(op))
      return "a call reads it";
    propagate(op, c.tokens);
    if (StringRef reason = refusal(op, c); !reason.empty())
      return reason;
    c.ops.insert(op);
  }
  for (Value sum : c.sums)
    if (!shapeOf(sum).empty())
      return "it reaches a result that is no sum over all tokens";
  return c.sums.empty() ? "nothing is made of it" : "";
}

/// Tokens of what the ops read from outside. The contraction comes last: its
/// own operands take the tokens of its result's labels.
void collectInputs(Candidate &c) {
  for (Operation *op : c.ops) {
    if (op != c.wide) {
      addInputs(op, c);
      continue;
    }
    DenseMap<int64_t, int64_t> byLabel;
    for (auto [label, token] : llvm::zip(c.wide.getOutDims(),
                                         c.tokens[c.wide.getOutput()]))
      byLabel[label] = token;
    auto add = [&](Value value, ArrayRef<int64_t> labels) {
      Tokens tokens;
      for (int64_t label : labels)
        tokens.push_back(byLabel.count(label) ? byLabel[label] : -1);
      c.inputs.insert({value, tokens});
    };
    add(c.wide.getLhs(), c.wide.getLhsDims());
    add(c.wide.getRhs(), c.wide.getRhsDims());
  }
}

Head outline(Candidate &c, func::FuncOp loss, StringRef name) {
  Head head;
  OpBuilder b(loss);
  SmallVector<Value> inputs;
  for (auto &[value, tokens] : c.inputs) {
    inputs.push_back(value);
    head.arguments.push_back(tokens);
  }
  head.sizes = c.sizes;
  head.bytes = 4 * ShapedType::getNumElements(shapeOf(c.wide.getOutput()));
  head.function = func::FuncOp::create(
      b, c.wide.getLoc(), name,
      b.getFunctionType(ValueRange(inputs).getTypes(),
                        ValueRange(c.sums).getTypes()));
  head.function.setPrivate();
  Block *body = head.function.addEntryBlock();
  IRMapping mapping;
  mapping.map(inputs, body->getArguments());
  b.setInsertionPointToEnd(body);
  for (Operation *op : c.ops)
    b.clone(*op, mapping);
  SmallVector<Value> sums;
  for (Value sum : c.sums)
    sums.push_back(mapping.lookup(sum));
  func::ReturnOp::create(b, c.wide.getLoc(), sums);
  head.terms = c.terms;
  Operation *end = loss.getBody().front().getTerminator();
  b.setInsertionPoint(end);
  auto call = func::CallOp::create(b, c.wide.getLoc(), head.function, inputs);
  for (auto [term, result] : llvm::zip(c.terms, call.getResults()))
    end->setOperand(term, result);
  for (Operation *op : llvm::reverse(c.ops))
    op->erase();
  return head;
}
} // namespace

bool isBound(Value value, StringRef kind) {
  auto argument = dyn_cast<BlockArgument>(value);
  auto function =
      argument
          ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp())
          : func::FuncOp();
  if (!function)
    return false;
  auto bind = function.getArgAttrOfType<DictionaryAttr>(
      argument.getArgNumber(), "ltc.bind");
  return bind && bind.getAs<StringAttr>("class") &&
         bind.getAs<StringAttr>("class").getValue() == kind;
}

SmallVector<int64_t> Head::chunkSizes(int64_t chunkBytes) const {
  SmallVector<int64_t> chunk(sizes);
  int64_t left = bytes;
  for (int64_t &size : chunk) {
    int64_t whole = size, each = left / whole;
    if (left <= chunkBytes)
      break;
    // The largest divisor that fits, so that all chunks are alike.
    int64_t most = std::max<int64_t>(1, chunkBytes / each);
    size = 1;
    for (int64_t n = 1; n <= std::min(most, whole); ++n)
      if (whole % n == 0)
        size = n;
    left = each * size;
  }
  return chunk;
}

SmallVector<Head> outlineWideValues(func::FuncOp loss, int64_t wideBytes) {
  SmallVector<Head> heads;
  SmallVector<ContractOp> contracts(loss.getBody().getOps<ContractOp>());
  llvm::DenseSet<Operation *> gone;
  for (ContractOp op : contracts) {
    if (gone.contains(op))
      continue;
    int64_t bytes = 4 * ShapedType::getNumElements(shapeOf(op.getOutput()));
    auto labels = tokenLabels(op);
    if (bytes < wideBytes || !labels)
      continue;
    Candidate c;
    c.wide = op;
    if (StringRef reason = collect(c, *labels); !reason.empty()) {
      auto size = bytes < (1 << 20) ? std::to_string(bytes) + " bytes"
                                    : std::to_string(bytes >> 20) + " MiB";
      op.emitRemark("a value of ")
          << size << " is stored whole: " << reason;
      continue;
    }
    collectInputs(c);
    gone.insert(c.ops.begin(), c.ops.end());
    std::string name = "head";
    for (unsigned n = 1; SymbolTable::lookupSymbolIn(loss->getParentOp(), name);
         ++n)
      name = "head." + std::to_string(n);
    heads.push_back(outline(c, loss, name));
  }
  return heads;
}

func::FuncOp cloneForChunk(const Head &head, StringRef name,
                           ArrayRef<int64_t> sizes) {
  func::FuncOp function = head.function;
  OpBuilder b(function);
  auto copy = cast<func::FuncOp>(b.clone(*function));
  copy.setSymName(name);
  Block &body = copy.getBody().front();
  auto resize = [&](Value value, const Tokens &tokens) {
    SmallVector<int64_t> shape(shapeOf(value));
    for (auto [size, token] : llvm::zip(shape, tokens))
      if (token >= 0)
        size = sizes[token];
    value.setType(RankedTensorType::get(shape, elementOf(value)));
  };
  TokensOf tokens;
  for (auto [argument, own] : llvm::zip(body.getArguments(), head.arguments))
    tokens[argument] = own;
  for (Operation &op : body.without_terminator())
    propagate(&op, tokens);
  for (auto &[value, own] : tokens)
    resize(value, own);
  copy.setType(b.getFunctionType(body.getArgumentTypes(),
                                 copy.getResultTypes()));
  return copy;
}

} // namespace ltc
