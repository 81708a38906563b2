// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Memory.h"
#include "plugins/sdk/cpp/Files.h"
#include "runtime/data/Ahead.h"
#include "runtime/device/Roofline.h"
#include "runtime/formats/Safetensors.h"
#include "tools/compiler/Reserve.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace ltc::tool {

using artifact::BufferClass;

namespace {

void addSources(const DataOptions &data, DataNeed &need) {
  for (const SourceOptions &source : data.sources) {
    try {
      auto config = nlohmann::json::parse(source.config);
      for (const std::string &file :
           sdk::filesOf(config.at("path").get<std::string>()))
        need.files += std::filesystem::file_size(file);
    } catch (const std::exception &problem) {
      need.problem = problem.what();
      continue;
    }
    auto opened =
        Source::open(source.kind, source.config, uint64_t(data.length));
    if (opened) {
      need.documents += (*opened)->documents();
      need.epochTokens += double((*opened)->bytes());
    } else {
      need.problem = opened.error().message;
    }
  }
}

std::string times(uint64_t count, const std::string &what) {
  return std::to_string(count) + " x " + what;
}

} // namespace

uint64_t arenaBytes(const artifact::ArtifactT &table, BufferClass kind) {
  for (const auto &arena : table.arenas)
    if (arena->class_ == kind)
      return arena->bytes;
  return 0;
}

DataNeed dataNeed(const artifact::ArtifactT &table, const RunOptions &options) {
  DataNeed need;
  DataOptions training = trainingData(table, options);
  need.batches = Ahead::kBatches * batchBytes(training);
  addSources(training, need);
  double epochTokens = need.epochTokens;
  for (const auto &[name, data] : evaluationData(table)) {
    need.batches += batchBytes(data);
    addSources(data, need);
  }
  need.epochTokens = epochTokens;
  return need;
}

std::vector<Line> memoryLines(const ArtifactFile &file,
                              const RunOptions &options, const DataNeed &data) {
  const artifact::ArtifactT &table = file.program;
  uint64_t scratch = 0, kernels = 0;
  for (const auto &kernel : table.kernels)
    scratch = std::max(scratch, kernel->scratch_bytes);
  for (const auto &object : table.objects)
    kernels += object->size;
  uint64_t threads = threadsOr(options.threads);
  auto arena = [&](BufferClass kind) { return arenaBytes(table, kind); };
  uint64_t io = arena(BufferClass::io) + arena(BufferClass::scalar) +
                arena(BufferClass::output);
  // The index of a document: its length, its first piece, its place.
  uint64_t index = data.documents * 40;
  return {
      {"weights", arena(BufferClass::parameter), ""},
      {"gradients", arena(BufferClass::gradient), ""},
      {"state", arena(BufferClass::state),
       "of the optimizer: " + statesText(table)},
      {"activations", arena(BufferClass::activation), "the largest phase"},
      {"workspace", arena(BufferClass::workspace),
       "between a kernel's launches"},
      {"scratch", threads * scratch, times(threads, shortBytes(scratch)) +
                                         ", one per thread"},
      {"inputs, outputs", io, "of a micro batch"},
      {"loader", data.batches + index,
       times(Ahead::kBatches, "a batch") + ", evaluation, index"},
      {"data files", data.files, "mapped; pages that are not in use can go"},
      {"checkpoint", kWriteBuffer, "a buffer: tensors go piece by piece"},
      {"resuming", arena(BufferClass::parameter),
       "one file at a time is mapped, before the first step"},
      {"measuring", Roofline::kMeasureBytes,
       "of the machine's ceilings, before all else is touched"},
      {"artifact", file.bytes().size(), "mapped"},
      {"kernels", kernels, "the object as the system's loader maps it"}};
}

uint64_t totalOf(const std::vector<Line> &lines) {
  std::map<std::string, uint64_t> bytes;
  uint64_t sum = 0;
  for (const Line &line : lines)
    sum += bytes[line.name] = line.bytes;
  uint64_t run = sum - bytes["measuring"] -
                 std::min(bytes["resuming"], bytes["activations"]);
  return std::max(run, bytes["measuring"] + bytes["artifact"] +
                           bytes["kernels"]);
}

uint64_t budgetedOf(std::vector<Line> lines) {
  std::erase_if(lines,
                [](const Line &line) { return line.name == "data files"; });
  return totalOf(lines) + kLtcItself;
}

Result<void> checkBudget(const ArtifactFile &file, const RunOptions &options) {
  uint64_t budget = file.program.memory_budget;
  if (budget == 0)
    return {};
  DataNeed data = dataNeed(file.program, options);
  uint64_t taken = budgetedOf(memoryLines(file, options, data));
  if (taken <= budget)
    return {};
  return fail("train.memory_budget is " + shortBytes(double(budget)) +
               ", this run would take " + shortBytes(double(taken)) +
               " (ltc plan shows of what): its settings or its data add what "
               "was not known when it was compiled. Put the settings into the "
               "spec, or raise the budget there");
}

} // namespace ltc::tool
