// SPDX-License-Identifier: Apache-2.0
// ltc plan: what a run will need, before it starts.
#include "plugins/sdk/cpp/Files.h"
#include "runtime/data/Ahead.h"
#include "runtime/formats/Safetensors.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>

namespace ltc::tool {
namespace {

using artifact::BufferClass;

struct PlanJob {
  std::string path;
  std::vector<std::string> settings;
  bool asJson = false;
};

/// A part of the memory that `ltc run` takes.
struct Line {
  std::string name;
  uint64_t bytes;
  std::string note;
};

uint64_t arenaBytes(const artifact::ArtifactT &table, BufferClass kind) {
  for (const auto &arena : table.arenas)
    if (arena->class_ == kind)
      return arena->bytes;
  return 0;
}

/// What the streams of a run read: bytes of files, documents, batches held.
struct DataNeed {
  uint64_t files = 0, documents = 0, batches = 0;
  std::string problem;
};

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
    if (opened)
      need.documents += (*opened)->documents();
    else
      need.problem = opened.error().message;
  }
}

DataNeed dataNeed(const artifact::ArtifactT &table, const RunOptions &options) {
  DataNeed need;
  DataOptions training = trainingData(table, options);
  need.batches = Ahead::kBatches * batchBytes(training);
  addSources(training, need);
  for (const auto &[name, data] : evaluationData(table)) {
    need.batches += batchBytes(data);
    addSources(data, need);
  }
  return need;
}

/// Threads as the run will have them.
uint64_t threadsOf(const RunOptions &options) {
  if (options.threads > 0)
    return options.threads;
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string times(uint64_t count, const std::string &what) {
  return std::to_string(count) + " x " + what;
}

/// Everything over 1 MiB that a run allocates or maps is in one of these.
std::vector<Line> memoryLines(const ArtifactFile &file,
                              const RunOptions &options, const DataNeed &data) {
  const artifact::ArtifactT &table = file.program;
  uint64_t scratch = 0, kernels = 0;
  for (const auto &kernel : table.kernels)
    scratch = std::max(scratch, kernel->scratch_bytes);
  for (const auto &object : table.objects)
    kernels += object->size;
  uint64_t threads = threadsOf(options);
  auto arena = [&](BufferClass kind) { return arenaBytes(table, kind); };
  uint64_t io = arena(BufferClass::io) + arena(BufferClass::scalar) +
                arena(BufferClass::output);
  // The index of a document: its length, its first piece, its place.
  uint64_t index = data.documents * 40;
  return {
      {"weights", arena(BufferClass::parameter), ""},
      {"gradients", arena(BufferClass::gradient), ""},
      {"state", arena(BufferClass::state), "of the optimizer: " + statesText(table)},
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
      {"artifact", file.bytes().size(), "mapped"},
      {"kernels", kernels, "the object as the system's loader maps it"}};
}

/// Resuming is over when activations come; the larger of both counts.
uint64_t totalOf(const std::vector<Line> &lines) {
  uint64_t total = 0, resuming = 0, activations = 0;
  for (const Line &line : lines) {
    total += line.bytes;
    if (line.name == "resuming")
      resuming = line.bytes;
    if (line.name == "activations")
      activations = line.bytes;
  }
  return total - std::min(resuming, activations);
}

void printLines(const std::vector<Line> &lines) {
  std::printf("memory of a run\n");
  for (const Line &line : lines)
    std::printf("  %-16s %12s   %s\n", line.name.c_str(),
                shortBytes(double(line.bytes)).c_str(), line.note.c_str());
  std::printf("  %-16s %12s   (and some 10 MiB of ltc itself)\n", "at once",
              shortBytes(double(totalOf(lines))).c_str());
}

/// What `ltc generate` adds: a run that trains has no caches.
void printGeneration(const artifact::ArtifactT &table) {
  if (!table.no_cache_why.empty())
    std::printf("generation has no caches, each token takes the whole window: "
                "%s\n",
                table.no_cache_why.c_str());
  else if (uint64_t bytes = arenaBytes(table, BufferClass::cache))
    std::printf("generation keeps %s of caches for %lld tokens\n",
                shortBytes(double(bytes)).c_str(), (long long)table.length);
}

void printJson(const std::vector<Line> &lines) {
  nlohmann::ordered_json out;
  for (const Line &line : lines)
    out["lines"].push_back(
        {{"name", line.name}, {"bytes", line.bytes}, {"note", line.note}});
  out["total"] = totalOf(lines);
  std::printf("%s\n", out.dump(1).c_str());
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
                artifact::EnumNameBufferClass(buffers[i]->class_),
                buffers[i]->name.c_str(), buffers[i]->line.c_str());
}

ArtifactFile openPlanned(const std::string &path) {
  if (!isSpec(path))
    return orLeave(ArtifactFile::open(artifactOf(path)));
  std::string output = std::filesystem::temp_directory_path() /
                       ("ltc-plan-" + std::to_string(getpid()) + ".ltca");
  if (!compile({path, output, "", "", ""}))
    std::exit(1);
  auto opened = ArtifactFile::open(output);
  std::filesystem::remove(output);
  return orLeave(std::move(opened));
}

void plan(const PlanJob &job) {
  ArtifactFile file = openPlanned(job.path);
  for (const std::string &setting : job.settings)
    orLeave(applySetting(file.program, setting));
  RunOptions options = orLeave(readOptions(file.program));
  DataNeed data = dataNeed(file.program, options);
  if (!data.problem.empty())
    std::fprintf(stderr, "data that cannot be read is not counted: %s\n",
                 data.problem.c_str());
  std::vector<Line> lines = memoryLines(file, options, data);
  if (job.asJson)
    return printJson(lines);
  printSummary(file.program);
  printLines(lines);
  printGeneration(file.program);
  printLargest(file.program);
  std::printf("tokens for 20 per parameter: %s\n",
              shortNumber(20.0 * double(file.program.parameter_count)).c_str());
}

} // namespace

void printSummary(const artifact::ArtifactT &table) {
  std::printf("parameters      %s\n",
              shortNumber(double(table.parameter_count)).c_str());
  std::printf("FLOPs per token %s  (6 per parameter in a contraction, a tied "
              "table once; attention's causal half; no recomputation)\n",
              shortNumber(table.flops_per_token).c_str());
  std::printf("micro batch     %lld rows x %lld tokens\n",
              (long long)table.micro_batch, (long long)table.length);
}

void addPlan(CLI::App &app) {
  auto job = std::make_shared<PlanJob>();
  CLI::App *command = app.add_subcommand(
      "plan", "Compiles a spec and says what its run will need.");
  command->footer(
      "  ltc plan spec.yaml\n"
      "  ltc plan model.ltca --set train.batch=64\n"
      "\n"
      "Parameters, FLOPs, and every byte that the run will take, by line,\n"
      "before anything runs. Nothing is written.\n"
      "\n"
      "Next: ltc run SPEC trains it; ltc doctor says what this machine has");
  command->add_option("spec", job->path, "a spec, an artifact or a run folder")
      ->required();
  command
      ->add_option("--set", job->settings,
                   "KEY=VALUE for scalars and host keys, as in ltc run")
      ->allow_extra_args(false);
  command->add_flag("--json", job->asJson, "the memory's lines, for programs");
  command->callback([job] { plan(*job); });
}

} // namespace ltc::tool
