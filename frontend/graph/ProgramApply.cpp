// SPDX-License-Identifier: Apache-2.0
// @apply: clipping, the guard, the schedule, and the optimizer's clauses
// (ProgramUpdate.cpp) over the groups of parameters.
#include "frontend/graph/Program.h"

using namespace mlir;

namespace ltc::graph {

void Program::buildApply() {
  FuncTrace trace(emit, *module, "apply", request.optimizer.place, false);
  function = &trace;
  tracer.begin(trace);
  const Function &optimizer =
      text(library.optimizers, request.optimizer, "optimizer");
  const Function &schedule =
      text(library.schedules, request.schedule, "schedule");
  const Place &place = request.optimizer.place;
  NodePtr stepBefore = argument({{"class", "step"}}, Type::I64);
  NodePtr tokensBefore = argument({{"class", "tokens_seen"}}, Type::I64);
  NodePtr stepTokens = argument({{"class", "step_tokens"}}, Type::F64);
  NodePtr done = emit.cast(stepBefore, Type::F64, place);
  NodePtr step = emit.op("+", {done, emit.constant(1, place)}, place);
  NodePtr tokens = emit.cast(tokensBefore, Type::F64, place);

  NodePtr squares;
  for (size_t g = 0; g < groups.size(); ++g) {
    Dim *flat = tracer.dimNamed("(group " + std::to_string(g) + ")",
                                groups[g].elements);
    NodePtr gradient = argument({{"class", "gradient"}}, Type::F32, {flat}, g);
    NodePtr sum = emit.sum(emit.op("*", {gradient, gradient}, place), {flat},
                           place);
    squares = squares ? emit.op("+", {squares, sum}, place) : sum;
  }
  NodePtr norm = emit.materialise(emit.op("sqrt", {squares}, place));
  NodePtr ok = emit.op("<", {norm, emit.cast(scalar(request.guard), Type::F32,
                                             place)},
                       place);
  NodePtr scale;
  if (request.clip) {
    NodePtr limit = emit.cast(scalar(*request.clip), Type::F32, place);
    NodePtr ratio = emit.op(
        "/", {limit, emit.op("+", {norm, emit.constant(1e-6, place)}, place)},
        place);
    scale = emit.op("min", {ratio, emit.constant(1, place)}, place);
  }
  std::map<std::string, Value> clock = {{"step", Value{step}},
                                        {"tokens_seen", Value{tokens}}};
  busy = &request.schedule;
  std::map<std::string, Value> names =
      scalarSettings(request.schedule, schedule);
  names.insert(clock.begin(), clock.end());
  NodePtr lr = tracer.node(tracer.traceExpression(schedule, names), place);
  lr = emit.materialise(emit.cast(lr, Type::F64, place));
  busy = &request.optimizer;
  std::map<std::string, Value> shared =
      scalarSettings(request.optimizer, optimizer);
  shared.insert(clock.begin(), clock.end());
  shared["lr"] = Value{lr};

  Shared common{scale, ok, nullptr, std::move(shared)};
  common.first = emit.op("==", {done, emit.constant(0, place)}, place);
  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (size_t g = 0; g < groups.size(); ++g)
    applyGroup(g, common, results, binds);
  auto add = [&](NodePtr node, Type type, DictionaryAttr attribute) {
    results.push_back(emit.materialise(emit.cast(node, type, place)));
    binds.push_back(attribute);
  };
  NodePtr nothing = emit.constant(0, place), one = emit.constant(1, place);
  NodePtr advance = emit.cast(
      emit.op("where", {ok, one, nothing}, place), Type::F64, place);
  add(emit.op("+", {done, advance}, place), Type::I64,
      bind({{"class", "step"}}));
  add(emit.op("+", {tokens, emit.op("*", {advance, stepTokens}, place)}, place),
      Type::I64, bind({{"class", "tokens_seen"}}));
  add(advance, Type::F32, bind({{"class", "output"}, {"name", "ok"}}));
  results.push_back(norm);
  binds.push_back(bind({{"class", "output"}, {"name", "grad_norm"}}));
  add(lr, Type::F32, bind({{"class", "output"}, {"name", "lr"}}));
  trace.finish(results, binds);
}

} // namespace ltc::graph
