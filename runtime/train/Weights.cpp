// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Weights.h"
#include "runtime/train/FileTensors.h"
#include <cstring>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
namespace ltc {
using namespace artifact;

std::set<std::string> stateNames(const ArtifactT &table) {
  std::set<std::string> names;
  for (const auto &parameter : table.parameters)
    for (const auto &state : parameter->states)
      names.insert(state->name);
  return names;
}

bool hasEvaluationWeights(const Program &program) {
  return program.phase("enter_evaluation") != nullptr;
}

Result<void>
withEvaluationWeights(Program &program,
                      const std::function<Result<void>()> &work) {
  if (!hasEvaluationWeights(program))
    return work();
  LTC_TRY(program.runPhase("enter_evaluation"));
  Result<void> done = work();
  LTC_TRY(program.runPhase("leave_evaluation"));
  return done;
}

/// Where the parameter or its state lies; nothing if it has no such state.
static std::optional<uint32_t> bufferOf(const ParameterT &parameter,
                                        const std::string &state) {
  if (state == kEvaluation && parameter.evaluation >= 0)
    return uint32_t(parameter.evaluation);
  if (state.empty() || state == kEvaluation)
    return parameter.buffer;
  for (const auto &entry : parameter.states)
    if (entry->name == state)
      return entry->buffer;
  return std::nullopt;
}

Snapshot snapshot(const Program &program) {
  Snapshot result;
  auto add = [&](const std::string &state, const ParameterT &parameter,
                 uint32_t buffer) {
    const std::vector<int64_t> &shape = program.table().buffers[buffer]->shape;
    uint64_t elements = 1; // does not overflow: checkArtifact has seen it
    for (int64_t d : shape)
      elements *= uint64_t(d);
    result.files[state].push_back(
        {parameter.name, "F32", shape, elements * sizeof(float),
         [&program, buffer](uint64_t offset, std::span<char> to) {
           return program.read(buffer, to.data(), to.size(), offset);
         }});
  };
  for (const auto &parameter : program.table().parameters) {
    add("", *parameter, parameter->buffer);
    if (hasEvaluationWeights(program))
      add(kEvaluation, *parameter, *bufferOf(*parameter, kEvaluation));
    for (const auto &state : parameter->states)
      add(state->name, *parameter, state->buffer);
  }
  return result;
}

static float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static float fromHalf(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31)
    return fromBits(sign | 0x7f800000 | fraction << 13);
  if (exponent != 0)
    return fromBits(sign | (exponent + 112) << 23 | fraction << 13);
  float value = float(fraction) * 0x1p-24f; // zero or subnormal
  return sign ? -value : value;
}

/// Elements [from, from + count) of a 16-bit tensor as f32.
static void widen(const TensorView &tensor, uint64_t from,
                  std::span<float> values) {
  bool brain = tensor.dtype == "BF16";
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, tensor.data.data() + 2 * (from + i), 2);
    values[i] = brain ? fromBits(uint32_t(bits) << 16) : fromHalf(bits);
  }
}

/// Writes a checked tensor as f32; a 16-bit one is widened piece by piece.
static Result<void> writeFloats(Program &program, uint32_t buffer,
                                const TensorView &tensor) {
  if (tensor.dtype == "F32")
    return program.write(buffer, tensor.data.data(), tensor.data.size());
  std::vector<float> values(1 << 16);
  uint64_t count = tensor.data.size() / 2;
  for (uint64_t at = 0; at < count; at += values.size()) {
    std::span<float> piece =
        std::span(values).first(std::min<uint64_t>(values.size(), count - at));
    widen(tensor, at, piece);
    LTC_TRY(program.write(buffer, piece.data(), piece.size_bytes(), at * 4));
  }
  return {};
}

static Result<void> checkTensor(const std::string &name,
                                const TensorView *tensor,
                                const std::vector<int64_t> &shape) {
  if (!tensor)
    return fail("tensor '" + name + "' is missing; the model needs it with "
                "shape " + shapeText(shape));
  if (tensor->shape != shape)
    return fail("tensor '" + name + "' has shape " +
                shapeText(tensor->shape) + "; the model needs " +
                shapeText(shape));
  if (tensor->dtype != "F32" && tensor->dtype != "BF16" &&
      tensor->dtype != "F16")
    return fail("tensor '" + name + "' has type " + tensor->dtype +
                "; expected F32, BF16 or F16");
  return {};
}

static Result<void> restoreOne(Program &program, const ParameterT &parameter,
                               uint32_t buffer, const TensorView *tensor) {
  LTC_TRY(checkTensor(parameter.name, tensor,
                      program.table().buffers[buffer]->shape));
  return writeFloats(program, buffer, *tensor);
}

/// A parameter that lies otherwise in files, from those.
static Result<void>
importOne(Program &program, const ParameterT &parameter,
          const std::map<std::string, const TensorView *> &tensors) {
  uint64_t elements = 1;
  for (int64_t n : parameter.shape)
    elements *= uint64_t(n);
  std::vector<float> whole(elements);
  for (const auto &file : parameter.files) {
    auto found = tensors.find(file->name);
    const TensorView *view = found == tensors.end() ? nullptr : found->second;
    LTC_TRY(checkTensor(file->name, view, file->shape));
    std::vector<float> values(view->data.size() /
                              (view->dtype == "F32" ? 4 : 2));
    if (view->dtype == "F32")
      std::memcpy(values.data(), view->data.data(), view->data.size());
    else
      widen(*view, 0, values);
    putIn(*file, values, whole);
  }
  return program.write(parameter.buffer, whole.data(),
                       elements * sizeof(float));
}

Result<void> restore(Program &program, const SafetensorsFile &file,
                     const std::string &state, bool exact) {
  size_t used = 0;
  for (const auto &parameter : program.table().parameters) {
    std::optional<uint32_t> buffer = bufferOf(*parameter, state);
    if (!buffer)
      continue;
    LTC_TRY(restoreOne(program, *parameter, *buffer,
                       file.find(parameter->name)));
    ++used;
  }
  if (exact && used != file.tensors().size())
    return fail("the file has " + std::to_string(file.tensors().size()) +
                " tensors, the model " + std::to_string(used));
  return {};
}

/// The names of the folder's safetensors files.
static Result<std::set<std::string>> modelFiles(const fs::path &folder) {
  if (fs::exists(folder / "model.safetensors"))
    return std::set<std::string>{"model.safetensors"};
  fs::path index = folder / "model.safetensors.index.json";
  if (!fs::exists(index))
    return fail(folder.string() + " has neither model.safetensors nor "
                "model.safetensors.index.json");
  LTC_ASSIGN(MappedFile file, MappedFile::open(index));
  auto bytes = file.bytes();
  auto json =
      nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!json.is_object() || !json["weight_map"].is_object())
    return fail(index.string() + " has no weight_map");
  std::set<std::string> names;
  for (const auto &[tensor, name] : json["weight_map"].items()) {
    if (!name.is_string() ||
        fs::path(name.get<std::string>()).filename() !=
            name.get<std::string>())
      return fail(index.string() + ": '" + tensor +
                  "' does not name a file of this folder");
    names.insert(name.get<std::string>());
  }
  return names;
}

Result<std::vector<std::string>> loadModelFolder(Program &program,
                                                 const fs::path &folder) {
  LTC_ASSIGN(std::set<std::string> names, modelFiles(folder));
  std::deque<SafetensorsFile> files;
  std::map<std::string, const TensorView *> tensors;
  for (const std::string &name : names) {
    LTC_ASSIGN(SafetensorsFile file, SafetensorsFile::open(folder / name));
    files.push_back(std::move(file));
    for (const auto &[tensor, view] : files.back().tensors())
      if (!tensors.emplace(tensor, &view).second)
        return fail("tensor '" + tensor + "' is in two files of " +
                    folder.string());
  }
  std::set<std::string> read;
  for (const auto &parameter : program.table().parameters) {
    auto found = tensors.find(parameter->name);
    const TensorView *view = found == tensors.end() ? nullptr : found->second;
    auto restored =
        parameter->files.empty()
            ? restoreOne(program, *parameter, parameter->buffer, view)
            : importOne(program, *parameter, tensors);
    if (!restored)
      return fail(folder.string() + ": " + restored.error().message);
    if (parameter->files.empty())
      read.insert(parameter->name);
    for (const auto &file : parameter->files)
      read.insert(file->name);
  }
  std::vector<std::string> left;
  for (const auto &[name, view] : tensors)
    if (!read.count(name))
      left.push_back(name);
  return left;
}

Result<void> exportModelFolder(Program &program, const fs::path &folder) {
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  LTC_TRY(withEvaluationWeights(program, [&]() -> Result<void> {
    Snapshot all = snapshot(program);
    LTC_TRY(writeSafetensors(
        folder / "model.safetensors",
        asInFiles(program.table(),
                  all.files[hasEvaluationWeights(program) ? kEvaluation
                                                          : ""])));
    return {};
  }));
  const std::string &config = program.table().config_json;
  if (!config.empty())
    LTC_TRY(writeFile(folder / "config.json", config));
  return {};
}

} // namespace ltc
