// SPDX-License-Identifier: Apache-2.0
#include "frontend/graph/Program.h"
#include "frontend/graph/Parser.h"
#include "frontend/texts/Texts.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/SaveAndRestore.h"
#include "mlir/IR/Verifier.h"
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

/// A scalar that may be none: the program is then compiled without it.
static bool isOptional(const ParameterDecl &decl) {
  return decl.isScalar && decl.initial && decl.initial->kind == Expr::Name &&
         decl.initial->name == "none";
}

/// What a setting must be, from its default: "number", "true or false", "".
static std::string kindOf(const ParameterDecl &decl, const Function &text) {
  const Expr *initial = decl.initial.get();
  if (!initial || decl.isScalar || initial->kind == Expr::Number ||
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
    std::string all;
    const ParameterDecl *declared = nullptr;
    for (const ParameterDecl &decl : text.parameters) {
      if (decl.name == setting.name && decl.type.empty())
        declared = &decl;
      if (!decl.type.empty())
        continue; // a policy or a batch, not a setting
      names.push_back(decl.name);
      all += (all.empty() ? "" : ", ") + decl.name;
    }
    std::string near = nearestName(setting.name, names);
    if (!declared)
      refuse(setting.place,
             "'" + text.name + "' has no setting '" + setting.name + "'" +
                 (all.empty()    ? "; it has none"
                  : near.empty() ? "; there are: " + all
                                 : "; did you mean '" + near + "'?"));
    Value value = valueOf(setting.text);
    std::string kind = kindOf(*declared, text);
    bool optional = isOptional(*declared);
    if ((kind == "number" && !value.number() && !(optional && value.none())) ||
        (kind == "true or false" && !value.truth()))
      refuse(setting.place, "setting '" + setting.name + "' of '" + text.name +
                                "' is " + (kind == "number" ? "a " : "") +
                                kind + (optional ? " or none" : "") +
                                ", found '" + setting.text + "'");
    result[setting.name] = value;
  }
  for (const ParameterDecl &decl : text.parameters)
    for (const Setting &offer : use.offered)
      if (decl.name == offer.name)
        result.try_emplace(offer.name, valueOf(offer.text));
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
        if (decl.isStatic)
          return Value{value};
        return Value{scalar({use.key + "." + decl.name, "", "",
                             "setting " + decl.name + " of " + text.name, value,
                             places(decl.name)})};
      });
}

/// The model's settings: structure, but for those declared as scalars.
std::map<std::string, Value> Program::modelSettings() {
  const TextUse &use = request.model;
  return tracer.readSettings(
      *model, given(use, *model),
      [&](const ParameterDecl &decl, double value) {
        if (!decl.isScalar)
          return Value{value};
        if (value == 0 && isOptional(decl)) // as none: costs nothing
          return Value{None{}};
        Place place = decl.place;
        for (const Setting &setting : use.settings)
          if (setting.name == decl.name)
            place = setting.place;
        tracer.scalars[decl.name] = {use.key + "." + decl.name, "", "",
                                     "setting " + decl.name + " of " +
                                         model->name,
                                     value, place};
        return Value{value};
      });
}

/// A further result of @loss; trained if the spec weighs it.
void Program::enterTerm(const Term &term, const LossUse *use,
                        const Place &place) {
  for (const Term &other : terms)
    if (other.name == term.name)
      refuse(place, "two losses have a term named '" + term.name + "'");
  termWeights.push_back(use ? use->weightKey : "");
  if (use)
    scalars.push_back({use->weightKey, "", "", "weight of the term " + term.name,
                       use->weight, use->place});
  terms.push_back(term);
}

void Program::buildLoss() {
  tracer.fixedDims = {{"b", request.microBatch}, {"t", request.length}};
  FuncTrace trace(emit, *module, "loss", model->place, false);
  function = &trace;
  tracer.begin(trace);
  llvm::SaveAndRestore draws(tracer.draws, true);
  std::vector<const LossUse *> named; // terms by name, not losses
  for (const LossUse &use : request.losses)
    if (!library.losses.count(use.name))
      named.push_back(&use);
  auto enterNamed = [&](const Term &term, const Place &place) {
    auto found = llvm::find_if(named, [&](const LossUse *use) {
      return use->name == term.name && use->settings.empty();
    });
    const LossUse *use = found == named.end() ? nullptr : *found;
    enterTerm(term, use, use ? use->place : place);
    llvm::erase(named, use);
  };
  for (const LossUse &use : request.losses) {
    if (!library.losses.count(use.name))
      continue;
    busy = &use;
    const Function &loss = text(library.losses, use, "loss");
    auto settings = scalarSettings(use, loss);
    for (Term &term : tracer.traceLoss(loss, settings))
      term.name == use.name ? enterTerm(term, &use, use.place)
                            : enterNamed(term, use.place);
  }
  for (const Term &term : tracer.modelTerms)
    enterNamed(term, model->place);
  for (const LossUse *use : named) {
    busy = use;
    (void)text(library.losses, *use, // refuses
               terms.empty() ? "loss" : "loss or term");
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
  single.scalars = tracer.scalars;
  single.model = model;
  single.columns = request.columns;
  single.symbolPrefix = "predict.";
  single.dropsTerms = true;
  single.fixedDims = {{"b", 1}, {"t", request.length}};
  FuncTrace trace(emit, *module, "predict", model->place, false);
  function = &trace;
  single.begin(trace);
  busy = &request.model;
  Value value = single.applyModel(*model);
  // Of several values the first is what generation reads.
  if (auto *several = std::get_if<std::vector<Value>>(&value.is))
    value = Value(several->front());
  if (!value.node())
    refuse(model->place, "the model '" + model->name +
                             "' must return a tensor of logits first");
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

/// A body, or a block or loop in it, states a term.
static bool statesTerms(const Body &body) {
  return llvm::any_of(body, [](const StmtPtr &statement) {
    return statement->kind == Stmt::Term || statesTerms(statement->body) ||
           statesTerms(statement->otherwise) ||
           (statement->function && statesTerms(statement->function->body));
  });
}

void Program::checkUses() {
  Refusals refusals;
  auto check = [&](auto &texts, const TextUse &use, const char *kind) {
    try {
      given(use, text(texts, use, kind));
    } catch (const Refusal &refusal) {
      refusals.list.push_back(refusal);
    }
  };
  check(library.models, request.model, "architecture");
  auto known = library.models.find(request.model.name);
  bool hasTerms =
      known != library.models.end() && statesTerms(known->second->body);
  for (const LossUse &loss : request.losses)
    if (auto found = library.losses.find(loss.name);
        found != library.losses.end())
      hasTerms |= 1 < llvm::count_if(found->second->body, [](auto &statement) {
                    return statement->kind == Stmt::Term;
                  });
  for (const LossUse &loss : request.losses)
    if (!hasTerms || library.losses.count(loss.name)) // else a term's name?
      check(library.losses, loss, "loss");
  check(library.optimizers, request.optimizer, "optimizer");
  check(library.schedules, request.schedule, "schedule");
  if (!refusals.list.empty())
    throw refusals;
}

void Program::buildAll() {
  for (const LibraryText &text : libraryTexts())
    addText(std::string(text.text), std::string(text.path));
  for (auto &[path, content] : request.texts)
    addText(content, path);
  checkUses();
  busy = &request.model;
  model = &text(library.models, request.model, "architecture");
  tracer.model = model;
  tracer.columns = request.columns;
  tracer.settings = modelSettings();
  buildLoss();
  formGroups();
  buildPredict();
  buildApply();
  buildEvaluation();
  buildInit();
  setAttributes();
}

OwningOpRef<ModuleOp> buildProgram(const Request &request,
                                   MLIRContext &context) {
  context.loadDialect<LtcDialect, func::FuncDialect, arith::ArithDialect,
                      math::MathDialect>();
  auto report = [&](const Refusal &refusal) {
    auto at = [&](const Place &place) {
      return FileLineColLoc::get(&context, place.file, place.line,
                                 place.column);
    };
    InFlightDiagnostic error = emitError(at(refusal.place)) << refusal.message;
    for (auto &[place, note] : refusal.notes)
      error.attachNote(at(place)) << note;
  };
  try {
    OwningOpRef<ModuleOp> module = Program(request, context).build();
    if (failed(verify(*module)))
      return nullptr;
    return module;
  } catch (const Refusal &refusal) {
    report(refusal);
  } catch (const Refusals &refusals) {
    for (const Refusal &refusal : refusals.list)
      report(refusal);
  }
  return nullptr;
}

} // namespace ltc::graph
