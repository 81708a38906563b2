// SPDX-License-Identifier: Apache-2.0
// An optimizer's clause over one group of parameters: inline over the flat
// tensor of a pointwise group, else one function that is called per parameter.
// And @enter_evaluation: the weights that evaluation, saving and generation use.
#include "frontend/graph/Program.h"

using namespace mlir;

namespace ltc::graph {

const Expr *Program::evaluateOf(const Function::Clause &clause) {
  for (const StmtPtr &stmt : clause.body)
    if (stmt->kind == Stmt::Evaluate)
      return stmt->value.get();
  return nullptr;
}

Dims Program::stateDims(const Group &group, const State &state) {
  Dims weight;
  Tracer::ClauseInputs inputs = clauseInputs(group, weight);
  return state.dims ? Tracer::clauseDims(*state.dims, inputs) : weight;
}

/// As files have it: the dimensions of a rest one by one.
std::vector<int64_t> Program::stateShape(const Group &group,
                                         const State &state,
                                         const Parameter &parameter) {
  if (!state.dims)
    return parameter.fileShape();
  std::vector<int64_t> shape;
  for (const DimSpec &spec : *state.dims) {
    if (spec.kind == DimSpec::Rest)
      llvm::append_range(shape, group.fit.rest);
    for (auto [entry, size] : llvm::zip(group.clause->pattern, group.fit.sizes))
      if (spec.kind == DimSpec::Name && entry.name == spec.name &&
          entry.kind == DimSpec::Name)
        shape.push_back(size);
  }
  return shape;
}

/// The whole group's flat tensors.
Program::Stored Program::storedGroup(size_t index, bool gradient) {
  const Group &group = groups[index];
  Dims flat = {tracer.dimNamed("(group " + std::to_string(index) + ")",
                               group.elements)};
  Stored stored;
  stored.weight = argument({{"class", "parameter"}}, Type::F32, flat, index);
  if (gradient)
    stored.gradient = argument({{"class", "gradient"}}, Type::F32, flat, index);
  for (const State &state : group.states)
    stored.states.push_back(
        argument({{"class", "state"}, {"name", state.name}}, Type::F32,
                 state.dims && state.dims->empty() ? Dims() : flat, index));
  return stored;
}

Program::Stored Program::storedMember(size_t index, const Parameter &parameter,
                                      bool gradient) {
  const Group &group = groups[index];
  Dims weight;
  clauseInputs(group, weight);
  const std::string &name = parameter.name;
  Stored stored;
  stored.weight = argument({{"class", "parameter"}, {"name", name}}, Type::F32,
                           weight);
  if (gradient)
    stored.gradient = argument({{"class", "gradient"}, {"name", name}},
                               Type::F32, weight);
  for (const State &state : group.states)
    stored.states.push_back(argument(
        {{"class", "state"}, {"name", state.name}, {"parameter", name}},
        Type::F32, stateDims(group, state)));
  return stored;
}

Tracer::ClauseInputs Program::inputsFor(const Group &group,
                                        const Shared &shared,
                                        const Stored &old) {
  const Place &place = group.clause->place;
  Dims weight;
  if (group.pointwise)
    weight = old.weight->dims;
  Tracer::ClauseInputs inputs = clauseInputs(group, weight);
  for (auto &[name, value] : shared.names)
    inputs.names[name] = value;
  old.weight->parameter = true;
  old.weight->name = "weight";
  inputs.names["weight"] = Value{old.weight};
  if (old.gradient)
    inputs.names["grad"] =
        Value{shared.scale
                  ? emit.op("*", {old.gradient, shared.scale}, place)
                  : old.gradient};
  for (auto [state, node] : llvm::zip(group.states, old.states)) {
    node->name = state.name;
    inputs.names[state.name] =
        Value{state.fromWeight
                  ? emit.op("where", {shared.first, old.weight, node},
                            state.place)
                  : node};
  }
  return inputs;
}

static void expectDims(const std::string &name, const NodePtr &fresh,
                       const Dims &dims, const Place &place) {
  for (Dim *dim : fresh->dims)
    if (!contains(dims, dim))
      refuse(place, "'" + name + "' is stored as " + show(name, dims) +
                               ", but becomes " + show("value", fresh->dims));
}

std::vector<NodePtr> Program::update(const Group &group, const Shared &shared,
                                     const Stored &old) {
  const Place &place = group.clause->place;
  Tracer::ClauseResults after =
      tracer.traceClause(*group.clause, inputsFor(group, shared, old));
  auto keep = [&](const std::string &name, const NodePtr &before) {
    Place at = after.places.try_emplace(name, place).first->second;
    NodePtr fresh = tracer.node(after.names[name], at);
    expectDims(name, fresh, before->dims, at);
    return emit.materialise(
        emit.op("where", {shared.ok, fresh, before}, place), before->dims);
  };
  std::vector<NodePtr> results = {keep("weight", old.weight)};
  for (auto [state, node] : llvm::zip(group.states, old.states))
    results.push_back(keep(state.name, node));
  return results;
}

NodePtr Program::evaluated(const Group &group, const Shared &shared,
                           const Stored &old) {
  const Expr *expr = evaluateOf(*group.clause);
  Tracer::ClauseInputs inputs = inputsFor(group, shared, old);
  NodePtr value = tracer.node(tracer.traceInClause(*expr, inputs), expr->place);
  if (value->outer)
    refuse(*value->outer, value->outerText + ": each side has dimensions that "
                                             "the other lacks");
  expectDims("weight", value, old.weight->dims, expr->place);
  if (value->dims.size() != old.weight->dims.size())
    refuse(expr->place, "'evaluate with' gives a weight, but is " +
                            show(value));
  if (value->kind == Node::Leaf) // a value of its own
    value = emit.op("*", {value, emit.constant(1, expr->place)}, expr->place);
  return emit.materialise(emit.cast(value, Type::F32, expr->place),
                          old.weight->dims);
}

/// The expression with other leaves.
static NodePtr rebase(const NodePtr &node,
                      std::map<const Node *, NodePtr> &inside) {
  if (!node || (node->inputs.empty() && node->kind != Node::Leaf))
    return node;
  NodePtr &made = inside[node.get()];
  if (made)
    return made;
  NodePtr copy = std::make_shared<Node>(*node);
  for (NodePtr &input : copy->inputs)
    input = rebase(input, inside);
  return inside[node.get()] = copy;
}

std::vector<NodePtr> Program::call(const std::string &symbol,
                                   const Group &group, const Shared &shared,
                                   const Stored &old, const Make &make) {
  // What the function is given: what is stored, then what shared values read.
  std::vector<NodePtr> leaves = {old.weight};
  if (old.gradient)
    leaves.push_back(old.gradient);
  llvm::append_range(leaves, old.states);
  for (const NodePtr &node : {shared.scale, shared.ok, shared.first})
    if (node)
      Emit::collectLeaves(node, leaves);
  for (auto &[name, value] : shared.names)
    if (value.node())
      Emit::collectLeaves(std::get<NodePtr>(value.is), leaves);
  const Place &place = group.clause->place;
  auto callee = module->lookupSymbol<func::FuncOp>(symbol);
  if (!callee) {
    OpBuilder::InsertionGuard guard(builder);
    FuncTrace trace(emit, *module, symbol, place, true);
    std::map<const Node *, NodePtr> inside;
    for (const NodePtr &leaf : leaves)
      inside[leaf.get()] =
          trace.argument(nullptr, leaf->type, leaf->dims, leaf->place);
    Shared here{rebase(shared.scale, inside), rebase(shared.ok, inside),
                rebase(shared.first, inside), shared.names};
    for (auto &[name, value] : here.names)
      if (value.node())
        value = Value{rebase(std::get<NodePtr>(value.is), inside)};
    Stored stored{inside[old.weight.get()],
                  old.gradient ? inside[old.gradient.get()] : nullptr,
                  {}};
    for (const NodePtr &state : old.states)
      stored.states.push_back(inside[state.get()]);
    trace.finish(make(here, stored), {});
    callee = trace.function;
  }
  SmallVector<mlir::Value> operands;
  for (const NodePtr &leaf : leaves)
    operands.push_back(leaf->value);
  auto op = func::CallOp::create(builder, emit.at(place), callee, operands);
  std::vector<NodePtr> results;
  for (auto [n, value] : llvm::enumerate(op.getResults())) {
    const NodePtr &like = n ? old.states[n - 1] : old.weight;
    results.push_back(emit.leaf(value, like->dims, Type::F32, place));
  }
  return results;
}

void Program::applyGroup(size_t index, const Shared &shared,
                         std::vector<NodePtr> &results,
                         std::vector<DictionaryAttr> &binds) {
  const Group &group = groups[index];
  if (group.pointwise) {
    llvm::append_range(results,
                       update(group, shared, storedGroup(index, true)));
    binds.push_back(bind({{"class", "parameter"}}, index));
    for (const State &state : group.states)
      binds.push_back(bind({{"class", "state"}, {"name", state.name}}, index));
    return;
  }
  for (const Parameter *parameter : group.members) {
    Stored old = storedMember(index, *parameter, true);
    llvm::append_range(
        results, call("optimizer" + std::to_string(index) + ".update", group,
                      shared, old, [&](const Shared &here, const Stored &in) {
                        return update(group, here, in);
                      }));
    const std::string &name = parameter->name;
    binds.push_back(bind({{"class", "parameter"}, {"name", name}}));
    for (const State &state : group.states)
      binds.push_back(bind({{"class", "state"},
                            {"name", state.name},
                            {"parameter", name}}));
  }
}

void Program::buildEvaluation() {
  if (llvm::none_of(groups, [](const Group &group) {
        return evaluateOf(*group.clause);
      }))
    return;
  busy = &request.optimizer;
  const Place &place = request.optimizer.place;
  FuncTrace trace(emit, *module, "enter_evaluation", place, false);
  function = &trace;
  tracer.begin(trace);
  const Function &optimizer =
      text(library.optimizers, request.optimizer, "optimizer");
  NodePtr step = emit.cast(argument({{"class", "step"}}, Type::I64), Type::F64,
                           place);
  NodePtr tokens = emit.cast(argument({{"class", "tokens_seen"}}, Type::I64),
                             Type::F64, place);
  Shared shared{nullptr, nullptr,
                emit.op("==", {step, emit.constant(0, place)}, place),
                scalarSettings(request.optimizer, optimizer)};
  shared.names["step"] = Value{step};
  shared.names["tokens_seen"] = Value{tokens};
  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (auto [index, group] : llvm::enumerate(groups)) {
    if (!evaluateOf(*group.clause))
      continue;
    if (group.pointwise) {
      results.push_back(evaluated(group, shared, storedGroup(index, false)));
      binds.push_back(bind({{"class", "evaluation"}}, index));
      continue;
    }
    for (const Parameter *parameter : group.members) {
      Stored old = storedMember(index, *parameter, false);
      llvm::append_range(
          results,
          call("optimizer" + std::to_string(index) + ".evaluate", group,
               shared, old, [&](const Shared &here, const Stored &in) {
                 return std::vector<NodePtr>{evaluated(group, here, in)};
               }));
      binds.push_back(
          bind({{"class", "evaluation"}, {"name", parameter->name}}));
    }
  }
  trace.finish(results, binds);
}

} // namespace ltc::graph
