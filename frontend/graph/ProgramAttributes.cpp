// SPDX-License-Identifier: Apache-2.0
// The ltc.* attributes of the module, and config.json.
#include "frontend/graph/Program.h"
#include "nlohmann/json.hpp"
#include <cmath>

using namespace mlir;

namespace ltc::graph {

static std::string lineOf(const Place &place) {
  return place.file + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

static nlohmann::ordered_json jsonOf(const Value &value) {
  if (value.truth())
    return std::get<bool>(value.is);
  if (value.text())
    return std::get<std::string>(value.is);
  if (value.number()) {
    double number = std::get<double>(value.is);
    if (number == std::floor(number) && std::abs(number) < 9e15)
      return int64_t(number);
    return number;
  }
  nlohmann::ordered_json result;
  if (auto *list = std::get_if<std::vector<Value>>(&value.is)) {
    result = nlohmann::ordered_json::array();
    for (const Value &item : *list)
      result.push_back(jsonOf(item));
  }
  return result;
}

/// config.json from the text's own lines; "" if the text has none.
std::string Program::configJson() {
  nlohmann::ordered_json json;
  // "rope_scaling.factor" is a member of an object, left out where it is none.
  auto put = [&](const std::string &key, const Value &value) {
    size_t dot = key.find('.');
    if (dot == std::string::npos)
      json[key] = jsonOf(value);
    else if (!value.none())
      json[key.substr(0, dot)][key.substr(dot + 1)] = jsonOf(value);
  };
  for (const Function::Config &config : model->configs) {
    Function probe = *model;
    auto evaluate = [&](const ExprPtr &expr) {
      auto stmt = std::make_shared<Stmt>();
      stmt->kind = Stmt::Return;
      stmt->value = expr;
      probe.body = {stmt};
      return tracer.traceExpression(probe, tracer.settings);
    };
    if (config.condition) {
      Value holds = evaluate(config.condition);
      if (holds.none() || (holds.truth() && !std::get<bool>(holds.is)))
        continue;
    }
    for (auto &[key, expr] : config.entries)
      put(key, evaluate(expr));
    for (const ParameterDecl &decl : model->parameters)
      if (!decl.config.empty())
        put(decl.config, tracer.settings[decl.name]);
    json["torch_dtype"] = "float32";
    return json.dump(2);
  }
  return "";
}

/// Where a parameter's elements lie in files: per file its name, shape and
/// moves, each [from, to, then size, from and to of each digit].
static ArrayAttr filesOf(const Parameter &parameter, Builder &builder) {
  SmallVector<Attribute> files;
  for (const FileTensor &file : parameter.files) {
    SmallVector<Attribute> moves;
    for (const Move &move : parameter.import.moves) {
      if (move.source != file.name)
        continue;
      SmallVector<int64_t> numbers = {move.from, move.to};
      for (const Digit &digit : move.digits)
        numbers.append({digit.size, digit.from, digit.to});
      moves.push_back(builder.getDenseI64ArrayAttr(numbers));
    }
    files.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("name", builder.getStringAttr(file.name)),
         builder.getNamedAttr("shape",
                              builder.getDenseI64ArrayAttr(file.shape())),
         builder.getNamedAttr("moves", builder.getArrayAttr(moves))}));
  }
  return builder.getArrayAttr(files);
}

void Program::setAttributes() {
  auto text = [&](const std::string &value) {
    return Attribute(builder.getStringAttr(value));
  };
  auto dictionary =
      [&](std::initializer_list<std::pair<const char *, Attribute>> entries) {
        SmallVector<NamedAttribute> attributes;
        for (auto &[key, value] : entries)
          attributes.push_back(builder.getNamedAttr(key, value));
        return Attribute(builder.getDictionaryAttr(attributes));
      };
  SmallVector<Attribute> parameters, groupList, states, evaluated, termList,
      scalarList;
  for (const Parameter &parameter : tracer.parameters) {
    int64_t group = 0;
    for (auto [g, candidate] : llvm::enumerate(groups))
      if (llvm::is_contained(candidate.members, &parameter))
        group = g;
    SmallVector<Attribute> ranges;
    for (Dim *dim : parameter.ranges)
      ranges.push_back(text(dim->name));
    parameters.push_back(dictionary(
        {{"name", text(parameter.name)},
         {"ranges", builder.getArrayAttr(ranges)},
         {"shape", builder.getDenseI64ArrayAttr(parameter.fileShape())},
         {"role", text(parameter.role)},
         {"decays", builder.getBoolAttr(parameter.decays)},
         {"group", builder.getI64IntegerAttr(group)},
         {"init", text(parameter.init)},
         {"files", filesOf(parameter, builder)},
         {"line", text(lineOf(parameter.place))}}));
  }
  for (auto [g, group] : llvm::enumerate(groups)) {
    SmallVector<Attribute> members;
    for (const Parameter *parameter : group.members)
      members.push_back(text(parameter->name));
    groupList.push_back(builder.getArrayAttr(members));
    for (const State &state : group.states) {
      auto row = [&](const Parameter *parameter) {
        SmallVector<NamedAttribute> entries = {
            builder.getNamedAttr("group", builder.getI64IntegerAttr(g)),
            builder.getNamedAttr("name", text(state.name))};
        if (parameter)
          entries.push_back(
              builder.getNamedAttr("parameter", text(parameter->name)));
        // A state that has the rest has the dimensions that names range over.
        bool ranged = !state.dims ||
                      (!state.dims->empty() &&
                       state.dims->front().kind == DimSpec::Rest);
        if (parameter && ranged)
          entries.push_back(builder.getNamedAttr(
              "ranges", builder.getI64IntegerAttr(parameter->ranges.size())));
        if (parameter || (state.dims && state.dims->empty()))
          entries.push_back(builder.getNamedAttr(
              "shape", builder.getDenseI64ArrayAttr(stateShape(
                           group, state, *group.members.front()))));
        states.push_back(builder.getDictionaryAttr(entries));
      };
      if (group.pointwise)
        row(nullptr);
      else
        for (const Parameter *parameter : group.members)
          row(parameter);
    }
    if (evaluateOf(*group.clause))
      evaluated.push_back(builder.getI64IntegerAttr(g));
  }
  for (auto [term, key] : llvm::zip(terms, termWeights))
    termList.push_back(dictionary({{"name", text(term.name)},
                                   {"count_input", text(term.countInput)},
                                   {"training_only",
                                    builder.getBoolAttr(term.ofModel)},
                                   {"weight_key", text(key)}}));
  for (auto &[name, scalar] : tracer.scalars)
    scalars.push_back(scalar);
  for (const ScalarSetting &scalar : scalars)
    scalarList.push_back(
        dictionary({{"key", text(scalar.key)},
                    {"type", text("number")},
                    {"unit", text(scalar.unit)},
                    {"value", builder.getF64FloatAttr(scalar.value)},
                    {"check", text(scalar.check)},
                    {"help", text(scalar.help)},
                    {"line", text(lineOf(scalar.place))}}));
  ModuleOp op = *module;
  op->setAttr("ltc.parameters", builder.getArrayAttr(parameters));
  op->setAttr("ltc.groups", builder.getArrayAttr(groupList));
  op->setAttr("ltc.states", builder.getArrayAttr(states));
  if (!evaluated.empty())
    op->setAttr("ltc.evaluated", builder.getArrayAttr(evaluated));
  op->setAttr("ltc.terms", builder.getArrayAttr(termList));
  op->setAttr("ltc.scalars", builder.getArrayAttr(scalarList));
  op->setAttr("ltc.micro_batch", builder.getI64IntegerAttr(request.microBatch));
  op->setAttr("ltc.length", builder.getI64IntegerAttr(request.length));
  op->setAttr("ltc.vocab", builder.getI64IntegerAttr(vocab));
  op->setAttr("ltc.precision", text(request.precision));
  op->setAttr("ltc.config_json", text(configJson()));
}

} // namespace ltc::graph
