// SPDX-License-Identifier: Apache-2.0
// Calls: built-in operations, functions (inlined), blocks (func.call).
#include "frontend/graph/Tracer.h"
#include "llvm/Support/SaveAndRestore.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

Value Tracer::evaluateCall(const Expr &expr, Scope &scope) {
  for (const Argument &argument : expr.arguments)
    if (!argument.over.empty() && expr.name != "dispatch")
      refuse(argument.value->place, "'over' stands in dispatch(x, choice over "
                                    "experts) and table[ids over vocab]");
  if (scope.function && scope.function->kind == Function::Loss)
    for (const ParameterDecl &decl : scope.function->parameters)
      if (decl.name == expr.name && decl.type == "model") {
        llvm::SaveAndRestore unmarked(emit.float32, false);
        return applyModel(*model);
      }
  for (Scope *s = &scope; s; s = s->parent)
    if (auto block = s->blocks.find(expr.name); block != s->blocks.end()) {
      if (block->second->kind == Function::Block)
        return callBlock(*block->second, expr, *s);
      return callFunction(*block->second, expr, scope);
    }
  if (auto found = library.functions.find(expr.name);
      found != library.functions.end())
    return callFunction(*found->second, expr, scope);
  bool known = true;
  Value value = builtin(expr, scope, known);
  if (known)
    return value;
  std::vector<std::string> names = {"exp",  "log", "sqrt",  "tanh",      "sin",
                                    "cos",  "abs", "floor", "erf",       "where",
                                    "f32",  "max", "min",   "attention", "split",
                                    "join", "stop_gradient", "top_k",
                                    "dispatch", "combine", "cast", "shift",
                                    "cumsum", "scan"};
  for (auto &[name, unused] : library.functions)
    names.push_back(name);
  std::string near = nearestName(expr.name, names);
  refuse(expr.place, "no function is named '" + expr.name + "'" +
                         (near.empty() ? "" : "; did you mean '" + near + "'?"));
}

Value Tracer::builtin(const Expr &expr, Scope &scope, bool &known) {
  static const std::set<std::string> unary = {
      "exp", "log", "sqrt", "tanh", "sin", "cos", "abs", "floor", "erf"};
  const std::string &name = expr.name;
  if (unary.count(name) || name == "where" || name == "max" || name == "min" ||
      name == "f32" || name == "stop_gradient")
    return elementwise(expr, scope);
  if (name == "cast")
    return exactCast(expr, scope);
  if (name == "split")
    return split(expr, scope);
  if (name == "attention")
    return attention(expr, scope);
  if (name == "top_k")
    return topK(expr, scope);
  if (name == "dispatch")
    return dispatch(expr, scope);
  if (name == "combine")
    return combine(expr, scope);
  if (name == "shift")
    return shift(expr, scope);
  if (name == "cumsum" || name == "scan")
    return scan(expr, scope);
  return dimBuiltin(expr, scope, known);
}

/// cast(x, bf16): x rounded to that format, in every policy.
Value Tracer::exactCast(const Expr &expr, Scope &scope) {
  bool fits = expr.arguments.size() == 2 &&
              expr.arguments[0].keyword.empty() &&
              expr.arguments[1].value->kind == Expr::Name;
  if (!fits)
    refuse(expr.place, "write cast(x, bf16) or cast(x, f32)");
  const Expr &to = *expr.arguments[1].value;
  if (to.name != "bf16" && to.name != "f32")
    refuse(to.place, "a cast is to bf16 or f32, not '" + to.name + "'");
  NodePtr x = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  if (x->type == Type::Bool || to.name == "f32" || x->type != Type::F32)
    x = emit.cast(x, Type::F32, expr.place);
  return Value{to.name == "f32" ? x : emit.op("bf16", {x}, expr.place)};
}

Value Tracer::elementwise(const Expr &expr, Scope &scope) {
  std::vector<Value> values;
  // f32(..) reaches the operators written in it, not into names and calls.
  llvm::SaveAndRestore marked(emit.float32,
                              emit.float32 || expr.name == "f32");
  for (const Argument &argument : expr.arguments) {
    if (!argument.keyword.empty())
      refuse(expr.place, "'" + expr.name + "' takes no argument named " +
                             argument.keyword);
    values.push_back(evaluate(*argument.value, scope));
  }
  const std::string &name = expr.name;
  size_t want = name == "where" ? 3 : name == "max" || name == "min" ? 2 : 1;
  if (values.size() != want)
    refuse(expr.place, "'" + name + "' takes " + std::to_string(want) +
                           " argument(s), found " +
                           std::to_string(values.size()));
  if (want == 1 && values[0].number() && name != "f32" &&
      name != "stop_gradient") {
    double x = std::get<double>(values[0].is);
    static const std::map<std::string, double (*)(double)> table = {
        {"exp", std::exp},   {"log", std::log},     {"sqrt", std::sqrt},
        {"tanh", std::tanh}, {"sin", std::sin},     {"cos", std::cos},
        {"abs", std::fabs},  {"floor", std::floor}, {"erf", std::erf}};
    return Value{table.at(name)(x)};
  }
  if (want == 2 && values[0].number() && values[1].number()) {
    double a = std::get<double>(values[0].is), b = std::get<double>(values[1].is);
    return Value{name == "max" ? std::max(a, b) : std::min(a, b)};
  }
  if (name == "where" && !values[0].node())
    return values[0].truth() && std::get<bool>(values[0].is) ? values[1]
                                                             : values[2];
  std::vector<NodePtr> nodes;
  if (name == "where")
    choice(values[0], expr.place);
  for (const Value &value : values)
    nodes.push_back(node(value, expr.place));
  if (name == "f32")
    return Value{emit.cast(nodes[0], Type::F32, expr.place)};
  if (name == "stop_gradient") {
    NodePtr x = nodes[0];
    settle(x, false);
    auto op = StopGradientOp::create(emit.builder, emit.at(expr.place),
                                     x->value.getType(), x->value);
    return Value{emit.leaf(op.getOutput(), x->dims, x->type, expr.place)};
  }
  return Value{emit.op(name, nodes, expr.place)};
}

/// join[k](lo, hi), which takes any number of values.
Value Tracer::dimBuiltin(const Expr &expr, Scope &scope, bool &known) {
  if (expr.name == "join" && expr.brackets.size() == 1) {
    Dim *whole = needDim(*expr.brackets[0].value, scope);
    std::vector<NodePtr> parts;
    Dims pieces;
    int64_t total = 0;
    for (const Argument &argument : expr.arguments)
      parts.push_back(node(evaluate(*argument.value, scope), expr.place));
    if (parts.empty())
      refuse(expr.place, "join needs values");
    for (size_t n = 0; n < parts.size(); ++n) {
      // A part's own dimension: the one that the other parts may lack.
      Dim *own = nullptr;
      const NodePtr &other = parts[n ? 0 : parts.size() - 1];
      for (Dim *dim : parts[n]->dims)
        if (!contains(other->dims, dim))
          own = dim;
      if (!own && !parts[n]->dims.empty())
        own = n ? pieces[0] : parts[n]->dims.back();
      if (!own)
        refuse(expr.place, "join needs values with a dimension to join along");
      pieces.push_back(own);
      total += own->size;
      settle(parts[n], false);
    }
    if (total != whole->size)
      refuse(expr.place, "the parts of join[" + whole->name + "] have " +
                             std::to_string(total) + " elements, " +
                             whole->name + " has " +
                             std::to_string(whole->size));
    return Value{emit.join(parts, pieces, whole, expr.place)};
  }
  known = false;
  return {};
}

/// lo, hi = split[k](x, r, r): pieces by the names of their dimensions.
Value Tracer::split(const Expr &expr, Scope &scope) {
  if (expr.brackets.size() != 1 || expr.arguments.size() < 3)
    refuse(expr.place, "split is written split[k](x, r, s): a value and the "
                       "names of the pieces' dimensions");
  Dim *along = needDim(*expr.brackets[0].value, scope);
  NodePtr x = node(evaluate(*expr.arguments[0].value, scope), expr.place);
  if (!contains(x->dims, along))
    refuse(expr.place, "there is no dimension " + along->name + " in " +
                           show(x));
  settle(x, false);
  int64_t left = along->size, unnamed = 0;
  std::vector<std::pair<std::string, Dim *>> pieceDims;
  for (size_t n = 1; n < expr.arguments.size(); ++n) {
    const Expr &name = *expr.arguments[n].value;
    if (name.kind != Expr::Name)
      refuse(name.place, "expected the name of a piece's dimension");
    // Known: of this text or a setting. Other texts' pieces do not count.
    Dim *dim = nullptr;
    for (Scope *s = &scope; s && !dim; s = s->parent)
      if (auto found = s->dims.find(name.name); found != s->dims.end())
        dim = found->second;
    if (settings.count(name.name) && !dim)
      dim = lookupDim(name.name, scope);
    dim ? left -= dim->size : ++unnamed;
    pieceDims.push_back({name.name, dim});
  }
  if (left < 0 || (unnamed && left % unnamed) || (!unnamed && left))
    refuse(expr.place, "the pieces do not add up to " + along->name + " = " +
                           std::to_string(along->size));
  std::vector<Value> pieces;
  int64_t offset = 0;
  for (auto &[name, piece] : pieceDims) {
    // A piece's name belongs to the function that splits.
    if (!piece)
      piece = scope.dims[name] =
          dimNamed(name + "/" + along->name, left / unnamed);
    pieces.push_back(Value{emit.slice(x, along, offset, piece, expr.place)});
    offset += piece->size;
  }
  return Value{pieces};
}

/// Binds a signature's dimension names to the argument's dimensions.
void Tracer::bindArgument(const ParameterDecl &decl, Value &value,
                          Scope &callee, const Place &place) {
  if (!decl.dims) {
    if (value.node()) {
      NodePtr x = std::get<NodePtr>(value.is);
      bool lazy = x->dims.empty() || x->type == Type::Bool;
      if (!lazy) {
        settle(x, false);
        value = Value{x};
      }
    }
    callee.names[decl.name] = value;
    return;
  }
  for (const DimSpec &spec : *decl.dims)
    if (spec.kind == DimSpec::Ragged)
      (void)inner(spec, callee, false); // refuses
  NodePtr x = node(value, place);
  settle(x, false);
  Dims open; // dimensions that no earlier name claims
  bool rest = false;
  size_t fresh = 0;
  for (const DimSpec &spec : *decl.dims) {
    rest |= spec.kind == DimSpec::Rest;
    fresh += spec.kind == DimSpec::Name && !callee.dims.count(spec.name);
  }
  for (Dim *dim : x->dims) {
    bool claimed = false;
    for (const DimSpec &spec : *decl.dims)
      if (auto found = callee.dims.find(spec.name); found != callee.dims.end())
        claimed |= found->second == dim;
    if (!claimed)
      open.push_back(dim);
  }
  for (const DimSpec &spec : *decl.dims)
    if (auto found = callee.dims.find(spec.name);
        spec.kind == DimSpec::Name && found != callee.dims.end() &&
        !contains(x->dims, found->second))
      refuse(place, "'" + decl.name + "' is to have dimension " +
                        found->second->name + " = " +
                        std::to_string(found->second->size) + ", but is " +
                        show(x));
  if (open.size() < fresh || (!rest && open.size() != fresh))
    refuse(place, "'" + decl.name + "' takes " +
                      std::to_string(decl.dims->size()) +
                      " dimension(s), but is " +
                      show(x));
  size_t next = open.size() - fresh;
  for (const DimSpec &spec : *decl.dims)
    if (spec.kind == DimSpec::Rest && !spec.name.empty())
      callee.rests[spec.name] = Dims(open.begin(), open.begin() + next);
  for (const DimSpec &spec : *decl.dims)
    if (spec.kind == DimSpec::Name && !callee.dims.count(spec.name))
      callee.dims[spec.name] = open[next++];
  callee.names[decl.name] = Value{x};
}

Value Tracer::callFunction(const Function &function, const Expr &call,
                           Scope &scope) {
  if (++depth > 64)
    refuse(call.place, "functions call each other without end: '" +
                           function.name + "'");
  Scope callee;
  callee.function = &function;
  size_t dims = 0;
  for (const BracketItem &item : call.brackets) {
    if (!item.value || dims >= function.dimArguments.size())
      refuse(item.place, "'" + function.name + "' takes " +
                             std::to_string(function.dimArguments.size()) +
                             " dimension(s) in brackets");
    callee.dims[function.dimArguments[dims++]] = needDim(*item.value, scope);
  }
  if (dims != function.dimArguments.size())
    refuse(call.place, "'" + function.name + "' needs " +
                           std::to_string(function.dimArguments.size()) +
                           " dimension(s) in brackets: " + function.name + "[" +
                           function.dimArguments[dims] + "](...)");
  std::map<std::string, const Argument *> given;
  size_t position = 0;
  for (const Argument &argument : call.arguments) {
    std::string name = argument.keyword;
    if (name.empty()) {
      if (position >= function.parameters.size())
        refuse(argument.value->place,
               "'" + function.name + "' takes " +
                   std::to_string(function.parameters.size()) +
                   " argument(s)");
      name = function.parameters[position++].name;
    }
    bool takes = false;
    std::vector<std::string> names;
    for (const ParameterDecl &decl : function.parameters) {
      takes |= decl.name == name;
      names.push_back(decl.name);
    }
    std::string near = nearestName(name, names);
    if (!takes)
      refuse(argument.value->place,
             "'" + function.name + "' has no argument '" + name + "'" +
                 (near.empty() ? "" : "; did you mean '" + near + "'?"));
    if (!given.emplace(name, &argument).second)
      refuse(argument.value->place, "argument '" + name + "' is given twice");
  }
  for (const ParameterDecl &decl : function.parameters) {
    auto found = given.find(decl.name);
    if (found == given.end() && !decl.initial)
      refuse(call.place,
             "'" + function.name + "' needs its argument '" + decl.name + "'");
    Value value = found == given.end()
                      ? evaluate(*decl.initial, callee)
                      : evaluate(*found->second->value, scope);
    bindArgument(decl, value, callee,
                 found == given.end() ? decl.place
                                      : found->second->value->place);
  }
  llvm::SaveAndRestore unmarked(emit.float32, false);
  auto result = run(function.body, callee);
  --depth;
  if (!result)
    refuse(function.place, "'" + function.name + "' returns nothing");
  return *result;
}

/// Functions of one block from which a warning is due.
constexpr int kManyVariants = 9;

Tracer::BlockTrace &Tracer::traceBlock(const Function &block,
                                       const std::string &key,
                                       const std::vector<Value> &arguments,
                                       Scope &outer, const Place &place) {
  BlockTrace &trace = blockTraces[key];
  int variants = 0;
  for (auto &[known, other] : blockTraces)
    variants += StringRef(known).starts_with(block.name + "(");
  if (variants == kManyVariants)
    mlir::emitWarning(emit.at(place),
                      "block '" + block.name + "' is compiled " +
                          std::to_string(variants) +
                          " times or more, once per tuple of its static "
                          "arguments; an argument that is not static costs "
                          "nothing");
  trace.symbol = symbolPrefix + block.name + (variants > 1 ? "." + std::to_string(variants - 1)
                                            : "");
  OpBuilder::InsertionGuard guard(emit.builder);
  llvm::SaveAndRestore unmarked(emit.float32, false);
  llvm::SaveAndRestore own(uses, 0);
  FuncTrace callee(emit, module, trace.symbol, block.place, true);
  FuncTrace *caller = current;
  llvm::SaveAndRestore around(aroundBlock, const_cast<const Scope *>(&outer));
  auto outerImports = std::move(imported);
  imported.clear();
  current = &callee;
  tracing = &trace;
  Scope scope;
  scope.function = &block;
  scope.parent = &outer;
  scope.terms = &trace.terms;
  for (auto [decl, value] : llvm::zip(block.parameters, arguments)) {
    Value inside = value;
    if (value.node()) {
      NodePtr x = std::get<NodePtr>(value.is);
      NodePtr here = current->argument(nullptr, x->type, x->dims, decl.place);
      here->name = decl.name;
      inside = Value{here};
    }
    bindArgument(decl, inside, scope, place);
  }
  auto result = run(block.body, scope);
  if (!result)
    refuse(block.place, "the block '" + block.name + "' returns nothing");
  checkFiles(scope);
  std::vector<Value> values =
      std::holds_alternative<std::vector<Value>>(result->is)
          ? std::get<std::vector<Value>>(result->is)
          : std::vector<Value>{*result};
  std::vector<NodePtr> nodes;
  for (const Value &value : values) {
    NodePtr out = node(value, block.place);
    settle(out, false);
    staysInBlock(out->dims, block.place);
    nodes.push_back(out);
    trace.results.push_back(out->dims);
    trace.types.push_back(out->type);
  }
  for (Term &term : trace.terms)
    nodes.push_back(term.sum);
  callee.finish(nodes, {});
  current = caller;
  tracing = nullptr;
  imported = std::move(outerImports);
  return trace;
}

/// A static argument is known when compiling; any other is a value, so that a
/// number that varies by layer makes no further function.
Value Tracer::blockArgument(Value value, const ParameterDecl &decl,
                            const Place &place) {
  if (decl.isStatic) {
    if (value.node())
      refuse(place, "'" + decl.name + "' is static: it must be known when "
                                      "compiling");
    return value;
  }
  if (value.node())
    return value;
  if (!value.number())
    refuse(place, "a block's argument is a value or a number; for a condition, "
                  "a word or none declare it static: static " +
                      decl.name);
  NodePtr number = emit.constant(std::get<double>(value.is), place);
  return Value{emit.materialise(emit.cast(number, Type::F32, place))};
}

Value Tracer::callBlock(const Function &block, const Expr &call, Scope &scope) {
  if (tracing)
    refuse(call.place, "a block calls no other block");
  if (call.arguments.size() != block.parameters.size())
    refuse(call.place, "the block '" + block.name + "' takes " +
                           std::to_string(block.parameters.size()) +
                           " argument(s), found " +
                           std::to_string(call.arguments.size()));
  // One function per tuple of shapes and known arguments.
  std::string key = block.name + "(";
  std::vector<Value> arguments;
  for (auto [argument, decl] : llvm::zip(call.arguments, block.parameters)) {
    Value value = blockArgument(evaluate(*argument.value, scope), decl,
                                argument.value->place);
    if (value.node()) {
      NodePtr x = std::get<NodePtr>(value.is);
      settle(x, false);
      staysInBlock(x->dims, call.place);
      value = Value{x};
      key += show("", x->dims);
    } else {
      key += knownText(value);
    }
    key += ",";
    arguments.push_back(value);
  }
  auto found = blockTraces.find(key);
  BlockTrace &trace = found == blockTraces.end()
                          ? traceBlock(block, key, arguments, scope, call.place)
                          : found->second;
  checkKnown(trace, block.name, scope, call.place);
  auto callee = cast<func::FuncOp>(module.lookupSymbol(trace.symbol));
  // The callee's arguments in order: values, then parameters and captures as
  // its body first read them.
  SmallVector<mlir::Value> operands;
  for (const Value &value : arguments)
    if (value.node())
      operands.push_back(std::get<NodePtr>(value.is)->value);
  std::string prefix =
      block.external.empty() ? "" : substitute(block.external, scope) + ".";
  BlockCall made{trace.symbol, trace.parameters, {}};
  size_t parameter = 0, capture = 0, host = 0;
  for (const std::string &kind : trace.order) {
    if (kind == "parameter") {
      Parameter real = trace.parameters[parameter++];
      real.name = prefix + substitute(real.name, scope, real.ranges);
      nameFiles(real, prefix, scope);
      made.names.push_back(real.name);
      operands.push_back(parameterArgument(real)->value);
      continue;
    }
    if (kind == "call") {
      NodePtr number = emit.constant(double(calls.size() + 1), call.place);
      number = emit.materialise(emit.cast(number, Type::I32, call.place));
      operands.push_back(number->value);
      continue;
    }
    if (kind == "host") {
      operands.push_back(hostNumber(trace.hosts[host++])->value);
      continue;
    }
    Value *value = lookup(trace.captures[capture++].first, scope);
    operands.push_back(std::get<NodePtr>(value->is)->value);
  }
  calls.push_back(made);
  auto op = func::CallOp::create(emit.builder, emit.at(call.place), callee,
                                 operands);
  std::vector<Value> results;
  for (auto [n, dims] : llvm::enumerate(trace.results))
    results.push_back(Value{
        emit.leaf(op.getResult(n), dims, trace.types[n], call.place)});
  for (auto [n, term] : llvm::enumerate(trace.terms)) {
    Term made = term;
    made.sum = emit.leaf(op.getResult(trace.results.size() + n), {}, Type::F32,
                         call.place);
    addTerm(modelTerms, std::move(made), call.place);
  }
  return results.size() == 1 ? results[0] : Value{results};
}

} // namespace ltc::graph
