// SPDX-License-Identifier: Apache-2.0
#include "frontend/graph/Program.h"
#include "frontend/graph/Parser.h"
#include "frontend/texts/Texts.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Verifier.h"
#include "nlohmann/json.hpp"
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace mlir;

namespace ltc::graph {

Program::Program(const Request &request, MLIRContext &context)
    : request(request), builder(&context), emit(builder),
      module(ModuleOp::create(builder.getUnknownLoc())),
      tracer(library, emit, *module) {}

const Function &
Program::text(const std::map<std::string, std::shared_ptr<Function>> &texts,
              const TextUse &use, const std::string &kind) {
  auto found = texts.find(use.name);
  if (found != texts.end())
    return *found->second;
  std::vector<std::string> names;
  std::string all;
  for (auto &[name, unused] : texts) {
    names.push_back(name);
    all += (all.empty() ? "" : ", ") + name;
  }
  std::string near = nearestName(use.name, names);
  refuse(use.place, "no " + kind + " is named '" + use.name + "'" +
                        (near.empty() ? "; there are: " + all
                                      : "; did you mean '" + near + "'?"));
}

/// What a setting must be, from its default: "number", "true or false", "".
static std::string kindOf(const ParameterDecl &decl, const Function &text) {
  const Expr *initial = decl.initial.get();
  if (!initial || initial->kind == Expr::Number ||
      initial->kind == Expr::Unary || initial->kind == Expr::Binary)
    return "number";
  if (initial->kind != Expr::Name)
    return "";
  if (initial->name == "true" || initial->name == "false")
    return "true or false";
  for (const ParameterDecl &other : text.parameters)
    if (other.name == initial->name && &other != &decl)
      return kindOf(other, text);
  return "";
}

static Value valueOf(const std::string &word) {
  char *end = nullptr;
  double number = std::strtod(word.c_str(), &end);
  if (word == "true" || word == "false")
    return Value{word == "true"};
  if (word == "none" || word == "null" || word == "~")
    return Value{None{}};
  if (!word.empty() && *end == '\0' && std::isfinite(number))
    return Value{number};
  return Value{word};
}

/// The spec's settings of a text, each checked to be one that it declares.
Tracer::Given Program::given(const TextUse &use, const Function &text) {
  Tracer::Given result;
  for (const Setting &setting : use.settings) {
    std::vector<std::string> names;
    const ParameterDecl *declared = nullptr;
    for (const ParameterDecl &decl : text.parameters) {
      if (decl.name == setting.name && decl.type.empty())
        declared = &decl;
      names.push_back(decl.name);
    }
    std::string near = nearestName(setting.name, names);
    if (!declared)
      refuse(setting.place,
             "'" + text.name + "' has no setting '" + setting.name + "'" +
                 (near.empty() ? "" : "; did you mean '" + near + "'?"));
    Value value = valueOf(setting.text);
    std::string kind = kindOf(*declared, text);
    if ((kind == "number" && !value.number()) ||
        (kind == "true or false" && !value.truth()))
      refuse(setting.place, "setting '" + setting.name + "' of '" + text.name +
                                "' is " + (kind == "number" ? "a " : "") +
                                kind + ", found '" + setting.text + "'");
    result[setting.name] = value;
  }
  for (const ParameterDecl &decl : text.parameters)
    if (decl.type.empty() && !decl.initial && !result.count(decl.name))
      throw Refusal{use.place,
                    "'" + text.name + "' needs a value for '" + decl.name +
                        "'",
                    {{decl.place, "declared here, without a default"}}};
  return result;
}

DictionaryAttr Program::bind(
    std::initializer_list<std::pair<const char *, std::string>> entries,
    int64_t group) {
  SmallVector<NamedAttribute> attributes;
  for (auto &[key, value] : entries)
    attributes.push_back(
        builder.getNamedAttr(key, builder.getStringAttr(value)));
  if (group >= 0)
    attributes.push_back(
        builder.getNamedAttr("group", builder.getI64IntegerAttr(group)));
  return builder.getDictionaryAttr(attributes);
}
NodePtr Program::argument(
    std::initializer_list<std::pair<const char *, std::string>> entries,
    Type type, Dims dims, int64_t group) {
  return function->argument(bind(entries, group), type, dims,
                            request.model.place);
}

NodePtr Program::scalar(const ScalarSetting &setting) {
  bool known = llvm::any_of(scalars, [&](const ScalarSetting &other) {
    return other.key == setting.key;
  });
  if (!known)
    scalars.push_back(setting);
  NodePtr node =
      argument({{"class", "scalar"}, {"key", setting.key}}, Type::F64);
  return node;
}

/// Settings of a loss, optimizer or schedule: numbers are scalars.
std::map<std::string, Value>
Program::scalarSettings(const TextUse &use, const Function &text) {
  auto places = [&](const std::string &name) {
    for (const Setting &setting : use.settings)
      if (setting.name == name)
        return setting.place;
    return use.place;
  };
  return tracer.readSettings(
      text, given(use, text), [&](const ParameterDecl &decl, double value) {
        return Value{scalar({use.key + "." + decl.name, "", "",
                             "setting " + decl.name + " of " + text.name, value,
                             places(decl.name)})};
      });
}

void Program::buildLoss() {
  tracer.fixedDims = {{"b", request.microBatch}, {"t", request.length}};
  FuncTrace trace(emit, *module, "loss", model->place, false);
  function = &trace;
  tracer.begin(trace);
  for (const LossUse &use : request.losses) {
    busy = &use;
    const Function &loss = text(library.losses, use, "loss");
    auto settings = scalarSettings(use, loss);
    for (Term &term : tracer.traceLoss(loss, settings)) {
      for (const Term &other : terms)
        if (other.name == term.name)
          refuse(use.place, "two losses have a term named '" + term.name + "'");
      bool listed = term.name == use.name;
      termWeights.push_back(listed ? use.weightKey : "");
      if (listed)
        scalars.push_back({use.weightKey, "", "",
                           "weight of the term " + term.name, use.weight,
                           use.place});
      terms.push_back(term);
    }
  }
  if (llvm::all_of(termWeights, [](auto &key) { return key.empty(); }))
    refuse(request.model.place,
           "no term is trained: a loss needs a term of its own name");
  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (const Term &term : terms) {
    results.push_back(term.sum);
    binds.push_back(bind({{"class", "term"}, {"name", term.name}}));
  }
  trace.finish(results, binds);
}

/// logits[vocab] at one position of a batch of one.
void Program::buildPredict() {
  Tracer single(library, emit, *module);
  single.settings = tracer.settings;
  single.model = model;
  single.symbolPrefix = "predict.";
  single.fixedDims = {{"b", 1}, {"t", request.length}};
  FuncTrace trace(emit, *module, "predict", model->place, false);
  function = &trace;
  single.begin(trace);
  busy = &request.model;
  Value value = single.applyModel(*model);
  if (!value.node())
    refuse(model->place, "the model '" + model->name +
                             "' must return one tensor of logits");
  NodePtr logits = std::get<NodePtr>(value.is);
  Dim *b = single.dimNamed("b", 1), *t = single.dimNamed("t", request.length);
  if (logits->dims.size() != 3 || logits->dims[0] != b || logits->dims[1] != t)
    refuse(model->place, "the model must return logits[b, t, vocab], found " +
                             show("value", logits->dims));
  vocab = logits->dims[2]->size;
  NodePtr position = argument({{"class", "position"}}, Type::I32);
  const Place &place = model->place;
  NodePtr here = emit.op("==", {emit.index(t, place), position}, place);
  NodePtr row = emit.materialise(
      emit.op("where", {here, logits, emit.constant(0, place)}, place),
      logits->dims);
  NodePtr out = emit.reduce(ReduceKind::Sum, row, {b, t}, place);
  trace.finish({out}, {bind({{"class", "output"}, {"name", "logits"}})});
}

std::vector<std::string> Program::statesOf(const Function::Clause &clause) {
  std::vector<std::string> names;
  for (const StmtPtr &stmt : clause.body)
    if (stmt->kind == Stmt::State)
      for (const Stmt::Target &target : stmt->targets)
        names.push_back(target.name);
  return names;
}

void Program::formGroups() {
  busy = &request.optimizer;
  const Function &optimizer =
      text(library.optimizers, request.optimizer, "optimizer");
  const Function::Clause &clause = optimizer.clauses.front();
  if (clause.pattern.size() != 1 || clause.pattern[0].kind != DimSpec::Rest)
    refuse(clause.place, "a clause by the file's dimensions (rule 13 of the "
                         "graph language) is not available in this version of "
                         "ltc: write on weight[..]");
  for (bool decays : {true, false}) {
    Group group{&clause, decays, {}, 0};
    for (const Parameter &parameter : tracer.parameters)
      if (parameter.decays == decays) {
        group.members.push_back(&parameter);
        group.elements += llvm::alignTo(parameter.elements(), 16);
      }
    if (!group.members.empty())
      groups.push_back(group);
  }
}

void Program::applyGroup(size_t index, NodePtr scale, NodePtr ok,
                         const std::map<std::string, Value> &shared,
                         std::vector<NodePtr> &results,
                         std::vector<DictionaryAttr> &binds) {
  Group &group = groups[index];
  Dim *flat = tracer.dimNamed("(group " + std::to_string(index) + ")",
                              group.elements);
  const Place &place = group.clause->place;
  std::map<std::string, Value> names = shared;
  NodePtr weight =
      argument({{"class", "parameter"}}, Type::F32, {flat}, index);
  NodePtr gradient =
      argument({{"class", "gradient"}}, Type::F32, {flat}, index);
  names["weight"] = Value{weight};
  names["grad"] =
      Value{scale ? emit.op("*", {gradient, scale}, place) : gradient};
  names["decays"] = Value{group.decays};
  std::map<std::string, NodePtr> old = {{"weight", weight}};
  for (const std::string &state : statesOf(*group.clause)) {
    old[state] = argument({{"class", "state"}, {"name", state}}, Type::F32,
                          {flat}, index);
    names[state] = Value{old[state]};
  }
  std::map<std::string, Value> after =
      tracer.traceClause(*group.clause, std::move(names));
  auto keep = [&](const std::string &name, DictionaryAttr attribute) {
    NodePtr fresh = tracer.node(after[name], place);
    results.push_back(
        emit.materialise(emit.op("where", {ok, fresh, old[name]}, place)));
    binds.push_back(attribute);
  };
  keep("weight", bind({{"class", "parameter"}}, index));
  for (const std::string &state : statesOf(*group.clause))
    keep(state, bind({{"class", "state"}, {"name", state}}, index));
}

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

  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (size_t g = 0; g < groups.size(); ++g)
    applyGroup(g, scale, ok, shared, results, binds);
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
  NodePtr position = number(0);
  int64_t stride = 1;
  for (auto dim = parameter.dims.rbegin(); dim != parameter.dims.rend();
       ++dim) {
    NodePtr step = emit.op("*", {emit.index(*dim, place), number(stride)},
                           place);
    position = stride == 1 ? step : emit.op("+", {step, position}, place);
    stride *= (*dim)->size;
  }
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

void Program::buildInit() {
  FuncTrace trace(emit, *module, "init", model->place, false);
  function = &trace;
  tracer.begin(trace);
  NodePtr seed = emit.cast(argument({{"class", "seed"}}, Type::I64), Type::I32,
                           model->place);
  seed = emit.materialise(seed);
  std::vector<NodePtr> results;
  std::vector<DictionaryAttr> binds;
  for (const Parameter &parameter : tracer.parameters) {
    results.push_back(initial(parameter, seed));
    binds.push_back(bind({{"class", "parameter"}, {"name", parameter.name}}));
  }
  for (size_t g = 0; g < groups.size(); ++g)
    for (const std::string &state : statesOf(*groups[g].clause)) {
      NodePtr zero =
          emit.cast(emit.constant(0, model->place), Type::F32, model->place);
      zero->dims = {tracer.dimNamed("(group " + std::to_string(g) + ")",
                                    groups[g].elements)};
      results.push_back(emit.materialise(zero));
      binds.push_back(bind({{"class", "state"}, {"name", state}}, g));
    }
  trace.finish(results, binds);
}

static std::string lineOf(const Place &place) {
  return place.file + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

/// config.json from the text's own lines; "" if the text has none.
std::string Program::configJson() {
  nlohmann::ordered_json json;
  auto put = [&](const std::string &key, const Value &value) {
    if (value.none())
      json[key] = nullptr;
    else if (value.truth())
      json[key] = std::get<bool>(value.is);
    else if (value.text())
      json[key] = std::get<std::string>(value.is);
    else if (value.number()) {
      double number = std::get<double>(value.is);
      if (number == std::floor(number) && std::abs(number) < 9e15)
        json[key] = int64_t(number);
      else
        json[key] = number;
    } else if (auto *list = std::get_if<std::vector<Value>>(&value.is)) {
      json[key] = nlohmann::json::array();
      for (const Value &item : *list)
        if (item.text())
          json[key].push_back(std::get<std::string>(item.is));
    }
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
  SmallVector<Attribute> parameters, groupList, states, termList, scalarList;
  for (const Parameter &parameter : tracer.parameters) {
    int64_t group = 0;
    for (auto [g, candidate] : llvm::enumerate(groups))
      if (llvm::is_contained(candidate.members, &parameter))
        group = g;
    parameters.push_back(dictionary(
        {{"name", text(parameter.name)},
         {"shape", builder.getDenseI64ArrayAttr(parameter.fileShape())},
         {"role", text(parameter.role)},
         {"decays", builder.getBoolAttr(parameter.decays)},
         {"group", builder.getI64IntegerAttr(group)},
         {"init", text(parameter.init)},
         {"line", text(lineOf(parameter.place))}}));
  }
  for (auto [g, group] : llvm::enumerate(groups)) {
    SmallVector<Attribute> members;
    for (const Parameter *parameter : group.members)
      members.push_back(text(parameter->name));
    groupList.push_back(builder.getArrayAttr(members));
    for (const std::string &state : statesOf(*group.clause))
      states.push_back(dictionary({{"group", builder.getI64IntegerAttr(g)},
                                   {"name", text(state)}}));
  }
  for (auto [term, key] : llvm::zip(terms, termWeights))
    termList.push_back(dictionary({{"name", text(term.name)},
                                   {"count_input", text(term.countInput)},
                                   {"weight_key", text(key)}}));
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
  op->setAttr("ltc.terms", builder.getArrayAttr(termList));
  op->setAttr("ltc.scalars", builder.getArrayAttr(scalarList));
  op->setAttr("ltc.micro_batch", builder.getI64IntegerAttr(request.microBatch));
  op->setAttr("ltc.length", builder.getI64IntegerAttr(request.length));
  op->setAttr("ltc.vocab", builder.getI64IntegerAttr(vocab));
  op->setAttr("ltc.config_json", text(configJson()));
}

/// A text and what it uses, used ones first: its own names win.
void Program::addText(const std::string &content, const std::string &path) {
  if (!texts.insert(path).second)
    return;
  File file = parse(content, path);
  for (auto &[used, place] : file.uses) {
    std::filesystem::path full =
        std::filesystem::path(path).parent_path() / used;
    std::ifstream in(full);
    std::stringstream text;
    text << in.rdbuf();
    if (!in)
      refuse(place, "cannot read the text \"" + used + "\": there is no " +
                        full.lexically_normal().string());
    addText(text.str(), full.lexically_normal().string());
  }
  library.add(file);
}

OwningOpRef<ModuleOp> Program::build() {
  try {
    buildAll();
  } catch (Refusal &refusal) {
    // An error in a text also says which line of the spec chose the text.
    const TextUse *chosen = busy;
    for (auto &[name, text] : library.models)
      if (text->place.file == refusal.place.file &&
          name == request.model.name)
        chosen = &request.model;
    if (chosen && refusal.place.file != chosen->place.file)
      refusal.notes.push_back({chosen->place, "while compiling '" +
                                                  chosen->name +
                                                  "', chosen here"});
    throw;
  }
  return std::move(module);
}

void Program::buildAll() {
  for (const LibraryText &text : libraryTexts())
    addText(std::string(text.text), std::string(text.path));
  for (auto &[path, content] : request.texts)
    addText(content, path);
  busy = &request.model;
  model = &text(library.models, request.model, "architecture");
  tracer.model = model;
  tracer.settings =
      tracer.readSettings(*model, given(request.model, *model), nullptr);
  buildLoss();
  formGroups();
  buildPredict();
  buildApply();
  buildInit();
  setAttributes();
}

OwningOpRef<ModuleOp> buildProgram(const Request &request,
                                   MLIRContext &context) {
  context.loadDialect<LtcDialect, func::FuncDialect, arith::ArithDialect,
                      math::MathDialect>();
  try {
    OwningOpRef<ModuleOp> module = Program(request, context).build();
    if (failed(verify(*module)))
      return nullptr;
    return module;
  } catch (const Refusal &refusal) {
    auto at = [&](const Place &place) {
      return FileLineColLoc::get(&context, place.file, place.line,
                                 place.column);
    };
    InFlightDiagnostic error = emitError(at(refusal.place)) << refusal.message;
    for (auto &[place, note] : refusal.notes)
      error.attachNote(at(place)) << note;
    return nullptr;
  }
}

} // namespace ltc::graph
