// SPDX-License-Identifier: Apache-2.0
#include "passes/program/Program.h"
#include <cstdarg>
#include <cstdio>

namespace ltc {
namespace {

void append(std::string &text, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  text += line;
}

std::string shapeText(const artifact::BufferT &buffer) {
  std::string text = artifact::EnumNameDType(buffer.dtype);
  text += "[";
  for (size_t i = 0; i < buffer.shape.size(); ++i)
    text += (i ? "," : "") + std::to_string(buffer.shape[i]);
  return text + "]";
}

void printCommand(std::string &text, const artifact::ArtifactT &program,
                  const artifact::CommandT &command) {
  if (command.kind == artifact::CommandKind::fill_zero)
    append(text, "  zero %llu bytes:", (unsigned long long)command.bytes);
  else
    append(text, "  launch %s x%lld:",
           program.kernels[command.kernel]->symbol.c_str(),
           (long long)program.kernels[command.kernel]->tiles);
  for (const artifact::Binding &binding : command.bindings) {
    append(text, " %%%u", binding.buffer());
    if (binding.byte_offset())
      append(text, "+%llu", (unsigned long long)binding.byte_offset());
  }
  append(text, "  ; %s %s\n", command.segment.c_str(), command.line.c_str());
}

} // namespace

std::string printProgram(const artifact::ArtifactT &program) {
  std::string text;
  for (const auto &arena : program.arenas)
    append(text, "arena %s %llu\n", artifact::EnumNameBufferClass(arena->class_),
           (unsigned long long)arena->bytes);
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const artifact::BufferT &buffer = *program.buffers[i];
    append(text, "%%%zu = %s+%llu %s ; %s %s\n", i,
           artifact::EnumNameBufferClass(buffer.class_),
           (unsigned long long)buffer.offset, shapeText(buffer).c_str(),
           buffer.name.c_str(), buffer.line.c_str());
  }
  for (const auto &kernel : program.kernels)
    append(text, "kernel %s %s tiles %lld scratch %llu\n",
           kernel->symbol.c_str(), kernel->form.c_str(),
           (long long)kernel->tiles, (unsigned long long)kernel->scratch_bytes);
  for (const auto &phase : program.phases) {
    append(text, "phase %s batch %lld length %lld activations %llu {\n",
           phase->name.c_str(), (long long)phase->batch,
           (long long)phase->length,
           (unsigned long long)phase->activation_peak);
    for (const auto &input : phase->inputs)
      append(text, "  input %s %s %%%u\n", input->name.c_str(),
             input->kind.c_str(), input->buffer);
    for (const auto &command : phase->commands)
      printCommand(text, program, *command);
    text += "}\n";
  }
  return text;
}

} // namespace ltc
