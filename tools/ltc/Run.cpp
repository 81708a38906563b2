// SPDX-License-Identifier: Apache-2.0
// ltc run: trains; goes on where the run folder stands.
#include "runtime/data/Streams.h"
#include "runtime/log/Progress.h"
#include "runtime/train/Trainer.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ltc::tool {
namespace {

struct RunJob {
  std::string path;
  std::vector<std::string> settings;
  bool fresh = false, profile = false;
};

void summarise(const artifact::ArtifactT &table, const Program &program,
               const RunOptions &options) {
  std::printf("%s parameters, %s FLOPs per token, %lld x %lld tokens a step\n",
              shortNumber(double(table.parameter_count)).c_str(),
              shortNumber(table.flops_per_token).c_str(),
              (long long)options.batch, (long long)table.length);
  std::printf("memory %s:", shortBytes(double(program.arenaBytes())).c_str());
  for (const auto &arena : table.arenas)
    if (arena->bytes >= 1 << 20)
      std::printf(" %s %s", artifact::EnumNameBufferClass(arena->class_),
                  shortBytes(double(arena->bytes)).c_str());
  std::printf("\non %s; run folder %s\n", program.device().description().c_str(),
              options.folder.c_str());
}

/// The spec becomes artifact.ltca in its run folder; the compiler is asked each
/// time, so that the artifact is always the spec's.
std::filesystem::path compiled(const std::string &spec) {
  auto temporary = std::filesystem::temp_directory_path() /
                   ("ltc-run-" + std::to_string(getpid()) + ".ltca");
  if (!compile({spec, temporary, "", "", ""}))
    std::exit(1);
  ArtifactFile file = orLeave(ArtifactFile::open(temporary));
  RunOptions options = orLeave(readOptions(file.program));
  std::filesystem::create_directories(options.folder);
  auto kept = std::filesystem::path(options.folder) / "artifact.ltca";
  std::error_code problem;
  std::filesystem::rename(temporary, kept, problem);
  if (problem) { // another file system
    orLeave(writeArtifactCopy(temporary, kept));
    std::filesystem::remove(temporary);
  }
  return kept;
}

void run(const RunJob &job) {
  bool spec = isSpec(job.path);
  std::filesystem::path path =
      spec ? compiled(job.path) : artifactOf(job.path);
  ArtifactFile file = orLeave(ArtifactFile::open(path));
  for (const std::string &setting : job.settings)
    orLeave(applySetting(file.program, setting));
  RunOptions options = orLeave(readOptions(file.program));
  if (options.batch == 0)
    options.batch = file.program.micro_batch;
  std::filesystem::create_directories(options.folder);
  auto device = orLeave(Device::open("cpu", options.threads));
  auto program = orLeave(Program::load(file, *device));
  summarise(file.program, *program, options);
  Profile profile;
  if (job.profile)
    program->profileInto(&profile);

  auto train = orLeave(openTraining(trainingData(file.program, options)));
  std::vector<std::unique_ptr<Batches>> sets;
  TrainerInputs inputs;
  inputs.train = train.get();
  inputs.fresh = job.fresh;
  for (auto &[name, data] : evaluationData(file.program)) {
    sets.push_back(orLeave(openEvaluation(data)));
    inputs.evals.push_back({name, sets.back().get()});
  }
  LogOptions log{options.folder, options.logEvery, options.duration, 0};
  auto listener = orLeave(openLog(log));
  inputs.listener = listener.get();
  auto trainer = orLeave(Trainer::create(*program, options, inputs));
  Outcome outcome = orLeave(trainer->run());
  listener.reset();
  auto curve = drawCurve(options.folder + "/metrics.jsonl");
  if (curve)
    std::printf("%s", curve->c_str());
  if (job.profile)
    std::printf("%s", profile.table(file.program).c_str());
  if (outcome.finished)
    std::printf("done: %lld steps, %s tokens\n  ltc generate %s --prompt TEXT\n"
                "  ltc export %s -o FOLDER\n",
                (long long)outcome.progress.step,
                shortNumber(double(outcome.progress.tokens)).c_str(),
                options.folder.c_str(), options.folder.c_str());
}

} // namespace

void addRun(CLI::App &app) {
  auto job = std::make_shared<RunJob>();
  CLI::App *command = app.add_subcommand(
      "run", "Trains a spec or an artifact. A run folder that has checkpoints "
             "is continued.\n\n"
             "  ltc run spec.yaml\n"
             "  ltc run model.ltca --set train.schedule.peak=3e-4");
  command->add_option("file", job->path, "a spec, an artifact or a run folder")
      ->required();
  command
      ->add_option("--set", job->settings,
                   "KEY=VALUE for scalars and host keys (ltc inspect lists "
                   "them); structure needs compiling")
      ->allow_extra_args(false);
  command->add_flag("--fresh", job->fresh,
                    "start anew; old checkpoints are put aside");
  command->add_flag("--profile", job->profile,
                    "print time, GFLOP/s and GB/s by kernel at the end");
  command->callback([job] { run(*job); });
}

} // namespace ltc::tool
