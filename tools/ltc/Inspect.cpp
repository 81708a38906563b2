// SPDX-License-Identifier: Apache-2.0
// ltc inspect and ltc plan: what is in an artifact, and what a run will need.
#include "runtime/artifact/File.h"
#include "tools/ltc/Commands.h"
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <unistd.h>

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

json toJson(const artifact::ArtifactT &table) {
  json out = {{"version", table.version},
              {"compiler", table.compiler},
              {"structure_hash", table.structure_hash},
              {"data_hash", table.data_hash},
              {"parameter_count", table.parameter_count},
              {"flops_per_token", table.flops_per_token},
              {"micro_batch", table.micro_batch},
              {"length", table.length},
              {"vocab", table.vocab}};
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
                              {"tiles", kernel->tiles},
                              {"scratch_bytes", kernel->scratch_bytes},
                              {"flops", kernel->flops},
                              {"read_bytes", kernel->read_bytes},
                              {"written_bytes", kernel->written_bytes},
                              {"line", kernel->line}});
  for (const auto &object : table.objects)
    out["objects"].push_back({{"target", object->target},
                              {"feature_level", object->feature_level},
                              {"bytes", object->size}});
  for (const auto &phase : table.phases)
    out["phases"].push_back(phaseJson(*phase));
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
  for (const auto &scalar : table.scalars)
    out["scalars"].push_back({{"key", scalar->key},
                              {"value", scalar->value},
                              {"help", scalar->help},
                              {"line", scalar->line}});
  for (const auto &term : table.terms)
    out["terms"].push_back({{"name", term->name},
                            {"count_input", term->count_input},
                            {"weight_key", term->weight_key}});
  return out;
}

double totalBytes(const artifact::ArtifactT &table) {
  double bytes = 0;
  for (const auto &arena : table.arenas)
    bytes += double(arena->bytes);
  return bytes;
}

/// Bytes of each of the optimizer's states; what parameters share counts once.
void printStates(const artifact::ArtifactT &table) {
  std::map<std::string, std::map<uint64_t, uint64_t>> states;
  for (const auto &parameter : table.parameters)
    for (const auto &state : parameter->states) {
      const artifact::BufferT &buffer = *table.buffers[state->buffer];
      states[state->name][buffer.offset] = buffer.bytes;
    }
  for (const auto &[name, places] : states) {
    uint64_t bytes = 0;
    for (const auto &[offset, size] : places)
      bytes += size;
    std::printf("    %-10s %12s   of the optimizer\n", name.c_str(),
                shortBytes(double(bytes)).c_str());
  }
}

void printMemory(const artifact::ArtifactT &table) {
  std::printf("memory by class\n");
  for (const auto &arena : table.arenas)
    if (arena->bytes)
      std::printf("  %-12s %12s\n", name(arena->class_),
                  shortBytes(double(arena->bytes)).c_str());
  printStates(table);
  uint64_t scratch = 0, object = 0;
  for (const auto &kernel : table.kernels)
    scratch = std::max(scratch, kernel->scratch_bytes);
  for (const auto &one : table.objects)
    object += one->size;
  std::printf("  %-12s %12s   per thread\n", "scratch",
              shortBytes(double(scratch)).c_str());
  std::printf("  %-12s %12s   mapped\n", "kernels",
              shortBytes(double(object)).c_str());
  std::printf("  %-12s %12s\n", "arenas",
              shortBytes(totalBytes(table)).c_str());
}

void printSummary(const artifact::ArtifactT &table) {
  std::printf("parameters      %s\n",
              shortNumber(double(table.parameter_count)).c_str());
  std::printf("FLOPs per token %s  (6 per parameter in a contraction, a tied "
              "table once; attention's causal half; no recomputation)\n",
              shortNumber(table.flops_per_token).c_str());
  std::printf("micro batch     %lld rows x %lld tokens\n",
              (long long)table.micro_batch, (long long)table.length);
  printMemory(table);
}

void printLargest(const artifact::ArtifactT &table) {
  std::vector<const artifact::BufferT *> buffers;
  for (const auto &buffer : table.buffers)
    buffers.push_back(buffer.get());
  std::stable_sort(buffers.begin(), buffers.end(),
                   [](auto *a, auto *b) { return a->bytes > b->bytes; });
  std::printf("largest tensors\n");
  for (size_t i = 0; i < buffers.size() && i < 10; ++i)
    std::printf("  %10s  %-10s %s  %s\n",
                shortBytes(double(buffers[i]->bytes)).c_str(),
                name(buffers[i]->class_), buffers[i]->name.c_str(),
                buffers[i]->line.c_str());
}

void inspect(const std::string &path, bool asJson) {
  ArtifactFile file = orLeave(ArtifactFile::open(artifactOf(path)));
  const artifact::ArtifactT &table = file.program;
  if (asJson) {
    std::printf("%s\n", toJson(table).dump(1).c_str());
    return;
  }
  printSummary(table);
  for (const auto &object : table.objects)
    std::printf("target          %s, %s\n", object->target.c_str(),
                object->feature_level.c_str());
  std::printf("kernels         %zu\n", table.kernels.size());
  for (const auto &phase : table.phases)
    std::printf("phase %-10s %5zu commands, activations %s\n",
                phase->name.c_str(), phase->commands.size(),
                shortBytes(double(phase->activation_peak)).c_str());
  std::printf("scalars (ltc run --set KEY=VALUE)\n");
  for (const auto &scalar : table.scalars)
    std::printf("  %-36s %-10g %s\n", scalar->key.c_str(), scalar->value,
                scalar->help.c_str());
}

void plan(const std::string &spec) {
  std::string output = std::filesystem::temp_directory_path() /
                       ("ltc-plan-" + std::to_string(getpid()) + ".ltca");
  if (!compile({spec, output, "", "", ""}))
    std::exit(1);
  auto opened = ArtifactFile::open(output);
  std::filesystem::remove(output);
  ArtifactFile file = orLeave(std::move(opened));
  printSummary(file.program);
  printLargest(file.program);
  std::printf("tokens for 20 per parameter: %s\n",
              shortNumber(20.0 * double(file.program.parameter_count)).c_str());
}

} // namespace

void addInspect(CLI::App &app) {
  auto path = std::make_shared<std::string>();
  auto asJson = std::make_shared<bool>(false);
  CLI::App *command = app.add_subcommand(
      "inspect", "Shows what is in an artifact or a run's artifact.\n\n"
                 "  ltc inspect model.ltca\n"
                 "  ltc inspect model.ltca --json | jq .arenas");
  command->add_option("artifact", *path, "an artifact or a run folder")
      ->required();
  command->add_flag("--json", *asJson, "everything, for programs");
  command->callback([=] { inspect(*path, *asJson); });
}

void addPlan(CLI::App &app) {
  auto path = std::make_shared<std::string>();
  CLI::App *command = app.add_subcommand(
      "plan", "Compiles a spec and says what its run will need.\n\n"
              "  ltc plan spec.yaml");
  command->add_option("spec", *path, "the spec, YAML or JSON")->required();
  command->callback([=] { plan(*path); });
}

} // namespace ltc::tool
