// SPDX-License-Identifier: Apache-2.0
// Statements, names and dimensions. Expressions: TraceExpr.cpp; calls and
// blocks: TraceCall.cpp.
#include "frontend/graph/Tracer.h"
#include "runtime/schema/Schema.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

FuncTrace::FuncTrace(Emit &emit, ModuleOp module, std::string name,
                     Place place, bool isPrivate)
    : emit(emit) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  function = func::FuncOp::create(builder, emit.at(place), name,
                                  builder.getFunctionType({}, {}));
  if (isPrivate)
    function.setPrivate();
  function.addEntryBlock();
  emit.builder.setInsertionPointToEnd(&function.getBody().front());
}

NodePtr FuncTrace::argument(DictionaryAttr bind, Type type, const Dims &dims,
                            Place place) {
  for (auto [n, known] : llvm::enumerate(binds))
    if (bind && known == bind)
      return arguments[n];
  mlir::Value value = function.getBody().front().addArgument(
      emit.tensor(type, dims), emit.at(place));
  binds.push_back(bind);
  arguments.push_back(emit.leaf(value, dims, type, place));
  return arguments.back();
}

void FuncTrace::finish(ArrayRef<NodePtr> results,
                       ArrayRef<DictionaryAttr> resultBinds) {
  SmallVector<mlir::Value> values;
  SmallVector<mlir::Type> types, inputs;
  for (const NodePtr &result : results) {
    values.push_back(result->value);
    types.push_back(result->value.getType());
  }
  func::ReturnOp::create(emit.builder, function.getLoc(), values);
  for (BlockArgument argument : function.getBody().front().getArguments())
    inputs.push_back(argument.getType());
  function.setFunctionType(
      FunctionType::get(function.getContext(), inputs, types));
  for (auto [n, bind] : llvm::enumerate(binds))
    if (bind)
      function.setArgAttr(n, "ltc.bind", bind);
  for (auto [n, bind] : llvm::enumerate(resultBinds))
    if (bind)
      function.setResultAttr(n, "ltc.bind", bind);
}

static std::vector<int64_t> shapeOf(const std::vector<Dims> &entries) {
  std::vector<int64_t> shape;
  for (const Dims &entry : entries) {
    int64_t size = 1;
    for (Dim *dim : entry)
      size *= dim->size;
    shape.push_back(size);
  }
  return shape;
}
std::vector<int64_t> Parameter::fileShape() const { return shapeOf(entries); }
std::vector<int64_t> FileTensor::shape() const { return shapeOf(entries); }
Dims FileTensor::dims() const {
  Dims all;
  for (const Dims &entry : entries)
    all.insert(all.end(), entry.begin(), entry.end());
  return all;
}
int64_t Parameter::elements() const {
  int64_t count = 1;
  for (int64_t size : fileShape())
    count *= size;
  return count;
}

void Library::add(const File &file) {
  for (const auto &function : file.functions) {
    auto &kind = function->kind == Function::Model       ? models
                 : function->kind == Function::Loss      ? losses
                 : function->kind == Function::Optimizer ? optimizers
                 : function->kind == Function::Schedule  ? schedules
                                                         : functions;
    kind[function->name] = function;
  }
}

std::string nearestName(const std::string &name,
                        const std::vector<std::string> &names) {
  return nearest(name, names);
}

/// What another setting's change would have to change is no default.
Value Tracer::settingsDefault(const Function &text, const Expr &initial,
                              Scope &scope) {
  const Expr *read = &text == model ? scalarIn(initial) : nullptr;
  if (read)
    refuse(read->place, "a default does not read '" + read->name +
                            "', which may change without compiling");
  return evaluate(initial, scope);
}

std::map<std::string, Value> Tracer::readSettings(
    const Function &text, const Given &given,
    std::function<Value(const ParameterDecl &, double)> scalar) {
  Scope scope;
  scope.function = &text;
  for (const ParameterDecl &decl : text.parameters) {
    if (!decl.type.empty() && decl.type != "number") {
      if (decl.type != "model")
        refuse(decl.place, "an argument of type '" + decl.type +
                               "' (rule 12 of the graph language) is not "
                               "available in this version of ltc");
      scope.names[decl.name] = Value{std::string("model")};
      continue;
    }
    auto found = given.find(decl.name);
    Value value;
    if (found != given.end())
      value = found->second;
    else if (decl.initial)
      value = settingsDefault(text, *decl.initial, scope);
    else
      refuse(decl.place, "'" + text.name + "' needs a value for '" +
                             decl.name + "': it has no default");
    if (scalar && value.number())
      value = scalar(decl, std::get<double>(value.is));
    scope.names[decl.name] = value;
  }
  return scope.names;
}

// Names and dimensions.

/// 3, 0.5, 1e+15: as a user would write it.
static std::string numberText(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

Dim *Tracer::dimNamed(const std::string &name, int64_t size) {
  // Functions may name their own dimension alike with another size.
  auto known = dimTable.find(name);
  bool clash = known != dimTable.end() && known->second->size != size;
  auto &dim = dimTable[clash ? name + "=" + std::to_string(size) : name];
  if (!dim)
    dim = std::make_unique<Dim>(Dim{name, size, {}, {}});
  return dim.get();
}

Dim *Tracer::ownDim(const std::string &name, Scope &scope) {
  for (Scope *s = &scope; s; s = s->parent)
    if (auto found = s->dims.find(name); found != s->dims.end())
      return found->second;
  return nullptr;
}

Dim *Tracer::lookupDim(const std::string &name, Scope &scope) {
  if (Dim *own = ownDim(name, scope))
    return own;
  if (auto fixed = fixedDims.find(name); fixed != fixedDims.end())
    return dimNamed(name, fixed->second);
  if (auto known = dimTable.find(name); known != dimTable.end())
    return known->second.get();
  auto setting = settings.find(name);
  if (setting == settings.end() || !setting->second.number() ||
      scalars.count(name))
    return nullptr;
  double size = std::get<double>(setting->second.is);
  if (size < 1 || size != std::floor(size) || size > 2147483647)
    refuse(scope.function ? scope.function->place : Place(),
           "the size of dimension '" + name + "' is " + numberText(size) +
               "; it must be a whole number from 1 to 2147483647");
  return dimNamed(name, int64_t(size));
}

Dim *Tracer::needDim(const std::string &name, Scope &scope,
                     const Place &place) {
  Dim *dim = lookupDim(name, scope);
  if (dim)
    return dim;
  if (scalars.count(name))
    refuse(place, "the setting '" + name + "' may change without compiling: "
                  "it is no size");
  std::vector<std::string> names;
  for (auto &[known, unused] : dimTable)
    names.push_back(known);
  for (auto &[known, value] : settings)
    if (value.number())
      names.push_back(known);
  std::string near = nearestName(name, names);
  refuse(place, "no dimension or setting is named '" + name + "'" +
                    (near.empty() ? "" : "; did you mean '" + near + "'?"));
}
Dim *Tracer::needDim(const Expr &expr, Scope &scope) {
  if (expr.kind != Expr::Name)
    refuse(expr.place, "expected the name of a dimension");
  return needDim(expr.name, scope, expr.place);
}

Dim *Tracer::declareConcat(const DimSpec &spec, Scope &scope) {
  Dim made;
  for (const DimSpec &segment : spec.parts) {
    int64_t size = 1;
    Dims dims;
    made.name += made.name.empty() ? "(" : " | ";
    for (const DimSpec &part : segment.parts)
      for (Dim *dim : inner(part, scope, false)) {
        size *= dim->size;
        made.name += (dims.empty() ? "" : " ") + dim->name;
        dims.push_back(dim);
      }
    made.size += size;
    made.segments.push_back(dims);
  }
  made.name += ")";
  auto &dim = dimTable[made.name];
  if (!dim)
    dim = std::make_unique<Dim>(made);
  return dim.get();
}

Dims Tracer::inner(const DimSpec &spec, Scope &scope, bool) {
  if (spec.kind == DimSpec::Name)
    return {needDim(spec.name, scope, spec.place)};
  if (spec.kind == DimSpec::Concat)
    return {declareConcat(spec, scope)};
  if (spec.kind == DimSpec::Rest)
    refuse(spec.place, "'..' has no meaning here: name the dimensions");
  if (spec.kind == DimSpec::Ragged)
    refuse(spec.place, "a ragged dimension (" + spec.owner + ": " + spec.name +
                           ") is named where a value with it is assigned: y[" +
                           spec.owner + ": " + spec.name +
                           ", ..] = dispatch(x, choice over " + spec.owner +
                           ")");
  Dims dims;
  for (const DimSpec &part : spec.parts)
    for (Dim *dim : inner(part, scope, false))
      dims.push_back(dim);
  return dims;
}

Value *Tracer::lookup(const std::string &name, Scope &scope, Scope **owner) {
  for (Scope *s = &scope; s; s = s->parent)
    if (auto found = s->names.find(name); found != s->names.end()) {
      if (owner)
        *owner = s;
      return &found->second;
    }
  auto found = settings.find(name);
  return found == settings.end() ? nullptr : &found->second;
}

/// A tensor of another function enters this one as an argument.
bool Tracer::isForeign(const NodePtr &node) const {
  if (node->kind != Node::Leaf || !tracing || !node->value)
    return false;
  Region *region = node->value.getParentRegion();
  return region->getParentOfType<func::FuncOp>() != current->function;
}

NodePtr Tracer::import(const std::string &name, NodePtr node) {
  if (!isForeign(node))
    return node;
  staysInBlock(node->dims, node->place);
  NodePtr &known = imported[name];
  if (!known) {
    known = current->argument(nullptr, node->type, node->dims, node->place);
    known->parameter = node->parameter;
    known->entries = node->entries;
    known->name = node->name;
    tracing->captures.push_back({name, node->dims});
    tracing->order.push_back("capture");
  }
  return known;
}

std::string Tracer::substitute(std::string text, Scope &scope,
                               const Dims &ranges) {
  size_t from = 0;
  for (size_t open; (open = text.find('{', from)) != std::string::npos;) {
    size_t close = text.find('}', open);
    std::string name = text.substr(open + 1, close - open - 1);
    if (llvm::any_of(ranges, [&](Dim *dim) { return dim->name == name; })) {
      from = close;
      continue;
    }
    Value *value = lookup(name, scope);
    if (close == std::string::npos || !value || !value->number())
      refuse(scope.function ? scope.function->place : Place(),
             "the external name \"" + text + "\" names {" + name +
                 "}, which is no loop index or setting here");
    text.replace(open, close - open + 1,
                 std::to_string(int64_t(std::get<double>(value->is))));
  }
  return text;
}

// Statements.

/// " (heads = 10, kv = 3)": what a condition that does not hold reads.
std::string Tracer::valuesIn(const Expr &expr, Scope &scope) {
  std::map<std::string, double> values;
  std::function<void(const Expr &)> visit = [&](const Expr &part) {
    if (Value *value = part.kind == Expr::Name ? lookup(part.name, scope)
                                               : nullptr;
        value && value->number())
      values[part.name] = std::get<double>(value->is);
    for (const ExprPtr &arg : part.args)
      visit(*arg);
  };
  visit(expr);
  std::string text;
  for (auto [name, value] : values) {
    char number[32];
    std::snprintf(number, sizeof number, "%g", value);
    text += (text.empty() ? " (" : ", ") + name + " = " + number;
  }
  return text.empty() ? text : text + ")";
}

std::optional<Value> Tracer::run(const Body &body, Scope &scope) {
  for (const StmtPtr &stmt : body)
    if (std::optional<Value> result = run(*stmt, scope))
      return result;
  return std::nullopt;
}

std::optional<Value> Tracer::run(const Stmt &stmt, Scope &scope) {
  switch (stmt.kind) {
  case Stmt::Return: {
    if (stmt.more.empty())
      return evaluate(*stmt.value, scope);
    std::vector<Value> values = {evaluate(*stmt.value, scope)};
    for (const ExprPtr &more : stmt.more)
      values.push_back(evaluate(*more, scope));
    return Value{values};
  }
  case Stmt::For: {
    double count = number(*stmt.value, scope, "a loop's count");
    if (!(count >= 0 && count <= 4096) || count != std::floor(count))
      refuse(stmt.value->place, "a loop of " + numberText(count) +
                                    " turns; it must be a whole number from "
                                    "0 to 4096");
    bool outermost = scope.loops.insert(stmt.name).second;
    for (int64_t i = 0; i < int64_t(count); ++i) {
      scope.names[stmt.name] = Value{double(i)};
      if (auto result = run(stmt.body, scope))
        return result;
    }
    scope.names.erase(stmt.name);
    if (outermost)
      scope.loops.erase(stmt.name);
    return std::nullopt;
  }
  case Stmt::If: {
    Value condition = evaluate(*stmt.value, scope);
    if (condition.node())
      refuse(stmt.place, "'if' needs a condition on settings and static "
                         "arguments, known when compiling; for values write "
                         "where(c, a, b)");
    bool yes = condition.truth() ? std::get<bool>(condition.is)
                                 : !condition.none();
    return run(yes ? stmt.body : stmt.otherwise, scope);
  }
  case Stmt::Assert:
    checkAssertion(stmt, scope);
    return std::nullopt;
  case Stmt::Assign:
    assign(stmt, scope);
    return std::nullopt;
  case Stmt::Term:
    declareTerm(stmt, scope);
    return std::nullopt;
  case Stmt::Dim:
    declareDim(stmt, scope);
    return std::nullopt;
  case Stmt::Input:
    declareInput(stmt, scope);
    return std::nullopt;
  case Stmt::Param:
    declareParam(stmt, scope);
    return std::nullopt;
  case Stmt::Block:
    scope.blocks[stmt.function->name] = stmt.function;
    return std::nullopt;
  case Stmt::State: // made by the program before the clause runs
  case Stmt::Evaluate: // traced by the program, in a function of its own
    if (!scope.clause)
      refuse(stmt.place, stmt.kind == Stmt::State
                             ? "a state stands in an optimizer's clause"
                             : "'evaluate with' stands in an optimizer's "
                               "clause");
    return std::nullopt;
  case Stmt::FileTensor:
    declareFile(stmt, scope);
    return std::nullopt;
  case Stmt::Export:
    checkExport(stmt, scope);
    return std::nullopt;
  case Stmt::Project: // runs when the clause is done
    if (!scope.clause)
      refuse(stmt.place, "'project' stands in an optimizer's clause");
    scope.projections.push_back(&stmt);
    return std::nullopt;
  }
  llvm_unreachable("covered switch");
}

void Tracer::assign(const Stmt &stmt, Scope &scope) {
  Value value = evaluate(*stmt.value, scope);
  if (stmt.targets.size() == 1)
    return assignTo(stmt.targets[0], std::move(value), scope);
  auto *values = std::get_if<std::vector<Value>>(&value.is);
  std::vector<Value> parts;
  if (!values && value.node()) {
    // q, key, v = ... opens a concatenation.
    NodePtr whole = std::get<NodePtr>(value.is);
    Dim *concat = nullptr;
    for (Dim *dim : whole->dims)
      if (!dim->segments.empty())
        concat = dim;
    if (!concat)
      refuse(stmt.place, "expected " + std::to_string(stmt.targets.size()) +
                             " values or a concatenated dimension on the "
                             "right, found " +
                             show(whole));
    int64_t offset = 0;
    for (const Dims &segment : concat->segments) {
      int64_t size = 1;
      for (Dim *dim : segment)
        size *= dim->size;
      Dim *flat = dimNamed(concat->name + "." + std::to_string(offset), size);
      NodePtr part = emit.slice(whole, concat, offset, flat, stmt.place);
      Dims dims;
      for (Dim *dim : part->dims)
        if (dim == flat)
          dims.insert(dims.end(), segment.begin(), segment.end());
        else
          dims.push_back(dim);
      if (dims.size() != part->dims.size())
        part = emit.reshape(part, dims, stmt.place);
      else
        part->dims = dims;
      parts.push_back(Value{part});
      offset += size;
    }
    values = &parts;
  }
  if (!values || values->size() != stmt.targets.size())
    refuse(stmt.place,
           "expected " + std::to_string(stmt.targets.size()) +
               " values on the right, found " +
               std::to_string(values ? values->size() : 1));
  for (size_t i = 0; i < stmt.targets.size(); ++i)
    assignTo(stmt.targets[i], (*values)[i], scope);
}

/// Refuses an outer product that nobody asked for.
void Tracer::refuseOuter(const NodePtr &node) {
  if (node->outer)
    refuse(*node->outer,
           node->outerText + ": each side has dimensions that the other lacks; "
                             "name the result's dimensions on the left "
                             "(x[a, b] = ...) or sum over one");
}

void Tracer::settle(NodePtr &node, bool allowed) {
  if (emit.pairwise(node))
    return;
  if (!allowed)
    refuseOuter(node);
  node = emit.materialise(node);
}

void Tracer::assignTo(const Stmt::Target &target, Value value, Scope &scope) {
  Expr index;
  if (const Expr *element = elementOf(target, scope, index))
    return collect(target, *element, std::move(value), scope);
  if (target.dims && !value.node())
    refuse(target.place, "'" + target.name + "' is one number: it has no "
                                             "dimensions");
  if (value.node()) {
    NodePtr node = std::get<NodePtr>(value.is);
    // Scalars stay lazy: they are computed where they meet a tensor.
    bool scalar = node->dims.empty() && node->type == Type::F64;
    if (target.dims) {
      Dims order;
      bool rest = false;
      for (const DimSpec &spec : *target.dims) {
        if (spec.kind == DimSpec::Rest && !spec.name.empty())
          llvm::append_range(order, needRest(spec.name, scope, spec.place));
        rest |= spec.kind == DimSpec::Rest && spec.name.empty();
        if (Dim *rows = spec.kind == DimSpec::Ragged ? raggedIn(node->dims)
                                                     : nullptr;
            rows && rows->ragged->owner == lookupDim(spec.owner, scope)) {
          scope.dims[spec.name] = rows;
          order.push_back(rows);
        } else if (spec.kind != DimSpec::Rest) {
          for (Dim *dim : inner(spec, scope, false))
            order.push_back(dim);
        }
      }
      for (Dim *dim : order)
        if (!contains(node->dims, dim))
          refuse(target.place, "'" + target.name + "' is to have dimension " +
                                   dim->name + ", but the right side is " +
                                   show(node));
      if (!rest && order.size() != node->dims.size())
        refuse(target.place, "the left side names " +
                                 show(target.name, order) +
                                 ", the right side is " +
                                 show(node));
      node->outer.reset();
      if (!emit.pairwise(node))
        node = emit.materialise(node, rest ? Dims() : order);
    } else if (!scalar) {
      settle(node, false);
    }
    if (node->name.empty() && node->kind == Node::Leaf) {
      node = std::make_shared<Node>(*node);
      node->name = target.name;
    }
    value = Value{node};
  }
  if (scope.clause)
    scope.assigned[target.name] = target.place;
  scope.names[target.name] = std::move(value);
}

void Tracer::declareDim(const Stmt &stmt, Scope &scope) {
  if (stmt.value) {
    double size = number(*stmt.value, scope, "a dimension's size");
    if (size < 1 || size != std::floor(size))
      refuse(stmt.place, "the size of dimension '" + stmt.name +
                             "' must be a whole number of at least 1");
    scope.dims[stmt.name] = dimNamed(stmt.name, int64_t(size));
    return;
  }
  // dim heads = (kv group): the one part without a size is the quotient.
  Dim *whole = needDim(stmt.name, scope, stmt.place);
  int64_t known = 1;
  const DimSpec *open = nullptr;
  for (const DimSpec &part : stmt.dim.parts) {
    Dim *dim = lookupDim(part.name, scope);
    if (!dim && open)
      refuse(part.place, "only one part of a group may be without a size");
    if (dim)
      known *= dim->size;
    else
      open = &part;
  }
  if (whole->size % known || (!open && whole->size != known))
    refuse(stmt.place, "dimension " + stmt.name + " = " +
                           std::to_string(whole->size) +
                           " is not the product of its parts (" +
                           std::to_string(known) + ")");
  if (open)
    dimNamed(open->name, whole->size / known);
  for (const DimSpec &part : stmt.dim.parts)
    whole->group.push_back(needDim(part.name, scope, part.place));
}

void Tracer::declareInput(const Stmt &stmt, Scope &scope) {
  for (const Stmt::InputDecl &decl : stmt.inputs) {
    static const std::map<std::string, Type> kinds = {
        {"token", Type::I32},    {"position", Type::I32},
        {"document", Type::I32}, {"label", Type::I32},
        {"labels", Type::I32},   {"mask", Type::F32},
        {"number", Type::F32}};
    auto kind = kinds.find(decl.kind);
    if (kind == kinds.end())
      refuse(decl.place, "an input is a token, position, document, label, mask "
                         "or number, not '" +
                             decl.kind + "'");
    if (!columns.empty() && !llvm::is_contained(columns, decl.name))
      refuse(decl.place, "the data has no column '" + decl.name +
                             "'; it gives " + llvm::join(columns, ", "));
    Dims dims;
    for (const DimSpec &spec : decl.dims)
      for (Dim *dim : inner(spec, scope, false))
        dims.push_back(dim);
    OpBuilder &b = emit.builder;
    std::string kindName = decl.kind == "labels" ? "label" : decl.kind;
    auto bind = b.getDictionaryAttr(
        {b.getNamedAttr("class", b.getStringAttr("input")),
         b.getNamedAttr("name", b.getStringAttr(decl.name)),
         b.getNamedAttr("kind", b.getStringAttr(kindName))});
    NodePtr node = current->argument(bind, kind->second, dims, decl.place);
    if (node->dims != dims)
      refuse(decl.place, "'" + decl.name + "' is declared before as " +
                             show(decl.name, node->dims));
    node->name = decl.name;
    scope.names[decl.name] = Value{node};
  }
}

void Tracer::declareParam(const Stmt &stmt, Scope &scope) {
  if (stmt.param.condition) {
    Value condition = evaluate(*stmt.param.condition, scope);
    if (!condition.truth())
      refuse(stmt.place, "'if' behind a parameter needs a condition on "
                         "settings");
    if (!std::get<bool>(condition.is)) {
      scope.names[stmt.name] = Value{None{}};
      return;
    }
  }
  Parameter parameter;
  parameter.place = stmt.place;
  parameter.role = stmt.param.role;
  for (const DimSpec &spec : stmt.param.dims) {
    Dims entry = inner(spec, scope, false);
    for (Dim *dim : entry)
      if (contains(parameter.dims, dim))
        refuse(spec.place, "'" + stmt.name + "' has dimension " + dim->name +
                               " twice; give the second its own name: dim " +
                               dim->name + "2 = size[" + dim->name + "]");
    parameter.dims.insert(parameter.dims.end(), entry.begin(), entry.end());
    parameter.entries.push_back(entry);
  }
  parameter.name = stmt.param.external.empty() ? stmt.name
                                               : stmt.param.external;
  readRanges(parameter, stmt);
  bool small = parameter.entries.size() < 2 + parameter.ranges.size();
  bool exempt = parameter.role == "norm" || parameter.role == "bias" ||
                parameter.role == "embedding";
  parameter.decays = stmt.param.decays.value_or(!small && !exempt);
  parameter.init = "zeros";
  if (const Expr *init = stmt.param.init.get()) {
    parameter.init = init->name;
    if (init->kind == Expr::Call && init->name == "normal" &&
        init->arguments.size() == 1)
      parameter.scale =
          number(*init->arguments[0].value, scope, "a standard deviation");
    else if (init->name != "ones" && init->name != "zeros")
      refuse(init->place, "a parameter starts as normal(std), ones or zeros");
  }
  if (!tracing)
    parameter.name = substitute(parameter.name, scope, parameter.ranges);
  if (stmt.param.import)
    readImport(parameter, stmt, scope);
  NodePtr node;
  if (tracing) {
    // Of a block: its caller names the real parameter.
    node = current->argument(nullptr, Type::F32, parameter.dims, stmt.place);
    tracing->parameters.push_back(parameter);
    tracing->order.push_back("parameter");
  } else {
    node = parameterArgument(parameter);
  }
  node = std::make_shared<Node>(*node);
  node->parameter = true;
  node->entries = parameter.entries;
  node->name = stmt.name;
  scope.names[stmt.name] = Value{node};
}

/// "experts.{experts}.w1": a tensor of the file for each of the experts.
void Tracer::readRanges(Parameter &parameter, const Stmt &stmt) {
  for (auto [n, entry] : llvm::enumerate(parameter.entries)) {
    bool named = entry.size() == 1 &&
                 parameter.name.find("{" + entry[0]->name + "}") !=
                     std::string::npos;
    if (!named)
      continue;
    if (n != parameter.ranges.size())
      refuse(stmt.place, "the name \"" + parameter.name +
                             "\" ranges over the dimension " +
                             entry[0]->name +
                             ", which must come first: '" + stmt.name + "[" +
                             entry[0]->name + ", ..]'");
    parameter.ranges.push_back(entry[0]);
  }
  if (!parameter.ranges.empty() &&
      parameter.ranges.size() == parameter.entries.size())
    refuse(stmt.place, "the name \"" + parameter.name +
                           "\" ranges over every dimension of '" + stmt.name +
                           "'; one must remain in the file");
}

/// More than any machine holds: further on, bytes are counted in 64 bits.
static void checkElements(const Parameter &parameter) {
  double elements = 1;
  for (Dim *dim : parameter.dims)
    elements *= double(dim->size);
  if (elements > 1e12)
    refuse(parameter.place, "parameter '" + parameter.name + "' has " +
                                numberText(elements) +
                                " elements; at most 1e+12");
}

NodePtr Tracer::parameterArgument(const Parameter &parameter) {
  checkElements(parameter);
  bool known = false;
  for (const Parameter &other : parameters)
    if (other.name == parameter.name) {
      known = true;
      if (other.fileShape() != parameter.fileShape())
        refuse(parameter.place, "the external name \"" + parameter.name +
                                    "\" is taken by a parameter of another "
                                    "shape; name the loop's index in it: {i}");
    }
  if (!known)
    parameters.push_back(parameter);
  OpBuilder &b = emit.builder;
  auto bind = b.getDictionaryAttr(
      {b.getNamedAttr("class", b.getStringAttr("parameter")),
       b.getNamedAttr("name", b.getStringAttr(parameter.name))});
  return current->argument(bind, Type::F32, parameter.dims, parameter.place);
}

/// Equal names add.
void Tracer::addTerm(std::vector<Term> &terms, Term term, const Place &place) {
  for (Term &known : terms) {
    if (known.name != term.name)
      continue;
    if (known.countInput != term.countInput)
      refuse(place, "the terms named '" + term.name +
                        "' add up, but are divided by different counts");
    known.sum = emit.materialise(emit.op("+", {known.sum, term.sum}, place));
    return;
  }
  terms.push_back(std::move(term));
}

/// term name = sum[..] x / count[..] mask, or / count[b]; or any number per
/// micro batch: their mean.
void Tracer::declareTerm(const Stmt &stmt, Scope &scope) {
  const Expr &value = *stmt.value;
  bool ratio = value.kind == Expr::Binary && value.name == "/" &&
               value.args[1]->kind == Expr::Reduce &&
               value.args[1]->name == "count";
  if (ratio && stmt.perMicroBatch)
    refuse(stmt.place, "a sum divided by a count is over the whole batch: "
                       "leave out 'per micro batch'");
  if (!ratio && !stmt.perMicroBatch)
    refuse(stmt.place, "a term is a sum divided by a count: term " +
                           stmt.name + " = sum[..] x / count[..] mask; another "
                           "number says 'per micro batch' behind it");
  if (!scope.terms)
    refuse(stmt.place, "a term stands in a loss, a model or a block");
  bool ofModel = scope.terms == &modelTerms || tracing;
  if (ofModel && dropsTerms)
    return;
  Term term;
  term.name = stmt.name;
  term.ofModel = ofModel;
  term.sum = node(evaluate(ratio ? *value.args[0] : value, scope), stmt.place);
  if (!term.sum->dims.empty())
    refuse(stmt.place, "a term's sum still has dimensions: " +
                           show(stmt.name, term.sum->dims));
  // Counted by rows, of which each micro batch has as many.
  if (stmt.perMicroBatch)
    term.sum = emit.op(
        "*",
        {term.sum, emit.constant(double(fixedDims.at("b")), stmt.place)},
        stmt.place);
  term.sum = emit.materialise(emit.cast(term.sum, Type::F32, stmt.place));
  const Expr *count = ratio ? value.args[1].get() : nullptr;
  if (count && !count->args.empty()) {
    const Expr &input = *count->args[0];
    Value *known =
        input.kind == Expr::Name ? lookup(input.name, scope) : nullptr;
    if (!known || !known->node() ||
        std::get<NodePtr>(known->is)->name != input.name)
      refuse(count->place, "count[..] takes a declared input such as mask");
    term.countInput = input.name;
  }
  addTerm(*scope.terms, std::move(term), stmt.place);
}

// Entry points.

NodePtr Tracer::node(const Value &value, const Place &place) {
  if (value.node())
    return std::get<NodePtr>(value.is);
  if (value.number())
    return emit.constant(std::get<double>(value.is), place);
  refuse(place, "expected a number or a tensor, found a " +
                    std::string(value.truth()  ? "condition on settings"
                                : value.text() ? "word"
                                : value.none() ? "'none'"
                                               : "list of values: write "
                                                 "first, second = ..."));
}

Value Tracer::applyModel(const Function &model) {
  if (applied)
    return *applied;
  Scope scope;
  scope.function = &model;
  scope.terms = &modelTerms;
  auto result = run(model.body, scope);
  if (!result)
    refuse(model.place, "the model '" + model.name + "' returns nothing");
  checkFiles(scope);
  auto settled = [&](Value &value) {
    if (!value.node())
      return;
    NodePtr out = std::get<NodePtr>(value.is);
    settle(out, false);
    value = Value{out};
  };
  settled(*result);
  if (auto *several = std::get_if<std::vector<Value>>(&result->is))
    llvm::for_each(*several, settled);
  applied = result;
  return *result;
}

std::vector<Term> Tracer::traceLoss(const Function &loss,
                                    std::map<std::string, Value> settings) {
  std::vector<Term> terms;
  Scope scope;
  scope.function = &loss;
  scope.names = std::move(settings);
  scope.terms = &terms;
  run(loss.body, scope);
  if (terms.empty())
    refuse(loss.place, "the loss '" + loss.name + "' has no term");
  return terms;
}

Value Tracer::traceExpression(const Function &function,
                              std::map<std::string, Value> names) {
  Scope scope;
  scope.function = &function;
  scope.names = std::move(names);
  auto result = run(function.body, scope);
  if (!result)
    refuse(function.place, "'" + function.name + "' returns nothing");
  return *result;
}

} // namespace ltc::graph
