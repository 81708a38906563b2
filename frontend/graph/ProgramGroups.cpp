// SPDX-License-Identifier: Apache-2.0
// Which clause of the optimizer takes which parameter, and which parameters it
// treats alike.
#include "frontend/graph/Program.h"

using namespace mlir;

namespace ltc::graph {

static bool mentions(const Expr *expr, const std::string &name) {
  if (!expr)
    return false;
  if (expr->kind == Expr::Name && expr->name == name)
    return true;
  bool found = false;
  for (const ExprPtr &arg : expr->args)
    found |= mentions(arg.get(), name);
  for (const BracketItem &item : expr->brackets)
    found |= mentions(item.value.get(), name);
  for (const Argument &argument : expr->arguments)
    found |= mentions(argument.value.get(), name);
  return found;
}

static bool mentions(const Body &body, const std::string &name) {
  return llvm::any_of(body, [&](const StmtPtr &stmt) {
    return mentions(stmt->value.get(), name) || mentions(stmt->body, name) ||
           mentions(stmt->otherwise, name);
  });
}

/// States and `evaluate with` belong to the whole clause.
static void refuseInside(const Body &body) {
  for (const StmtPtr &stmt : body) {
    if (stmt->kind == Stmt::State || stmt->kind == Stmt::Evaluate)
      refuse(stmt->place, "this stands at the top of a clause, not inside an "
                          "if or a loop");
    refuseInside(stmt->body);
    refuseInside(stmt->otherwise);
  }
}

std::vector<Program::State>
Program::statesOf(const Function::Clause &clause) {
  std::vector<State> states;
  for (const StmtPtr &stmt : clause.body) {
    refuseInside(stmt->body);
    refuseInside(stmt->otherwise);
    if (stmt->kind != Stmt::State)
      continue;
    for (const Stmt::Target &target : stmt->targets) {
      static const std::set<std::string> taken = {
          "weight", "grad", "step", "tokens_seen", "lr", "role", "decays"};
      bool twice = llvm::any_of(
          states, [&](const State &s) { return s.name == target.name; });
      if (twice || taken.count(target.name))
        refuse(target.place, "the name '" + target.name + "' is taken");
      const std::vector<DimSpec> *dims = target.dims ? &*target.dims : nullptr;
      bool copies = stmt->name == "weight";
      if (copies && dims)
        refuse(target.place, "a state that starts as the weight has its "
                             "dimensions: write state " +
                                 target.name + ": f32 init weight");
      states.push_back({target.name, dims, copies, target.place});
    }
  }
  return states;
}

std::set<std::string> Program::roles() const {
  std::set<std::string> names = {"embedding", "head", "norm", "bias"};
  for (const Parameter &parameter : tracer.parameters)
    if (!parameter.role.empty())
      names.insert(parameter.role);
  return names;
}

/// The file's dimensions against the pattern; at most one entry is a rest.
std::optional<Program::Fit> Program::fit(const Function::Clause &clause,
                                         const Parameter &parameter) {
  const std::vector<DimSpec> &pattern = clause.pattern;
  std::vector<int64_t> shape = parameter.fileShape();
  int rests = 0;
  std::set<std::string> names;
  for (const DimSpec &spec : pattern) {
    if (spec.kind != DimSpec::Rest && spec.kind != DimSpec::Name)
      refuse(spec.place, "a clause's pattern names the file's dimensions, in "
                         "which a group or a concatenation is one");
    rests += spec.kind == DimSpec::Rest;
    if (rests > 1 || !names.insert(spec.name).second)
      refuse(spec.place, rests > 1
                             ? "a clause's pattern has one rest of dimensions"
                             : "the pattern names '" + spec.name + "' twice");
  }
  size_t named = pattern.size() - rests;
  if (shape.size() < named || (!rests && shape.size() != named))
    return std::nullopt;
  // Owners of ragged dimensions, and what a name ranges over, are of the rest.
  size_t batch = parameter.ranges.size();
  while (batch < shape.size() && parameter.entries[batch].size() == 1 &&
         tracer.ownsRagged(parameter.entries[batch][0]))
    ++batch;
  if (batch && (pattern[0].kind != DimSpec::Rest ||
                shape.size() - named < batch))
    return std::nullopt;
  Fit result;
  size_t at = 0;
  for (const DimSpec &spec : pattern) {
    if (spec.kind == DimSpec::Name) {
      result.sizes.push_back(shape[at++]);
      continue;
    }
    int64_t product = 1;
    for (size_t n = shape.size() - named; n > 0; --n) {
      result.rest.push_back(shape[at]);
      product *= shape[at++];
    }
    result.sizes.push_back(product);
  }
  return result;
}

Tracer::ClauseInputs Program::clauseInputs(const Group &group, Dims &weight) {
  Tracer::ClauseInputs inputs;
  for (const std::string &role : roles())
    inputs.names[role] = Value{role};
  inputs.names["decays"] = Value{group.decays};
  inputs.names["role"] =
      group.role.empty() ? Value{None{}} : Value{group.role};
  if (group.pointwise) {
    inputs.rests[group.clause->pattern[0].name] = weight;
    return inputs;
  }
  for (auto [spec, size] : llvm::zip(group.clause->pattern, group.fit.sizes)) {
    bool rest = spec.kind == DimSpec::Rest;
    if (rest && group.fit.rest.empty()) {
      inputs.rests[spec.name] = {};
      continue;
    }
    Dim *dim = tracer.dimNamed(spec.name.empty() ? "(rest)" : spec.name, size);
    weight.push_back(dim);
    if (rest)
      inputs.rests[spec.name] = {dim};
    else
      inputs.dims[spec.name] = dim;
  }
  return inputs;
}

/// `on weight[..] if ...`: decided by role, decays, sizes and settings.
bool Program::holds(const Function::Clause &clause, const Function &optimizer,
                    const Group &group, const Parameter &parameter) {
  if (!clause.condition)
    return true;
  Dims weight;
  Tracer::ClauseInputs inputs = clauseInputs(group, weight);
  inputs.names["role"] =
      parameter.role.empty() ? Value{None{}} : Value{parameter.role};
  for (auto &[name, value] : tracer.readSettings(
           optimizer, given(request.optimizer, optimizer),
           [&](const ParameterDecl &decl, double number) {
             return decl.isStatic
                        ? Value{number}
                        : Value{emit.constant(number, decl.place)};
           }))
    inputs.names[name] = value;
  Value value = tracer.traceInClause(*clause.condition, inputs);
  if (!value.truth())
    refuse(clause.condition->place,
           "a clause's condition reads role, decays, sizes and settings that "
           "are 'static', true or false");
  return std::get<bool>(value.is);
}

/// True if the clause, traced over one flat tensor, is elementwise work alone:
/// then all its parameters are one tensor.
bool Program::isPointwise(const Group &group, const Function &optimizer) {
  const std::vector<DimSpec> &pattern = group.clause->pattern;
  if (pattern.size() != 1 || pattern[0].kind != DimSpec::Rest)
    return false;
  for (const State &state : group.states)
    if (state.dims && !state.dims->empty() &&
        !(state.dims->size() == 1 &&
          state.dims->front().kind == DimSpec::Rest))
      return false;
  FuncTrace probe(emit, *module, "(probe)", group.clause->place, true);
  tracer.begin(probe);
  function = &probe;
  Dims flat = {tracer.dimNamed("(probe)", 16)};
  auto tensor = [&](const Dims &dims) {
    return probe.argument(nullptr, Type::F32, dims, group.clause->place);
  };
  Group alike = group;
  alike.pointwise = true;
  Stored old{tensor(flat), tensor(flat), {}};
  for (const State &state : group.states)
    old.states.push_back(
        tensor(state.dims && state.dims->empty() ? Dims() : flat));
  auto number = [&](double value) {
    return emit.constant(value, group.clause->place);
  };
  Shared shared;
  shared.first = emit.op("==", {number(0), number(0)}, group.clause->place);
  shared.ok = shared.first;
  shared.names = tracer.readSettings(
      optimizer, given(request.optimizer, optimizer),
      [&](const ParameterDecl &decl, double value) {
        return decl.isStatic ? Value{value} : Value{number(value)};
      });
  for (const char *name : {"step", "tokens_seen", "lr"})
    shared.names[name] = Value{number(1)};
  update(alike, shared, old);
  bool pointwise = true;
  probe.function.walk([&](Operation *op) {
    if (op == probe.function || op->getParentOfType<MapOp>())
      pointwise &= !isa<IndexOp>(op);
    else
      pointwise &= isa<MapOp>(op);
  });
  probe.function.erase();
  return pointwise;
}

Program::Group Program::groupOf(const Function &optimizer,
                                const Parameter &parameter) {
  for (const Function::Clause &clause : optimizer.clauses) {
    std::optional<Fit> found = fit(clause, parameter);
    Group group{&clause, parameter.decays, "", {}, false, {}, {}, 0};
    if (found)
      group.fit = *found;
    if (!found || !holds(clause, optimizer, group, parameter))
      continue;
    // Parameters differ only by what the clause reads of them.
    group.decays = parameter.decays && mentions(clause.body, "decays");
    group.role = mentions(clause.body, "role") ? parameter.role : "";
    group.states = statesOf(clause);
    return group;
  }
  throw Refusal{optimizer.place,
                "no clause of '" + optimizer.name + "' fits parameter \"" +
                    parameter.name + "\"; end with one that fits all: on "
                    "weight[..] { ... }",
                {{parameter.place, "the parameter"}}};
}

void Program::formGroups() {
  busy = &request.optimizer;
  const Function &optimizer =
      text(library.optimizers, request.optimizer, "optimizer");
  // Clauses in order; in each, what decays first.
  std::vector<Group> found;
  std::map<std::pair<const Function::Clause *, std::string>, bool> probed;
  for (const Parameter &parameter : tracer.parameters) {
    Group mine = groupOf(optimizer, parameter);
    auto [known, fresh] = probed.try_emplace(
        {mine.clause, mine.role + (mine.decays ? "+" : "")}, false);
    if (fresh)
      known->second = isPointwise(mine, optimizer);
    mine.pointwise = known->second;
    if (mine.pointwise)
      mine.fit = {};
    auto alike = [&](const Group &group) {
      return group.clause == mine.clause && group.decays == mine.decays &&
             group.role == mine.role && group.fit.sizes == mine.fit.sizes &&
             group.fit.rest == mine.fit.rest;
    };
    auto group = llvm::find_if(found, alike);
    if (group == found.end())
      group = found.insert(found.end(), mine);
    group->members.push_back(&parameter);
    group->elements += llvm::alignTo(parameter.elements(), 16);
  }
  for (const Function::Clause &clause : optimizer.clauses)
    for (bool decays : {true, false})
      for (Group &group : found)
        if (group.clause == &clause && group.decays == decays)
          groups.push_back(group);
}

} // namespace ltc::graph
