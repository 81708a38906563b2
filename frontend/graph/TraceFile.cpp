// SPDX-License-Identifier: Apache-2.0
// Weights that lie otherwise in files: `file`, `import` and `export`.
#include "frontend/graph/Tracer.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace ltc::graph {

void Tracer::declareFile(const Stmt &stmt, Scope &scope) {
  bool here = scope.function && (scope.function->kind == Function::Model ||
                                 scope.function->kind == Function::Block);
  if (!here)
    refuse(stmt.place, "a file's tensor is declared in a model or a block");
  FileTensor file;
  file.name = tracing ? stmt.param.external
                      : substitute(stmt.param.external, scope);
  file.place = stmt.place;
  for (const DimSpec &spec : stmt.param.dims)
    file.entries.push_back(inner(spec, scope, false));
  if (!scope.files.emplace(stmt.name, file).second)
    refuse(stmt.place, "a file's tensor is named '" + stmt.name +
                           "' already; one for each turn of a loop belongs in "
                           "a block");
}

/// What an op's result is made of; none: it computes.
static std::optional<Moved>
movedTo(mlir::Value value, llvm::DenseMap<mlir::Value, Moved> &known) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  std::vector<Moved> inputs;
  for (mlir::Value operand : op->getOperands()) {
    std::optional<Moved> input = movedTo(operand, known);
    if (!input)
      return std::nullopt;
    inputs.push_back(*input);
  }
  ArrayRef<int64_t> shape = cast<RankedTensorType>(value.getType()).getShape();
  if (isa<ReshapeOp>(op))
    return inputs[0].reshaped(shape.vec());
  if (auto slice = dyn_cast<SliceOp>(op))
    return inputs[0].sliced(slice.getDim(), slice.getOffset(),
                            shape[slice.getDim()]);
  if (auto join = dyn_cast<JoinOp>(op))
    return Moved::joined(inputs, join.getDim());
  auto map = dyn_cast<MapOp>(op);
  if (!map || inputs.size() != 1)
    return std::nullopt;
  Block &body = map.getBody().front();
  AffineMap reads = cast<AffineMapAttr>(map.getMaps()[0]).getValue();
  bool moves = body.getTerminator()->getOperand(0) == body.getArgument(0) &&
               reads.isPermutation();
  if (!moves)
    return std::nullopt;
  // Operand dimension n is result dimension reads[n].
  std::vector<int64_t> order(shape.size());
  for (unsigned n = 0; n < shape.size(); ++n)
    order[cast<AffineDimExpr>(reads.getResult(n)).getPosition()] = n;
  return inputs[0].permuted(order);
}

/// The value with these dimensions in this order, groups opened and closed.
NodePtr Tracer::arranged(NodePtr made, const Dims &order, const Place &place) {
  settle(made, false);
  made = openGroups(made, order);
  Dims open;
  for (Dim *dim : order) {
    bool parts = !contains(made->dims, dim) && !dim->group.empty();
    llvm::append_range(open, parts ? dim->group : Dims{dim});
  }
  bool same = made->dims.size() == open.size() &&
              llvm::all_of(open, [&](Dim *dim) {
                return contains(made->dims, dim);
              });
  if (!same)
    refuse(place, "this makes " + show("value", made->dims) + ", not " +
                      show("value", order));
  made = emit.materialise(made, open);
  return open == order ? made : emit.reshape(made, order, place);
}

/// [q, key, v]: the segments of the one concatenation in `order`.
NodePtr Tracer::concatenated(const std::vector<Value> &parts,
                             const Dims &order, const Place &place) {
  auto concat = llvm::find_if(
      order, [](const Dim *dim) { return !dim->segments.empty(); });
  if (concat == order.end() || (*concat)->segments.size() != parts.size())
    refuse(place, "a list of " + std::to_string(parts.size()) +
                      " values makes a concatenation of as many, which " +
                      show("value", order) + " has not");
  std::vector<NodePtr> pieces;
  Dims flat;
  for (auto [part, segment] : llvm::zip(parts, (*concat)->segments)) {
    Dims dims, whole = order;
    int64_t size = 1;
    for (Dim *dim : order)
      if (dim != *concat)
        dims.push_back(dim);
      else
        dims.insert(dims.end(), segment.begin(), segment.end());
    for (Dim *dim : segment)
      size *= dim->size;
    flat.push_back(dimNamed("(segment)", size));
    whole[concat - order.begin()] = flat.back();
    pieces.push_back(emit.reshape(arranged(node(part, place), dims, place),
                                  whole, place));
  }
  return emit.join(pieces, flat, *concat, place);
}

Moved Tracer::movedBy(const Expr &expr, const Dims &order,
                      const std::vector<Source> &named, Scope &scope) {
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(emit.at(expr.place));
  OpBuilder::InsertionGuard guard(emit.builder);
  FuncTrace trace(emit, *scratch, "moves", expr.place, true);
  llvm::SaveAndRestore here(current, &trace);
  llvm::SaveAndRestore alone(tracing, static_cast<BlockTrace *>(nullptr));
  Scope inside;
  inside.parent = &scope;
  inside.function = scope.function;
  llvm::DenseMap<mlir::Value, Moved> known;
  for (const Source &source : named) {
    NodePtr leaf =
        trace.argument(nullptr, Type::F32, source.dims, expr.place);
    leaf->name = source.name;
    std::vector<int64_t> sizes; // of the inner dimensions, groups open
    for (Dim *dim : source.dims)
      sizes.push_back(dim->size);
    known[leaf->value] = source.moved.reshaped(sizes);
    inside.names[source.name] = Value{leaf};
  }
  Value value = evaluate(expr, inside);
  auto *parts = std::get_if<std::vector<Value>>(&value.is);
  NodePtr made = parts ? concatenated(*parts, order, expr.place)
                       : arranged(node(value, expr.place), order, expr.place);
  std::optional<Moved> moved = movedTo(made->value, known);
  if (!moved)
    refuse(expr.place, "import and export move a file's numbers (split, join, "
                       "groups, other names and orders of dimensions); they "
                       "compute nothing");
  return moved->simplified();
}

void Tracer::readImport(Parameter &parameter, const Stmt &stmt, Scope &scope) {
  const Place &place = stmt.param.import->place;
  if (!parameter.ranges.empty())
    refuse(place, "a parameter whose name ranges over a dimension is not "
                  "imported by an expression");
  std::vector<Source> sources;
  for (auto &[name, file] : scope.files)
    sources.push_back(
        {name, file.dims(), Moved::whole(file.name, file.shape())});
  if (sources.empty())
    refuse(place, "an import reads tensors of files: declare one before it, "
                  "file raw[..] as \"name\"");
  parameter.import =
      movedBy(*stmt.param.import, parameter.dims, sources, scope);
  for (auto &[name, file] : scope.files)
    if (llvm::any_of(parameter.import.moves,
                     [&](const Move &m) { return m.source == file.name; }))
      parameter.files.push_back(file);
  scope.imports[stmt.name] = parameter.name;
}

/// export raw = ..: the inverse, where the reader wants to see it.
void Tracer::checkExport(const Stmt &stmt, Scope &scope) {
  auto file = scope.files.find(stmt.name);
  if (file == scope.files.end())
    refuse(stmt.place, "no tensor of a file is named '" + stmt.name +
                           "' here: file " + stmt.name + "[..] as \"name\"");
  std::vector<Source> sources;
  for (auto &[name, external] : scope.imports)
    if (Parameter *parameter = declaredAs(external))
      sources.push_back({name, parameter->dims, parameter->import});
  Moved back = movedBy(*stmt.value, file->second.dims(), sources, scope);
  if (!back.isWhole(file->second.name))
    refuse(stmt.value->place,
           "this is not the inverse of the import: it does not give the file's "
           "tensor '" +
               stmt.name + "' back");
}

Parameter *Tracer::declaredAs(const std::string &name) {
  for (Parameter &parameter : tracing ? tracing->parameters : parameters)
    if (parameter.name == name)
      return &parameter;
  return nullptr;
}

/// Marks what a move takes of a file; false at an element taken before.
static bool take(const Move &move, size_t digit, int64_t from,
                 std::vector<bool> &taken) {
  if (digit == move.digits.size()) {
    bool before = taken[from];
    taken[from] = true;
    return !before;
  }
  for (int64_t i = 0; i < move.digits[digit].size; ++i)
    if (!take(move, digit + 1, from + i * move.digits[digit].from, taken))
      return false;
  return true;
}

/// Each number of a file is in one parameter: then all can be written back.
void Tracer::checkFiles(Scope &scope) {
  for (auto &[name, file] : scope.files) {
    int64_t count = 1, missing = 0;
    for (int64_t size : file.shape())
      count *= size;
    std::vector<bool> taken(count);
    for (auto &[text, external] : scope.imports) {
      Parameter *parameter = declaredAs(external);
      for (const Move &move : parameter->import.moves)
        if (move.source == file.name && !take(move, 0, move.from, taken))
          refuse(file.place, "a number of the file's tensor '" + name +
                                 "' is imported twice");
    }
    missing = llvm::count(taken, false);
    if (missing)
      refuse(file.place, std::to_string(missing) + " of the " +
                             std::to_string(count) +
                             " numbers of the file's tensor '" + name +
                             "' are in no parameter");
  }
}

/// {i} in the names of a parameter's files.
void Tracer::nameFiles(Parameter &parameter, const std::string &prefix,
                       Scope &scope) {
  for (FileTensor &file : parameter.files) {
    std::string name = prefix + substitute(file.name, scope);
    for (Move &move : parameter.import.moves)
      if (move.source == file.name)
        move.source = name;
    file.name = name;
  }
}

} // namespace ltc::graph
