// SPDX-License-Identifier: Apache-2.0
// What must hold before a program is run: no index or offset of a file that
// somebody hands us may lead outside its arena.
#include "runtime/artifact/File.h"
#include <optional>

namespace ltc {
using namespace artifact;

static std::string at(const std::string &line) {
  return line.empty() ? "" : line + ": ";
}

static Result<void> checkBuffers(const ArtifactT &program) {
  constexpr int classes = static_cast<int>(BufferClass::MAX) + 1;
  uint64_t arenaBytes[classes] = {};
  for (const auto &arena : program.arenas)
    arenaBytes[static_cast<int>(arena->class_)] = arena->bytes;
  for (const auto &buffer : program.buffers) {
    uint64_t bytes = arenaBytes[static_cast<int>(buffer->class_)];
    std::string who = at(buffer->line) + "buffer '" + buffer->name + "'";
    // Parts of a parameter, by their names in files, lie side by side.
    bool parts = buffer->class_ == BufferClass::parameter ||
                 buffer->class_ == BufferClass::gradient ||
                 buffer->class_ == BufferClass::state;
    uint64_t multiple = parts ? 4 : 64;
    if (buffer->offset % multiple != 0)
      return fail(who + " starts at byte " + std::to_string(buffer->offset) +
                  ", which is no multiple of " + std::to_string(multiple));
    if (buffer->offset > bytes || buffer->bytes > bytes - buffer->offset)
      return fail(who + " ends outside the " +
                  EnumNameBufferClass(buffer->class_) + " arena of " +
                  std::to_string(bytes) + " bytes");
    for (int64_t n : buffer->shape)
      if (n < 0)
        return fail(who + " has a negative dimension");
  }
  return {};
}

static Result<void> checkCommand(const ArtifactT &program,
                                 const CommandT &command) {
  std::string who = at(command.line) + "a command of " + command.segment;
  if (command.kind == CommandKind::launch &&
      command.kernel >= program.kernels.size())
    return fail(who + " names kernel " + std::to_string(command.kernel) +
                " of " + std::to_string(program.kernels.size()));
  if (command.kind == CommandKind::fill_zero && command.bindings.size() != 1)
    return fail(who + " fills " + std::to_string(command.bindings.size()) +
                " buffers; it should fill 1");
  const KernelT *kernel = command.kind == CommandKind::launch
                              ? program.kernels[command.kernel].get()
                              : nullptr;
  if (kernel && kernel->arguments.size() != command.bindings.size())
    return fail(who + " binds " + std::to_string(command.bindings.size()) +
                " buffers; kernel " + kernel->symbol + " takes " +
                std::to_string(kernel->arguments.size()));
  for (size_t i = 0; i < command.bindings.size(); ++i) {
    const Binding &binding = command.bindings[i];
    if (binding.buffer() >= program.buffers.size())
      return fail(who + " names buffer " + std::to_string(binding.buffer()) +
                  " of " + std::to_string(program.buffers.size()));
    const BufferT &buffer = *program.buffers[binding.buffer()];
    uint64_t need = kernel ? kernel->arguments[i].bytes() : command.bytes;
    if (binding.byte_offset() > buffer.bytes ||
        need > buffer.bytes - binding.byte_offset())
      return fail(who + " points outside buffer '" + buffer.name + "'");
  }
  return {};
}

static Result<void> checkPhases(const ArtifactT &program) {
  for (const auto &kernel : program.kernels)
    if (kernel->tiles < 0 || kernel->scratch_bytes > (uint64_t(1) << 40))
      return fail(at(kernel->line) + "kernel " + kernel->symbol +
                  " has an impossible grid or scratch size");
  for (const auto &phase : program.phases) {
    for (const auto &input : phase->inputs)
      if (input->buffer >= program.buffers.size())
        return fail("input '" + input->name + "' of phase " + phase->name +
                    " has no buffer");
    for (const auto &command : phase->commands)
      LTC_TRY(checkCommand(program, *command));
  }
  return {};
}

/// The buffers that tables name by index are there, with type and rank 0.
static Result<void> checkScalarBuffer(const ArtifactT &program, uint32_t index,
                                      DType dtype, const std::string &who) {
  if (index >= program.buffers.size())
    return fail(who + " has no buffer");
  const BufferT &buffer = *program.buffers[index];
  uint64_t size = dtype == DType::f32 ? 4 : 8;
  if (buffer.dtype != dtype || buffer.bytes < size)
    return fail(who + " lies in buffer '" + buffer.name + "' of type " +
                EnumNameDType(buffer.dtype) + "; expected one " +
                EnumNameDType(dtype));
  return {};
}

/// Elements of a shape; none where they cannot be counted.
static std::optional<int64_t> elementsOf(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t n : shape)
    if (n < 0 || __builtin_mul_overflow(count, n, &count))
      return std::nullopt;
  return count;
}

/// A parameter's moves stay in its elements and in those of the files.
static Result<void> checkFiles(const ParameterT &parameter,
                               const std::string &who) {
  auto reaches = [](int64_t from, const std::vector<int64_t> &sizes,
                    const std::vector<int64_t> &steps, int64_t count) {
    int64_t last = from, length;
    for (size_t d = 0; d < sizes.size(); ++d)
      if (sizes[d] < 1 || steps[d] < 0 ||
          __builtin_mul_overflow(sizes[d] - 1, steps[d], &length) ||
          __builtin_add_overflow(last, length, &last))
        return false;
    return from >= 0 && last < count;
  };
  std::optional<int64_t> own = elementsOf(parameter.shape);
  for (const auto &file : parameter.files) {
    std::optional<int64_t> there = elementsOf(file->shape);
    for (const auto &move : file->moves)
      if (!own || !there || move->sizes.size() != move->from_steps.size() ||
          move->sizes.size() != move->to_steps.size() ||
          !reaches(move->from, move->sizes, move->from_steps, *there) ||
          !reaches(move->to, move->sizes, move->to_steps, *own))
        return fail(who + " is not made of the file's tensor '" + file->name +
                    "' as it says");
  }
  return {};
}

static Result<void> checkTables(const ArtifactT &program) {
  auto known = [&](int64_t i) { return i < int64_t(program.buffers.size()); };
  for (const auto &parameter : program.parameters) {
    std::string who = at(parameter->line) + "parameter " + parameter->name;
    auto holds = [&](const std::string &what, const std::vector<int64_t> &shape,
                     int64_t index) -> Result<void> {
      uint64_t bytes = 4;
      for (int64_t n : shape)
        if (n < 0 || __builtin_mul_overflow(bytes, uint64_t(n), &bytes))
          return fail(what + " has an impossible shape");
      if (bytes > program.buffers[index]->bytes)
        return fail(what + " is larger than its buffer");
      return {};
    };
    if (!known(parameter->buffer) || !known(parameter->gradient) ||
        !known(parameter->evaluation))
      return fail(who + " has no buffer");
    LTC_TRY(holds(who, parameter->shape, parameter->buffer));
    LTC_TRY(checkFiles(*parameter, who));
    if (parameter->evaluation >= 0)
      LTC_TRY(holds(who, parameter->shape, parameter->evaluation));
    for (const auto &state : parameter->states) {
      std::string what = who + ": its state '" + state->name + "'";
      if (!known(state->buffer))
        return fail(what + " has no buffer");
      LTC_TRY(holds(what, program.buffers[state->buffer]->shape,
                    state->buffer));
    }
  }
  for (const auto &scalar : program.scalars)
    LTC_TRY(checkScalarBuffer(program, scalar->buffer, DType::f64,
                              at(scalar->line) + "scalar " + scalar->key));
  for (const auto &term : program.terms) {
    std::string who = "loss term " + term->name;
    LTC_TRY(checkScalarBuffer(program, term->sum, DType::f32, who));
    LTC_TRY(checkScalarBuffer(program, term->inverse_count, DType::f64, who));
  }
  return {};
}

Result<void> checkArtifact(const ArtifactT &program, uint64_t fileSize) {
  LTC_TRY(checkBuffers(program));
  LTC_TRY(checkPhases(program));
  LTC_TRY(checkTables(program));
  for (const auto &object : program.objects)
    if (object->offset % 64 != 0 || object->offset > fileSize ||
        object->size > fileSize - object->offset)
      return fail("the object for " + object->target +
                  " lies outside the file");
  return {};
}

} // namespace ltc
