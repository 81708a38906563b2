// SPDX-License-Identifier: Apache-2.0
// @init: numbers from a hash of (seed, name, element), so that they do not
// depend on order, threads or layout.
#include "frontend/graph/Program.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

/// A 32-bit mix of (position, key, seed): a counter-based generator.
/// Constants: Wellons, "Prospecting for Hash Functions", lowbias32.
NodePtr Program::hashed(NodePtr position, uint32_t key, NodePtr seed) {
  const Place &place = model->place;
  auto word = [&](uint32_t bits) {
    return emit.constant(double(int32_t(bits)), place);
  };
  auto xorShift = [&](NodePtr x, uint32_t by) {
    return emit.op("xor", {x, emit.op("shr", {x, word(by)}, place)}, place);
  };
  auto mix = [&](NodePtr x) {
    x = emit.op("*", {xorShift(x, 16), word(0x21f0aaad)}, place);
    x = emit.op("*", {xorShift(x, 15), word(0x735a2d97)}, place);
    return xorShift(x, 15);
  };
  NodePtr x = mix(emit.op("xor", {position, word(key)}, place));
  return mix(emit.op("+", {x, seed}, place));
}

NodePtr Program::initial(const Parameter &parameter, NodePtr seed) {
  const Place &place = parameter.place;
  auto number = [&](double value) { return emit.constant(value, place); };
  if (parameter.init != "normal") {
    NodePtr fill =
        emit.cast(number(parameter.init == "ones"), Type::F32, place);
    fill->dims = parameter.dims;
    return emit.materialise(fill);
  }
  NodePtr position = emit.position(parameter.dims, place);
  uint32_t key = 2166136261u; // FNV-1a of the name
  for (char c : parameter.name)
    key = (key ^ uint8_t(c)) * 16777619u;
  // Box, Muller: two uniforms in (0, 1), 24 bits each.
  auto uniform = [&](uint32_t stream) {
    NodePtr bits = emit.op(
        "shr", {hashed(position, key + stream * 0x9e3779b9u, seed), number(8)},
        place);
    NodePtr real = emit.cast(bits, Type::F32, place);
    return emit.op("*", {emit.op("+", {real, number(0.5)}, place),
                         number(1.0 / 16777216)},
                   place);
  };
  NodePtr radius = emit.op(
      "sqrt",
      {emit.op("*", {number(-2), emit.op("log", {uniform(0)}, place)}, place)},
      place);
  NodePtr angle =
      emit.op("cos", {emit.op("*", {uniform(1), number(2 * M_PI)}, place)},
              place);
  NodePtr normal = emit.op("*", {radius, angle}, place);
  NodePtr value =
      emit.op("*", {normal, number(parameter.scale)}, place);
  value->outer.reset();
  return emit.materialise(value, parameter.dims);
}

/// A block's parameters from a seed, and the next call's seed: one function
/// for all layers, so that kernels do not grow with depth.
func::FuncOp Program::initOfBlock(const Tracer::BlockCall &call) {
  std::string name = "init." + call.symbol;
  if (auto known = module->lookupSymbol<func::FuncOp>(name))
    return known;
  OpBuilder::InsertionGuard guard(builder);
  FuncTrace trace(emit, *module, name, model->place, true);
  NodePtr seed = trace.argument(nullptr, Type::I32, {}, model->place);
  std::vector<NodePtr> results;
  for (const Parameter &parameter : call.own)
    results.push_back(initial(parameter, seed));
  const Place &place = model->place;
  NodePtr one = emit.cast(emit.constant(1, place), Type::I32, place);
  results.push_back(emit.materialise(hashed(one, 0, seed)));
  trace.finish(results, {});
  return trace.function;
}

void Program::buildInit() {
  FuncTrace trace(emit, *module, "init", model->place, false);
  function = &trace;
  tracer.begin(trace);
  NodePtr seed = emit.cast(argument({{"class", "seed"}}, Type::I64), Type::I32,
                           model->place);
  seed = emit.materialise(seed);
  std::map<std::string, NodePtr> made;
  mlir::Value chain = seed->value;
  for (const Tracer::BlockCall &call : tracer.calls) {
    if (call.names.empty() || made.count(call.names[0]))
      continue;
    auto op = func::CallOp::create(builder, emit.at(model->place),
                                   initOfBlock(call), chain);
    for (auto [n, own] : llvm::enumerate(call.own))
      made[call.names[n]] =
          emit.leaf(op.getResult(n), own.dims, Type::F32, own.place);
    chain = op.getResults().back();
  }
  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (const Parameter &parameter : tracer.parameters) {
    auto known = made.find(parameter.name);
    results.push_back(known == made.end() ? initial(parameter, seed)
                                          : known->second);
    binds.push_back(bind({{"class", "parameter"}, {"name", parameter.name}}));
  }
  // A group's states of one name lie one after another: one fill.
  for (size_t g = 0; g < groups.size(); ++g)
    for (const State &state : groups[g].states) {
      int64_t elements = groups[g].elements;
      if (!groups[g].pointwise && state.dims) {
        elements = 1;
        for (Dim *dim : stateDims(groups[g], state))
          elements *= dim->size;
        elements = groups[g].members.size() * llvm::alignTo(elements, 16);
      }
      NodePtr zero =
          emit.cast(emit.constant(0, model->place), Type::F32, model->place);
      if (!groups[g].pointwise || !state.dims || !state.dims->empty())
        zero->dims = {tracer.dimNamed("(states)", elements)};
      results.push_back(emit.materialise(zero));
      binds.push_back(bind({{"class", "state"}, {"name", state.name}}, g));
    }
  trace.finish(results, binds);
}

} // namespace ltc::graph
