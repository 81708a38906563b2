// SPDX-License-Identifier: Apache-2.0
#include "passes/program/Layout.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/Location.h"
#include "passes/memory/Plan.h"

using namespace mlir;

namespace ltc {
using artifact::BufferClass;
using artifact::DType;

DType dtypeOf(Type element) {
  if (element.isF32())
    return DType::f32;
  if (element.isF64())
    return DType::f64;
  if (element.isBF16())
    return DType::bf16;
  unsigned bits = element.getIntOrFloatBitWidth();
  return bits == 64 ? DType::i64 : bits == 32 ? DType::i32 : DType::u8;
}

uint64_t bytesOf(RankedTensorType type) {
  unsigned bits = type.getElementType().getIntOrFloatBitWidth();
  return uint64_t(type.getNumElements()) * std::max(1u, bits / 8);
}

std::string textOf(DictionaryAttr dict, StringRef key) {
  auto text = dict.getAs<StringAttr>(key);
  return text ? text.getValue().str() : "";
}

int64_t numberOf(DictionaryAttr dict, StringRef key, int64_t other) {
  auto number = dict.getAs<IntegerAttr>(key);
  return number ? number.getInt() : other;
}

static std::vector<int64_t> shapeIn(DictionaryAttr dict) {
  if (auto dense = dict.getAs<DenseI64ArrayAttr>("shape"))
    return {dense.asArrayRef().begin(), dense.asArrayRef().end()};
  std::vector<int64_t> shape;
  if (auto list = dict.getAs<ArrayAttr>("shape"))
    for (Attribute size : list)
      shape.push_back(cast<IntegerAttr>(size).getInt());
  return shape;
}

static SmallVector<DictionaryAttr> rows(ModuleOp module, StringRef name) {
  SmallVector<DictionaryAttr> result;
  if (auto list = module->getAttrOfType<ArrayAttr>(name))
    for (Attribute row : list)
      result.push_back(cast<DictionaryAttr>(row));
  return result;
}

/// True if the group's clause says `evaluate with`.
static bool isEvaluated(ModuleOp module, int64_t group) {
  auto list = module->getAttrOfType<ArrayAttr>("ltc.evaluated");
  return list && llvm::any_of(list, [&](Attribute entry) {
           return cast<IntegerAttr>(entry).getInt() == group;
         });
}

/// One text per meaning; a `kind` of an input does not tell buffers apart.
static std::string keyOf(DictionaryAttr bind) {
  std::string key = textOf(bind, "class");
  for (StringRef field : {"name", "key", "parameter"})
    if (bind.get(field))
      key += ":" + textOf(bind, field);
  if (bind.get("group"))
    key += "#" + std::to_string(numberOf(bind, "group", 0));
  return key;
}

LogicalResult Layout::build() {
  if (failed(placeParameters()))
    return failure();
  addScalars();
  addTerms();
  addWellknown();
  return success();
}

uint32_t Layout::addBuffer(std::string name, BufferClass kind, DType dtype,
                           ArrayRef<int64_t> shape, uint64_t offset,
                           uint64_t bytes, std::string line) {
  auto buffer = std::make_unique<artifact::BufferT>();
  buffer->name = std::move(name);
  buffer->class_ = kind;
  buffer->dtype = dtype;
  buffer->shape.assign(shape.begin(), shape.end());
  buffer->offset = offset;
  buffer->bytes = bytes;
  buffer->line = std::move(line);
  reserve(kind, alignUp(offset + bytes));
  artifact.buffers.push_back(std::move(buffer));
  return uint32_t(artifact.buffers.size() - 1);
}

void Layout::reserve(BufferClass kind, uint64_t bytes) {
  uint64_t &arena = arenas[int(kind)];
  arena = std::max(arena, bytes);
}

uint32_t Layout::append(std::string name, BufferClass kind, DType dtype,
                        ArrayRef<int64_t> shape, uint64_t bytes,
                        std::string line) {
  return addBuffer(std::move(name), kind, dtype, shape, arenaBytes(kind), bytes,
                   std::move(line));
}

LogicalResult Layout::placeParameters() {
  std::map<std::string, DictionaryAttr> byName;
  for (DictionaryAttr dict : rows(module, "ltc.parameters"))
    byName[textOf(dict, "name")] = dict;
  auto lists = module->getAttrOfType<ArrayAttr>("ltc.groups");
  uint64_t at = 0;
  std::map<std::string, Place> places;
  for (Attribute list : lists ? lists : ArrayAttr::get(module.getContext(), {})) {
    uint64_t begin = at;
    for (Attribute name : cast<ArrayAttr>(list)) {
      std::string text = cast<StringAttr>(name).getValue().str();
      if (!byName.count(text))
        return module.emitError("ltc.groups names parameter ")
               << text << ", which ltc.parameters lacks";
      uint64_t bytes = 4;
      for (int64_t size : shapeIn(byName[text]))
        bytes *= uint64_t(size);
      places[text] = {at, bytes};
      at += alignUp(bytes); // 16 floats
    }
    groups.push_back({begin, at - begin});
  }
  if (failed(placeStates(groups.size())))
    return failure();
  // Frozen parameters lie behind the groups and have no gradient.
  for (DictionaryAttr dict : rows(module, "ltc.parameters")) {
    std::string name = textOf(dict, "name");
    if (!places.count(name)) {
      uint64_t bytes = 4;
      for (int64_t size : shapeIn(dict))
        bytes *= uint64_t(size);
      places[name] = {at, bytes};
      at += alignUp(bytes);
    }
    addParameter(dict, places[name]);
  }
  addGroups();
  return success();
}

/// By name, then group. A state of the weight's shape is laid out like its
/// group; one number serves a whole group; any other shape is one place per
/// parameter, one after another.
LogicalResult Layout::placeStates(uint64_t groupCount) {
  statesOfGroup.resize(groupCount);
  SmallVector<DictionaryAttr> all = rows(module, "ltc.states");
  std::vector<std::string> names;
  for (DictionaryAttr state : all) {
    if (uint64_t(numberOf(state, "group", 0)) >= groupCount)
      return module.emitError("ltc.states names group ")
             << numberOf(state, "group", 0) << ", which ltc.groups lacks";
    if (!llvm::is_contained(names, textOf(state, "name")))
      names.push_back(textOf(state, "name"));
  }
  uint64_t at = 0;
  for (const std::string &name : names)
    for (DictionaryAttr state : all) {
      if (textOf(state, "name") != name)
        continue;
      uint64_t group = numberOf(state, "group", 0);
      StatePlace entry{name, {at, groups[group].bytes}, std::nullopt};
      if (state.get("shape")) {
        entry.shape = shapeIn(state);
        entry.place.bytes = 4;
        for (int64_t size : *entry.shape)
          entry.place.bytes *= uint64_t(size);
        entry.ranges = numberOf(state, "ranges", 0);
      }
      at += alignUp(entry.place.bytes);
      std::string parameter = textOf(state, "parameter");
      std::vector<StatePlace> &whole = statesOfGroup[group];
      if (parameter.empty()) {
        whole.push_back(entry);
        continue;
      }
      statesOfParameter[parameter].push_back(entry);
      if (whole.empty() || whole.back().name != name)
        whole.push_back({name, {entry.place.offset, 0}, std::nullopt});
      whole.back().place.bytes = at - whole.back().place.offset;
    }
  return success();
}

/// The tensors of files that a parameter is made from.
static void readFiles(DictionaryAttr dict, artifact::ParameterT &parameter) {
  auto files = dict.getAs<ArrayAttr>("files");
  for (Attribute entry : files ? files.getValue() : ArrayRef<Attribute>()) {
    auto row = cast<DictionaryAttr>(entry);
    auto file = std::make_unique<artifact::FileTensorT>();
    file->name = textOf(row, "name");
    llvm::append_range(file->shape, shapeIn(row));
    for (Attribute listed : row.getAs<ArrayAttr>("moves")) {
      ArrayRef<int64_t> numbers = cast<DenseI64ArrayAttr>(listed).asArrayRef();
      auto move = std::make_unique<artifact::MoveT>();
      move->from = numbers[0];
      move->to = numbers[1];
      for (size_t n = 2; n < numbers.size(); n += 3) {
        move->sizes.push_back(numbers[n]);
        move->from_steps.push_back(numbers[n + 1]);
        move->to_steps.push_back(numbers[n + 2]);
      }
      file->moves.push_back(std::move(move));
    }
    parameter.files.push_back(std::move(file));
  }
}

/// A parameter as files know it, or the part of one that has a name there.
artifact::ParameterT *Layout::addNamed(DictionaryAttr dict, std::string name,
                                       ArrayRef<int64_t> shape, Place place,
                                       int64_t part, int64_t parts) {
  auto parameter = std::make_unique<artifact::ParameterT>();
  std::string line = textOf(dict, "line"), whole = textOf(dict, "name");
  int64_t group = numberOf(dict, "group", -1);
  auto add = [&](std::string text, BufferClass kind) {
    return addBuffer(std::move(text), kind, DType::f32, shape, place.offset,
                     place.bytes, line);
  };
  parameter->name = name;
  parameter->shape.assign(shape.begin(), shape.end());
  parameter->role = textOf(dict, "role");
  parameter->line = line;
  if (auto decays = dict.getAs<BoolAttr>("decays"))
    parameter->decays = decays.getValue();
  readFiles(dict, *parameter);
  parameter->buffer = add(name, BufferClass::parameter);
  bool trained = group >= 0 && group < int64_t(groups.size());
  if (trained) {
    parameter->gradient = add("gradient of " + name, BufferClass::gradient);
    if (isEvaluated(module, group))
      parameter->evaluation = parameter->gradient;
    auto own = statesOfParameter.find(whole);
    for (const StatePlace &state : own == statesOfParameter.end()
                                       ? statesOfGroup[group]
                                       : own->second)
      addState(*parameter, state, place, groups[group], part, parts);
  }
  artifact.parameters.push_back(std::move(parameter));
  return artifact.parameters.back().get();
}

/// What a part's file shows of a state: its own part, or all of one that is
/// the same for all parts.
void Layout::addState(artifact::ParameterT &parameter, StatePlace state,
                      Place weight, const Place &group, int64_t part,
                      int64_t parts) {
  Place place = state.place;
  std::vector<int64_t> shape = state.shape ? *state.shape : parameter.shape;
  if (!state.shape) { // where the weight lies in its group
    place.offset += weight.offset - group.offset;
    place.bytes = weight.bytes;
  } else if (state.ranges) {
    place.bytes /= uint64_t(parts);
    place.offset += uint64_t(part) * place.bytes;
    shape.erase(shape.begin(), shape.begin() + state.ranges);
  }
  auto entry = std::make_unique<artifact::StateT>();
  entry->name = state.name;
  entry->buffer =
      addBuffer(state.name + " of " + parameter.name, BufferClass::state,
                DType::f32, shape, place.offset, place.bytes, parameter.line);
  parameter.states.push_back(std::move(entry));
}

/// A name that ranges over leading dimensions ("experts.{experts}.w1") is a
/// tensor of the file for each of their indices, one behind the other.
void Layout::addParameter(DictionaryAttr dict, Place place) {
  std::string name = textOf(dict, "name"), line = textOf(dict, "line");
  std::vector<int64_t> shape = shapeIn(dict);
  artifact.parameter_count += place.bytes / 4;
  auto bindWhole = [&](uint32_t buffer, int64_t gradient) {
    byKey["parameter:" + name] = buffer;
    if (gradient < 0)
      return;
    byKey["gradient:" + name] = uint32_t(gradient);
    if (isEvaluated(module, numberOf(dict, "group", -1)))
      byKey["evaluation:" + name] = uint32_t(gradient);
  };
  auto ranges = dict.getAs<ArrayAttr>("ranges");
  if (!ranges || ranges.empty()) {
    artifact::ParameterT *whole = addNamed(dict, name, shape, place, 0, 1);
    bindWhole(whole->buffer, whole->gradient);
    for (const auto &state : whole->states)
      byKey["state:" + state->name + ":" + name] = state->buffer;
    return;
  }
  ArrayRef<int64_t> sizes = ArrayRef(shape).take_front(ranges.size());
  int64_t count = ShapedType::getNumElements(sizes), gradient = -1;
  for (int64_t i = 0; i < count; ++i) {
    std::string own = name;
    int64_t rest = i;
    for (int64_t n = int64_t(sizes.size()) - 1; n >= 0; rest /= sizes[n--]) {
      std::string text = "{" + cast<StringAttr>(ranges[n]).str() + "}";
      for (size_t at; (at = own.find(text)) != std::string::npos;)
        own.replace(at, text.size(), std::to_string(rest % sizes[n]));
    }
    uint64_t bytes = place.bytes / uint64_t(count);
    gradient = addNamed(dict, own, ArrayRef(shape).drop_front(ranges.size()),
                        {place.offset + uint64_t(i) * bytes, bytes}, i, count)
                   ->gradient;
  }
  auto add = [&](std::string text, BufferClass kind, ArrayRef<int64_t> shape,
                 Place place) {
    return addBuffer(std::move(text), kind, DType::f32, shape, place.offset,
                     place.bytes, line);
  };
  uint32_t buffer = add(name, BufferClass::parameter, shape, place);
  if (gradient >= 0)
    gradient = add("gradient of " + name, BufferClass::gradient, shape, place);
  bindWhole(buffer, gradient);
  for (const StatePlace &state : statesOfParameter[name])
    byKey["state:" + state.name + ":" + name] =
        add(state.name + " of " + name, BufferClass::state, *state.shape,
            state.place);
}

/// A group as one flat tensor, as the optimizer sees it.
void Layout::addGroups() {
  for (auto [g, place] : llvm::enumerate(groups)) {
    int64_t count = int64_t(place.bytes / 4);
    std::string number = std::to_string(g);
    auto add = [&, place = place](std::string name, BufferClass kind,
                                  uint64_t offset) {
      return addBuffer(std::move(name), kind, DType::f32, {count}, offset,
                       place.bytes, "");
    };
    byKey["parameter#" + number] =
        add("group " + number, BufferClass::parameter, place.offset);
    byKey["gradient#" + number] = add("gradient of group " + number,
                                      BufferClass::gradient, place.offset);
    groupGradients.push_back(byKey["gradient#" + number]);
    if (isEvaluated(module, g)) {
      byKey["evaluation#" + number] = groupGradients.back();
      evaluationWeights.push_back(groupGradients.back());
    }
    for (const StatePlace &state : statesOfGroup[g]) {
      uint64_t bytes = state.place.bytes;
      std::vector<int64_t> shape = {int64_t(bytes / 4)};
      byKey["state:" + state.name + "#" + number] = addBuffer(
          state.name + " of group " + number, BufferClass::state, DType::f32,
          state.shape ? *state.shape : shape, state.place.offset, bytes, "");
    }
  }
}

static artifact::ScalarType scalarType(const std::string &name) {
  for (artifact::ScalarType type : artifact::EnumValuesScalarType())
    if (name == artifact::EnumNameScalarType(type))
      return type;
  return artifact::ScalarType::number;
}

void Layout::addScalars() {
  for (DictionaryAttr dict : rows(module, "ltc.scalars")) {
    auto scalar = std::make_unique<artifact::ScalarT>();
    scalar->key = textOf(dict, "key");
    scalar->type = scalarType(textOf(dict, "type"));
    scalar->unit = textOf(dict, "unit");
    scalar->check = textOf(dict, "check");
    scalar->help = textOf(dict, "help");
    scalar->line = textOf(dict, "line");
    if (auto value = dict.getAs<FloatAttr>("value"))
      scalar->value = value.getValueAsDouble();
    else
      scalar->value = double(numberOf(dict, "value", 0));
    scalar->buffer = byKey["scalar:" + scalar->key] =
        append(scalar->key, BufferClass::scalar, DType::f64, {}, 8,
               scalar->line);
    artifact.scalars.push_back(std::move(scalar));
  }
}

void Layout::addTerms() {
  for (DictionaryAttr dict : rows(module, "ltc.terms")) {
    auto term = std::make_unique<artifact::TermT>();
    term->name = textOf(dict, "name");
    term->count_input = textOf(dict, "count_input");
    term->weight_key = textOf(dict, "weight_key");
    term->sum = byKey["term:" + term->name] = append(
        "sum of " + term->name, BufferClass::output, DType::f32, {}, 4);
    term->inverse_count = byKey["inverse_count:" + term->name] =
        append("1 / count of " + term->name, BufferClass::scalar, DType::f64,
               {}, 8);
    artifact.terms.push_back(std::move(term));
  }
}

void Layout::addWellknown() {
  auto add = [&](const char *key, BufferClass kind, DType dtype) {
    uint64_t bytes = dtype == DType::f32 || dtype == DType::i32 ? 4 : 8;
    std::string name = StringRef(key).split(':').second.str();
    return byKey[key] =
               append(name.empty() ? key : name, kind, dtype, {}, bytes);
  };
  auto known = std::make_unique<artifact::WellknownT>();
  known->step = add("step", BufferClass::state, DType::i64);
  known->tokens_seen = add("tokens_seen", BufferClass::state, DType::i64);
  known->step_tokens = add("step_tokens", BufferClass::scalar, DType::f64);
  known->ok = add("output:ok", BufferClass::output, DType::f32);
  known->grad_norm = add("output:grad_norm", BufferClass::output, DType::f32);
  known->lr = add("output:lr", BufferClass::output, DType::f32);
  known->seed = add("seed", BufferClass::scalar, DType::i64);
  known->attempt = add("attempt", BufferClass::scalar, DType::i64);
  artifact.wellknown = std::move(known);
}

static BufferClass classOf(StringRef name) {
  if (name == "input")
    return BufferClass::io;
  if (name == "output")
    return BufferClass::output;
  if (name == "state")
    return BufferClass::state;
  if (name == "cache")
    return BufferClass::cache;
  return BufferClass::scalar; // position, past, first_row
}

FailureOr<uint32_t> Layout::bound(DictionaryAttr bind, RankedTensorType type,
                                  Location loc) {
  std::string key = keyOf(bind), kind = textOf(bind, "class");
  if (evaluating && kind == "parameter")
    if (std::string other = "evaluation:" + textOf(bind, "name");
        byKey.count(other))
      key = other;
  // An input of another shape (batch 1 in predict) is another buffer.
  if (kind == "input")
    for (int64_t size : type.getShape())
      key += "," + std::to_string(size);
  auto found = byKey.find(key);
  if (found == byKey.end()) {
    static const char *const known[] = {"input", "output", "position",
                                        "state", "past",   "cache",
                                        "first_row"};
    if (!llvm::is_contained(known, kind))
      return emitError(loc, "no buffer is bound to ")
             << bind << "; the module's ltc attributes should name it";
    found = byKey
                .try_emplace(key, append(key, classOf(kind),
                                         dtypeOf(type.getElementType()),
                                         type.getShape(), bytesOf(type),
                                         lineOf(loc)))
                .first;
    if (kind == "cache")
      caches.push_back(found->second);
  }
  artifact::BufferT &buffer = *artifact.buffers[found->second];
  if (buffer.bytes != bytesOf(type) ||
      buffer.dtype != dtypeOf(type.getElementType()))
    return emitError(loc, "") << bind << " holds " << buffer.bytes
                              << " bytes of "
                              << artifact::EnumNameDType(buffer.dtype)
                              << ", but is used as " << type;
  if (kind == "position")
    artifact.wellknown->predict_position = int32_t(found->second);
  if (kind == "past")
    artifact.wellknown->past = int32_t(found->second);
  if (kind == "first_row")
    artifact.wellknown->first_row = int32_t(found->second);
  if (key == "output:logits")
    artifact.wellknown->predict_logits = int32_t(found->second);
  return found->second;
}

void Layout::finish() {
  for (int kind = 0; kind <= int(BufferClass::MAX); ++kind) {
    auto arena = std::make_unique<artifact::ArenaT>();
    arena->class_ = BufferClass(kind);
    arena->bytes = arenas[kind];
    artifact.arenas.push_back(std::move(arena));
  }
}

} // namespace ltc
