// SPDX-License-Identifier: Apache-2.0
// ltc inspect: what is in an artifact.
#include "runtime/artifact/File.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include "tools/ltc/Residuals.h"
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

namespace ltc::tool {
namespace {

using json = nlohmann::ordered_json;
const char *name(artifact::BufferClass value) {
  return artifact::EnumNameBufferClass(value);
}

json phaseJson(const artifact::PhaseT &phase) {
  json commands = json::array();
  for (const auto &command : phase.commands) {
    json bindings = json::array();
    for (const auto &binding : command->bindings)
      bindings.push_back({binding.buffer(), binding.byte_offset()});
    commands.push_back(
        {{"kind", artifact::EnumNameCommandKind(command->kind)},
         {"kernel", command->kernel},
         {"bindings", bindings},
         {"bytes", command->bytes},
         {"segment", command->segment},
         {"line", command->line}});
  }
  json inputs = json::array();
  for (const auto &input : phase.inputs)
    inputs.push_back({{"name", input->name},
                      {"kind", input->kind},
                      {"buffer", input->buffer}});
  return {{"name", phase.name},
          {"batch", phase.batch},
          {"length", phase.length},
          {"inputs", inputs},
          {"activation_peak", phase.activation_peak},
          {"commands", commands}};
}

/// [bytes, written] per argument: how far it reaches from its binding on.
json argumentsJson(const artifact::KernelT &kernel) {
  json list = json::array();
  for (const artifact::Argument &argument : kernel.arguments)
    list.push_back({argument.bytes(), argument.written()});
  return list;
}

json wellknownJson(const artifact::WellknownT &known) {
  return {{"step", known.step},
          {"tokens_seen", known.tokens_seen},
          {"step_tokens", known.step_tokens},
          {"ok", known.ok},
          {"grad_norm", known.grad_norm},
          {"lr", known.lr},
          {"seed", known.seed},
          {"attempt", known.attempt},
          {"first_row", known.first_row},
          {"predict_position", known.predict_position},
          {"predict_logits", known.predict_logits},
          {"past", known.past}};
}

void addParameters(json &out, const artifact::ArtifactT &table) {
  for (const auto &parameter : table.parameters) {
    json states = json::object();
    for (const auto &state : parameter->states)
      states[state->name] = state->buffer;
    out["parameters"].push_back({{"name", parameter->name},
                                 {"shape", parameter->shape},
                                 {"role", parameter->role},
                                 {"decays", parameter->decays},
                                 {"buffer", parameter->buffer},
                                 {"gradient", parameter->gradient},
                                 {"states", states},
                                 {"line", parameter->line}});
  }
}

void addSettings(json &out, const artifact::ArtifactT &table) {
  for (const auto &scalar : table.scalars)
    out["scalars"].push_back({{"key", scalar->key},
                              {"value", scalar->value},
                              {"buffer", scalar->buffer},
                              {"help", scalar->help},
                              {"line", scalar->line}});
  for (const auto &entry : table.host)
    out["host"].push_back({{"key", entry->key},
                           {"value", json::parse(entry->value, nullptr, false)},
                           {"type", entry->type},
                           {"check", entry->check},
                           {"default", entry->initial},
                           {"help", entry->help},
                           {"line", entry->line}});
  for (const auto &term : table.terms)
    out["terms"].push_back({{"name", term->name},
                            {"sum", term->sum},
                            {"inverse_count", term->inverse_count},
                            {"count_input", term->count_input},
                            {"weight_key", term->weight_key}});
  if (table.wellknown)
    out["wellknown"] = wellknownJson(*table.wellknown);
}

json toJson(const artifact::ArtifactT &table) {
  json out = {{"version", table.version},
              {"compiler", table.compiler},
              {"structure_hash", table.structure_hash},
              {"data_hash", table.data_hash},
              {"parameter_count", table.parameter_count},
              {"flops_per_token", table.flops_per_token},
              {"attention_flops_per_token", table.attention_flops_per_token},
              {"micro_batch", table.micro_batch},
              {"length", table.length},
              {"vocab", table.vocab},
              {"memory_budget", table.memory_budget},
              {"recompute", recomputeJson(table)}};
  out["spec"] = json::parse(table.spec_json, nullptr, false);
  for (const auto &arena : table.arenas)
    out["arenas"].push_back(
        {{"class", name(arena->class_)}, {"bytes", arena->bytes}});
  for (const auto &buffer : table.buffers)
    out["buffers"].push_back({{"name", buffer->name},
                              {"class", name(buffer->class_)},
                              {"dtype", artifact::EnumNameDType(buffer->dtype)},
                              {"shape", buffer->shape},
                              {"offset", buffer->offset},
                              {"bytes", buffer->bytes},
                              {"line", buffer->line}});
  for (const auto &kernel : table.kernels)
    out["kernels"].push_back({{"symbol", kernel->symbol},
                              {"form", kernel->form},
                              {"arguments", argumentsJson(*kernel)},
                              {"tiles", kernel->tiles},
                              {"threads", kernel->threads},
                              {"missing", kernel->missing},
                              {"registers", kernel->registers},
                              {"spill_bytes", kernel->spill_bytes},
                              {"shared_bytes", kernel->shared_bytes},
                              {"scratch_bytes", kernel->scratch_bytes},
                              {"flops", kernel->flops},
                              {"flops_share", kernel->flops_share},
                              {"bytes_share", kernel->bytes_share},
                              {"read_bytes", kernel->read_bytes},
                              {"written_bytes", kernel->written_bytes},
                              {"line", kernel->line}});
  for (const auto &object : table.objects)
    out["objects"].push_back({{"target", object->target},
                              {"feature_level", object->feature_level},
                              {"bytes", object->size}});
  for (const auto &phase : table.phases)
    out["phases"].push_back(phaseJson(*phase));
  addParameters(out, table);
  addSettings(out, table);
  return out;
}

void printMemory(const artifact::ArtifactT &table) {
  std::printf("memory by class (ltc plan counts all of a run)\n");
  for (const auto &arena : table.arenas)
    if (arena->bytes)
      std::printf("  %-12s %12s\n", name(arena->class_),
                  shortBytes(double(arena->bytes)).c_str());
  if (std::string states = statesText(table); !states.empty())
    std::printf("  state holds  %s\n", states.c_str());
}

/// Of a GPU's artifact: each kernel, what its assembler says, and which have
/// no code yet.
void printGpuKernels(const artifact::ArtifactT &table) {
  bool any = false;
  for (const auto &kernel : table.kernels)
    any |= kernel->threads > 0 || !kernel->missing.empty();
  if (!any)
    return;
  std::printf("  %8s %7s %9s %6s %7s  kernel\n", "blocks", "threads",
              "registers", "spills", "shared");
  for (const auto &kernel : table.kernels)
    if (kernel->missing.empty())
      std::printf("  %8lld %7d %9d %6llu %7llu  %s\n",
                  (long long)kernel->tiles, kernel->threads, kernel->registers,
                  (unsigned long long)kernel->spill_bytes,
                  (unsigned long long)kernel->shared_bytes,
                  kernel->symbol.c_str());
  for (const auto &kernel : table.kernels)
    if (!kernel->missing.empty())
      std::printf("  %-41s  %s: %s\n", "no code yet", kernel->symbol.c_str(),
                  kernel->missing.c_str());
}

void inspect(const std::string &path, bool asJson) {
  ArtifactFile file = orLeave(ArtifactFile::open(artifactOf(path)));
  const artifact::ArtifactT &table = file.program;
  if (asJson) {
    std::printf("%s\n", toJson(table).dump(1).c_str());
    return;
  }
  printSummary(table);
  printRecompute(table);
  printMemory(table);
  for (const auto &object : table.objects)
    std::printf("target          %s, %s\n", object->target.c_str(),
                object->feature_level.c_str());
  std::printf("kernels         %zu\n", table.kernels.size());
  printGpuKernels(table);
  for (const auto &phase : table.phases)
    std::printf("phase %-10s %5zu commands, activations %s\n",
                phase->name.c_str(), phase->commands.size(),
                shortBytes(double(phase->activation_peak)).c_str());
  std::printf("what ltc run --set KEY=VALUE takes\n");
  for (const auto &scalar : table.scalars)
    std::printf("  %-36s %-10g %s\n", scalar->key.c_str(), scalar->value,
                scalar->help.c_str());
  for (const auto &entry : table.host)
    std::printf("  %-36s %-10s %s\n", entry->key.c_str(),
                entry->value.c_str(), entry->help.c_str());
}

} // namespace

std::string statesText(const artifact::ArtifactT &table) {
  std::map<std::string, std::map<uint64_t, uint64_t>> states;
  for (const auto &parameter : table.parameters)
    for (const auto &state : parameter->states) {
      const artifact::BufferT &buffer = *table.buffers[state->buffer];
      states[state->name][buffer.offset] = buffer.bytes;
    }
  std::string text;
  for (const auto &[name, places] : states) {
    uint64_t bytes = 0;
    for (const auto &[offset, size] : places)
      bytes += size;
    text += (text.empty() ? "" : ", ") + name + " " + shortBytes(double(bytes));
  }
  return text;
}

void addInspect(CLI::App &app) {
  auto path = std::make_shared<std::string>();
  auto asJson = std::make_shared<bool>(false);
  CLI::App *command = app.add_subcommand(
      "inspect", "Shows what is in an artifact or a run's artifact.");
  command->footer(
      "  ltc inspect model.ltca\n"
      "  ltc inspect runs/x\n"
      "  ltc inspect model.ltca --json | jq .arenas\n"
      "\n"
      "Kernels, memory by class, and every key that ltc run --set takes with\n"
      "its value and meaning.\n"
      "\n"
      "Next: ltc run FILE [--set KEY=VALUE]");
  command->add_option("artifact", *path, "an artifact or a run folder")
      ->required();
  command->add_flag("--json", *asJson, "everything, for programs");
  command->callback([=] { inspect(*path, *asJson); });
}

} // namespace ltc::tool
