// SPDX-License-Identifier: Apache-2.0
// ltc run: trains; goes on where the run folder stands.
#include "runtime/base/File.h"
#include "runtime/data/Streams.h"
#include "runtime/log/Progress.h"
#include "runtime/train/PlanWatch.h"
#include "runtime/train/Trainer.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include "tools/ltc/Memory.h"
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ltc::tool {
namespace {

struct RunJob {
  std::string path;
  std::vector<std::string> settings;
  bool fresh = false, profile = false;
  int trial = 0; ///< so many steps, of which nothing is kept; 0: the real run
};

/// A trial's folder, gone when the trial is over.
struct TrialFolder {
  std::filesystem::path path;
  TrialFolder()
      : path(std::filesystem::temp_directory_path() /
             ("ltc-trial-" + std::to_string(getpid()))) {}
  ~TrialFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

void trial(Program &program, RunOptions options, TrainerInputs inputs,
           int steps, double planned) {
  TrialFolder folder;
  Duration whole = options.duration;
  options.folder = folder.path;
  options.duration = {Duration::Unit::steps, double(steps)};
  options.evalEvery = options.saveEvery = {};
  RunListener silent;
  inputs.listener = &silent;
  inputs.evals.clear();
  auto trainer = orLeave(Trainer::create(program, options, inputs));
  Progress done = orLeave(trainer->run()).progress;
  std::printf("trial: %lld steps in %.3f s, %.4f s a step, %.0f tokens/s\n",
              (long long)done.step, done.seconds,
              done.seconds / double(done.attempt),
              double(done.tokens) / done.seconds);
  if (planned > 0)
    std::printf("planned: %.4f s a step; this is %.2fx of it\n", planned,
                planned * double(done.attempt) / done.seconds);
  double part = whole.measure(done);
  if (part > 0)
    std::printf("the whole run would take %.1f min, without evaluation and "
                "saving\n",
                done.seconds / part * whole.amount / 60);
}

void summarise(const artifact::ArtifactT &table, const Program &program,
               const RunOptions &options, const LtcDevicePeaks &peaks) {
  std::printf("%s parameters, %s FLOPs per token, %lld x %lld tokens a step\n",
              shortNumber(double(table.parameter_count)).c_str(),
              shortNumber(table.flops_per_token).c_str(),
              (long long)options.batch, (long long)table.length);
  std::printf("memory %s:", shortBytes(double(program.arenaBytes())).c_str());
  for (const auto &arena : table.arenas)
    if (arena->bytes >= 1 << 20 &&
        arena->class_ != artifact::BufferClass::cache)
      std::printf(" %s %s", artifact::EnumNameBufferClass(arena->class_),
                  shortBytes(double(arena->bytes)).c_str());
  std::printf("\non %s; run folder %s\n",
              program.device().description().c_str(), options.folder.c_str());
  if (peaks.flops > 0)
    std::printf("MFU: FLOPs per token (6 x parameters in contractions, causal "
                "half of attention)\n  x tokens/s / %s, measured now: %s\n",
                shortFlops(peaks.flops).c_str(), peaks.how);
}

/// What `ltc generate RUN` and `ltc run RUN` need: the artifact, in the run's
/// folder. A copy, since a link would change with the file it is made of.
void keepArtifact(const ArtifactFile &file, const std::string &folder) {
  std::filesystem::path kept = std::filesystem::path(folder) / "artifact.ltca";
  std::span<const char> bytes = file.bytes();
  if (auto old = examineFile(kept);
      old && *old == FileFacts{bytes.size(), hashBytes(bytes)})
    return;
  orLeave(writeFile(kept, std::span(&bytes, 1)));
}

RunOptions optionsOf(const RunJob &job, artifact::ArtifactT &table) {
  // A run folder is continued where it is, also after it was moved.
  if (std::filesystem::is_directory(job.path))
    orLeave(applySetting(table, "run.folder=" + job.path));
  for (const std::string &setting : job.settings)
    orLeave(applySetting(table, setting));
  RunOptions options = orLeave(readOptions(table));
  if (options.batch == 0)
    options.batch = table.micro_batch;
  return options;
}

void run(const RunJob &job) {
  ArtifactFile file = openProgram(job.path);
  RunOptions options = optionsOf(job, file.program);
  orLeave(checkBudget(file, options));
  auto device = orLeave(Device::open(deviceOf(file.program),
                                     options.threads));
  auto program = orLeave(Program::load(file, *device));
  auto roofline = Roofline::measure(file.program, *device);
  auto peaks = roofline ? roofline->peaks
                        : orLeave(device->measure(LTC_PEAK_FLOPS));
  summarise(file.program, *program, options, peaks);
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
  if (job.trial > 0)
    return trial(*program, options, inputs, job.trial,
                 roofline ? total(roofline->step(file.program, options.batch))
                          : 0);
  auto listener = orLeave(openLog({options.folder, options.logEvery,
                                   options.duration, peaks.flops,
                                   options.loggers}));
  std::optional<PlanWatch> watch;
  if (roofline)
    watch.emplace(*listener, *program, *roofline, options.batch,
                  job.profile ? &profile : nullptr);
  inputs.listener = watch ? &*watch : listener.get();
  auto trainer = orLeave(Trainer::create(*program, options, inputs));
  keepArtifact(file, options.folder);
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
      "run", "Trains a spec or an artifact, or goes on with a run.");
  command->footer(
      "  ltc run spec.yaml                    compiles, then trains\n"
      "  ltc run model.ltca --set train.schedule.peak=3e-4\n"
      "  ltc run runs/x --set train.duration='5000 steps'   trains on\n"
      "\n"
      "The run's folder (run.folder in the spec) holds checkpoints, the\n"
      "artifact and metrics.jsonl. Where it has a checkpoint, the run goes on\n"
      "from there; Ctrl-C ends the step and saves. What is structure (shapes,\n"
      "texts) is changed in the spec; ltc inspect lists what --set takes.\n"
      "\n"
      "Next: ltc generate RUN --prompt TEXT, ltc export RUN -o FOLDER");
  command
      ->add_option("file", job->path, "a spec, an artifact or a run's folder")
      ->required();
  command
      ->add_option("--set", job->settings,
                   "a scalar or host key of the spec, for this run; again for "
                   "more")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--fresh", job->fresh,
                    "start anew; old checkpoints are put aside");
  command->add_option("--trial", job->trial,
                      "train so many steps to see that it works and how fast; "
                      "keeps nothing");
  command->add_flag("--profile", job->profile,
                    "print time, GFLOP/s and GB/s by kernel at the end");
  command->callback([job] { run(*job); });
}

} // namespace ltc::tool
