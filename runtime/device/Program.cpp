// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Program.h"
#include <chrono>

namespace ltc {
using namespace artifact;

std::string deviceOf(const ArtifactT &table) {
  return table.objects.empty() ? "cpu" : table.objects[0]->target;
}

Result<std::unique_ptr<Program>> Program::load(const ArtifactFile &file,
                                               Device &device, bool caches) {
  std::unique_ptr<Program> result(new Program(file, device));
  LTC_TRY(result->findKernels());
  LTC_TRY(result->allocateArenas(caches));
  for (const auto &phase : file.program.phases)
    if (caches || !result->touchesCaches(*phase))
      result->resolve(*phase);
  return result;
}

bool Program::touchesCaches(const PhaseT &phase) const {
  for (const auto &command : phase.commands)
    for (const Binding &binding : command->bindings)
      if (table().buffers[binding.buffer()]->class_ == BufferClass::cache)
        return true;
  return false;
}

Result<void> Program::allocateArenas(bool caches) {
  for (const auto &arena : table().arenas) {
    if (arena->class_ == BufferClass::cache && !caches)
      continue;
    auto memory = target.allocate(arena->bytes);
    if (!memory)
      return fail("the " + std::string(EnumNameBufferClass(arena->class_)) +
                  " arena: " + memory.error().message +
                  "; a smaller micro batch needs less");
    arenas[static_cast<int>(arena->class_)] = *memory;
  }
  return {};
}

/// The first object that this device can run.
static Result<size_t> chooseObject(const ArtifactT &table,
                                   const Device &device) {
  std::string levels;
  for (size_t i = 0; i < table.objects.size(); ++i) {
    if (device.supports(table.objects[i]->feature_level))
      return i;
    levels += " " + table.objects[i]->feature_level;
  }
  return fail("the program has kernels for" +
              (levels.empty() ? " no processor" : levels) +
              ", none of which this machine can run; compile it here");
}

Result<void> Program::findKernels() {
  if (table().kernels.empty())
    return {};
  for (const auto &kernel : table().kernels)
    if (!kernel->missing.empty())
      return fail(kernel->line + ": kernel " + kernel->symbol +
                  " has no code in this artifact: " + kernel->missing);
  LTC_ASSIGN(size_t chosen, chooseObject(table(), target));
  LTC_ASSIGN(LtcModule * module,
             target.load(file.object(chosen),
                         table().objects[chosen]->feature_level));
  for (const auto &kernel : table().kernels) {
    LTC_ASSIGN(LtcKernel * found, target.find(module, kernel->symbol));
    kernels.push_back(found);
  }
  return {};
}

char *Program::address(uint32_t buffer) const {
  const BufferT &info = *table().buffers[buffer];
  return arenas[static_cast<int>(info.class_)] + info.offset;
}

void Program::resolve(const PhaseT &source) {
  Phase &phase = phases[source.name];
  for (const auto &command : source.commands) {
    uint32_t first = uint32_t(phase.bindings.size());
    for (const Binding &binding : command->bindings)
      phase.bindings.push_back(address(binding.buffer()) +
                               binding.byte_offset());
    bool isLaunch = command->kind == CommandKind::launch;
    const KernelT *kernel =
        isLaunch ? table().kernels[command->kernel].get() : nullptr;
    phase.commands.push_back(
        {isLaunch ? kernels[command->kernel] : nullptr,
         isLaunch ? int64_t(command->kernel) : -1, first,
         uint32_t(command->bindings.size()), isLaunch ? kernel->tiles : 0,
         isLaunch ? kernel->scratch_bytes : command->bytes});
  }
}

const PhaseT *Program::phase(const std::string &name) const {
  for (const auto &phase : table().phases)
    if (phase->name == name)
      return phase.get();
  return nullptr;
}

Result<void> Program::runPhase(const std::string &name) {
  auto found = phases.find(name);
  if (found == phases.end())
    return fail("the program has no phase '" + name + "'; compile it with "
                "what this command needs");
  const Phase &phase = found->second;
  if (profile)
    return runTimed(name, phase);
  for (const Command &command : phase.commands)
    LTC_TRY(give(command, phase.bindings.data() + command.firstBinding));
  return {};
}

Result<void> Program::give(const Command &command, void *const *bindings) {
  if (!command.kernel)
    return target.fillZero(bindings[0], command.bytes);
  return target.launch({sizeof(LtcLaunch), command.kernel, bindings,
                        command.bindingCount, command.tiles, command.bytes});
}

Result<void> Program::runTimed(const std::string &name, const Phase &phase) {
  using Clock = std::chrono::steady_clock;
  bool counts = profile->counts(name);
  LTC_TRY(target.synchronize());
  auto before = Clock::now();
  for (const Command &command : phase.commands) {
    LTC_TRY(give(command, phase.bindings.data() + command.firstBinding));
    LTC_TRY(target.synchronize());
    auto after = Clock::now();
    if (counts)
      profile->add(name, command.kernelIndex,
                   command.kernel ? 0 : command.bytes,
                   std::chrono::duration<double>(after - before).count());
    before = after;
  }
  profile->endRun(name);
  return {};
}

Result<void> Program::checkRange(uint32_t buffer, uint64_t bytes,
                                 uint64_t offset) const {
  const BufferT &info = *table().buffers[buffer];
  if (offset <= info.bytes && bytes <= info.bytes - offset)
    return {};
  return fail("buffer '" + info.name + "' has " + std::to_string(info.bytes) +
              " bytes; it does not hold " + std::to_string(bytes) +
              " from byte " + std::to_string(offset) + " on");
}

Result<void> Program::write(uint32_t buffer, const void *from, uint64_t bytes,
                            uint64_t offset) {
  LTC_TRY(checkRange(buffer, bytes, offset));
  return target.write(address(buffer) + offset, from, bytes);
}

Result<void> Program::read(uint32_t buffer, void *to, uint64_t bytes,
                           uint64_t offset) const {
  LTC_TRY(checkRange(buffer, bytes, offset));
  LTC_TRY(target.synchronize());
  return target.read(to, address(buffer) + offset, bytes);
}

uint64_t Program::arenaBytes() const {
  uint64_t bytes = 0;
  for (const auto &arena : table().arenas)
    if (arenas[static_cast<int>(arena->class_)])
      bytes += arena->bytes;
  return bytes;
}

} // namespace ltc
