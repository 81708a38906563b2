// SPDX-License-Identifier: Apache-2.0
// ltc sweep: one scalar at several values, over one artifact.
#include "runtime/train/Sweep.h"
#include "runtime/log/Loggers.h"
#include "runtime/log/Progress.h"
#include "runtime/train/Trainer.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include "tools/ltc/Memory.h"
#include <cmath>
#include <cstdio>
#include <numeric>
#include <unistd.h>

namespace ltc::tool {
namespace {

struct SweepJob {
  std::string path, folder, measure;
  std::vector<std::string> settings;
  int points = 5, zoom = 1;
  int64_t steps = 0; ///< of a point; 0: what the spec says
  bool linear = false, fresh = false;
};

/// Hears of one point: a live line on a terminal, the loggers' files, and what
/// the table needs.
class PointListener : public RunListener {
public:
  PointListener(std::string title, std::vector<std::unique_ptr<Logger>> loggers)
      : title(std::move(title)), loggers(std::move(loggers)),
        live(isatty(STDOUT_FILENO)) {}

  void onBegin(const Progress &progress, bool evaluated) override {
    for (auto &logger : loggers)
      logger->begin(progress, evaluated);
  }
  void onStep(const StepReport &step) override {
    for (auto &logger : loggers)
      logger->step(step);
    losses.push_back(step.loss);
    if (live)
      std::printf("\r\033[K%s  step %lld  loss %.4f", title.c_str(),
                  (long long)step.progress.step, step.loss);
    std::fflush(stdout);
  }
  void onEval(const EvalReport &eval) override {
    for (auto &logger : loggers)
      logger->eval(eval);
    evals[eval.set] = eval.loss;
  }
  void onMessage(const std::string &text) override {
    std::printf("%s%s\n", live ? "\r\033[K" : "", text.c_str());
  }

  /// The mean of the last tenth of a run's steps; none if this process made
  /// fewer.
  std::optional<double> trainLoss(int64_t steps) const {
    size_t count = std::max<size_t>(size_t(steps) / 10, 1);
    if (losses.size() < count)
      return std::nullopt;
    return std::accumulate(losses.end() - int64_t(count), losses.end(), 0.0) /
           double(count);
  }

  std::map<std::string, double> evals; ///< the last loss by set
  const std::string title;

private:
  std::vector<std::unique_ptr<Logger>> loggers;
  std::vector<double> losses;
  bool live;
};

class Sweeper {
public:
  Sweeper(const SweepJob &job)
      : job(job), file(openProgram(job.path)), range(applySettings()),
        options(orLeave(readOptions(file.program))),
        folder(job.folder.empty() ? options.folder + "-sweep" : job.folder),
        measure(chooseMeasure()),
        results(orLeave(SweepFile::open(
            folder, sweepSettings(file.program, range.key), job.fresh))) {}

  void run() {
    orLeave(checkBudget(file, options));
    std::printf("%s over %s, %s a point, by the loss %s; results in %s\n",
                range.key.c_str(), job.path.c_str(),
                options.duration.text().c_str(), measureText().c_str(),
                folder.c_str());
    // Each round looks at the values of those before it only, so that a
    // finished sweep is found again.
    std::vector<double> tried = range.values(job.points), next = tried;
    for (int round = 0;; ++round) {
      if (!runAll(next))
        return;
      if (round == job.zoom)
        break;
      next = zoomInto(range, results.of(tried));
      tried.insert(tried.end(), next.begin(), next.end());
    }
    printTable();
    printPlot();
    printBest();
  }

private:
  /// Fixed settings into the program; the one that varies is returned.
  SweepRange applySettings() {
    std::optional<SweepRange> found;
    if (job.steps > 0)
      orLeave(applySetting(file.program, "train.duration=" +
                                             std::to_string(job.steps) +
                                             " steps"));
    for (const std::string &setting : job.settings) {
      bool range = setting.find("..") != std::string::npos &&
                   setting.find('/') == std::string::npos;
      if (!range && !SweepRange::varies(file.program, setting)) {
        orLeave(applySetting(file.program, setting));
        continue;
      }
      auto parsed =
          orLeave(SweepRange::parse(file.program, setting, job.linear));
      if (found)
        leave(fail("a sweep varies one key; " + found->key + " and " +
                   parsed.key + " have several values each"));
      found = parsed;
    }
    if (!found)
      leave(fail("a sweep needs a scalar with several values, as in --set " +
                 (file.program.scalars.empty() ? "KEY"
                                               : file.program.scalars[0]->key) +
                 "=LOW..HIGH; ltc inspect lists the scalars"));
    return *found;
  }

  /// "": the training loss.
  std::string chooseMeasure() const {
    auto sets = evaluationData(file.program);
    if (job.measure == "train" || (job.measure.empty() && sets.empty()))
      return "";
    if (job.measure.empty())
      return sets[0].first;
    std::string names = "train";
    for (auto &[name, data] : sets) {
      if (name == job.measure)
        return name;
      names += ", " + name;
    }
    leave(fail("--measure " + job.measure + ": there is no such evaluation "
               "set; there are: " + names));
  }
  std::string measureText() const {
    return measure.empty() ? "of training" : "of " + measure;
  }

  std::string setting(double value) const {
    nlohmann::json number = value;
    if (range.whole)
      number = int64_t(value);
    return range.key + "=" + number.dump();
  }

  /// False: a signal came; the point was saved.
  bool runAll(const std::vector<double> &values) {
    for (double value : values) {
      if (results.find(value))
        continue;
      std::optional<SweepPoint> point = runPoint(value, job.fresh);
      if (!point) {
        std::printf("stopped in the midst of %s; the same command goes on from "
                    "there\n", setting(value).c_str());
        return false;
      }
      orLeave(results.add(*point));
      say(*point);
    }
    return true;
  }

  /// A device and a program of its own: memory as it is when a run begins.
  std::optional<SweepPoint> runPoint(double value, bool fresh) {
    orLeave(applySetting(file.program, setting(value)));
    RunOptions own = options;
    own.folder = folder + "/" + setting(value);
    auto device = orLeave(Device::open(deviceOf(file.program), own.threads));
    auto program = orLeave(Program::load(file, *device));
    std::error_code ignored;
    std::filesystem::create_directories(own.folder, ignored);
    auto train = orLeave(openTraining(trainingData(file.program, own)));
    std::vector<std::unique_ptr<Batches>> sets;
    PointListener listener(setting(value),
                           orLeave(openLoggers(own.loggers, own.folder,
                                               [](const std::string &text) {
                                                 std::printf("%s\n",
                                                             text.c_str());
                                               })));
    TrainerInputs inputs;
    inputs.train = train.get();
    inputs.listener = &listener;
    inputs.fresh = fresh;
    for (auto &[name, data] : evaluationData(file.program)) {
      sets.push_back(orLeave(openEvaluation(data)));
      inputs.evals.push_back({name, sets.back().get()});
    }
    auto trainer = orLeave(Trainer::create(*program, own, inputs));
    auto outcome = trainer->run();
    if (!outcome && !trainer->diverged())
      leave(outcome.error());
    if (outcome && !outcome->finished)
      return std::nullopt;
    SweepPoint point;
    point.value = value;
    if (!outcome) {
      point.diverged = "the guard refused its updates";
    } else {
      point.steps = outcome->progress.step;
      point.seconds = outcome->progress.seconds;
      auto trained = listener.trainLoss(point.steps);
      if (!trained && !fresh) {
        trainer.reset();
        return runPoint(value, true); // resumed too near to its end
      }
      readLosses(point, trained.value_or(NAN), listener);
    }
    // The figures are what is wanted; metrics.jsonl stays.
    trainer.reset();
    std::filesystem::remove_all(own.folder + "/checkpoints", ignored);
    return point;
  }

  void readLosses(SweepPoint &point, double trained,
                  const PointListener &listener) const {
    point.trainLoss = point.loss = trained;
    if (auto eval = listener.evals.find(measure); eval != listener.evals.end())
      point.loss = eval->second;
    if (!std::isfinite(point.loss))
      point.diverged = "its loss is no number";
  }

  void say(const SweepPoint &point) const {
    if (isatty(STDOUT_FILENO))
      std::printf("\r\033[K");
    if (point.diverged.empty())
      std::printf("%s  loss %.4f  %.1f s\n", setting(point.value).c_str(),
                  point.loss, point.seconds);
    else
      std::printf("%s  diverged: %s\n", setting(point.value).c_str(),
                  point.diverged.c_str());
    std::fflush(stdout);
  }

  void printTable() const {
    int best = bestOf(results.points());
    int width = std::max<int>(int(range.key.size()), 12);
    std::printf("\n%*s %10s %10s %7s %9s\n", width, range.key.c_str(),
                measure.empty() ? "loss" : measure.substr(0, 10).c_str(),
                "training", "steps", "seconds");
    for (size_t i = 0; i < results.points().size(); ++i) {
      const SweepPoint &point = results.points()[i];
      if (point.diverged.empty())
        std::printf("%*.4g %10.4f %10.4f %7lld %9.1f%s\n", width, point.value,
                    point.loss, point.trainLoss, (long long)point.steps,
                    point.seconds, int(i) == best ? "  best" : "");
      else
        std::printf("%*.4g %10s  %s\n", width, point.value, "diverged",
                    point.diverged.c_str());
    }
  }

  void printPlot() const {
    std::vector<std::pair<double, double>> points;
    for (const SweepPoint &point : results.points())
      points.push_back(
          {point.value, point.diverged.empty() ? point.loss : INFINITY});
    std::printf("\n%s        loss %s by %s%s\n",
                drawPoints(points, range.logarithmic).c_str(),
                measureText().c_str(), range.key.c_str(),
                range.logarithmic ? ", equal ratios" : "");
  }

  void printBest() const {
    int best = bestOf(results.points());
    if (best < 0) {
      std::printf("every point diverged; try lower values\n");
      return;
    }
    const SweepPoint &point = results.points()[best];
    std::printf("\nbest: %s (loss %.4f)\n  ltc run %s --set %s\n",
                setting(point.value).c_str(), point.loss, job.path.c_str(),
                setting(point.value).c_str());
    for (const auto &scalar : file.program.scalars)
      if (scalar->key == range.key && !scalar->line.empty())
        std::printf("  or in %s\n", scalar->line.c_str());
    bool lowest = best == 0, highest = best + 1 == int(results.points().size());
    if (lowest != highest)
      std::printf("  it is at the %s end: %s values may be better still\n",
                  lowest ? "lower" : "upper", lowest ? "lower" : "higher");
  }

  const SweepJob &job;
  ArtifactFile file;
  SweepRange range;
  RunOptions options;
  std::string folder, measure;
  SweepFile results;
};

} // namespace

void addSweep(CLI::App &app) {
  auto job = std::make_shared<SweepJob>();
  CLI::App *command = app.add_subcommand(
      "sweep", "Trains with one scalar at several values, to find the best.");
  command->footer(
      "  ltc sweep spec.yaml --set train.schedule.peak=1e-4..1e-2 --steps 200\n"
      "  ltc sweep spec.yaml --set train.optimizer.decay=0,0.01,0.1\n"
      "  ltc sweep spec.yaml --set train.schedule.peak=1e-4..1e-2 \\\n"
      "      --set train.batch=16 --points 7 --zoom 2\n"
      "\n"
      "The spec is compiled once: scalars never recompile. A range of\n"
      "positive numbers is divided by equal ratios (--linear: equal steps), a\n"
      "list is taken as it is. Each --zoom then tries the values halfway\n"
      "between the best and its neighbours. Every point starts from the\n"
      "same weights and sees the same data; one that diverges is marked, and\n"
      "the rest goes on.\n"
      "\n"
      "--steps shortens the run of a point, not its schedule: to end that\n"
      "too, set its scalar, e.g. --set train.schedule.total=200.\n"
      "\n"
      "Ctrl-C saves, and the same command goes on; so does one with more\n"
      "--points or --zoom. The folder has sweep.json and a run folder a point\n"
      "with its metrics.jsonl.\n"
      "\n"
      "Next: ltc run SPEC --set KEY=BEST");
  command->add_option("spec", job->path, "a spec or an artifact")->required();
  command
      ->add_option("--set", job->settings,
                   "LOW..HIGH or A,B,C for the one scalar that varies")
      ->type_name("KEY=VALUES")
      ->allow_extra_args(false);
  command->add_option("--points", job->points, "of a range, ends included")
      ->check(CLI::Range(2, 100))
      ->capture_default_str();
  command->add_option("--zoom", job->zoom, "rounds of two more points")
      ->check(CLI::Range(0, 20))
      ->capture_default_str();
  command
      ->add_option("--steps", job->steps,
                   "of a point; otherwise the spec's duration")
      ->check(CLI::PositiveNumber);
  command->add_option("--measure", job->measure,
                      "the evaluation set to go by, or train");
  command->add_option("--folder", job->folder,
                      "for the results; otherwise run.folder with -sweep");
  command->add_flag("--linear", job->linear, "equal steps, not ratios");
  command->add_flag("--fresh", job->fresh, "forget the folder's results");
  command->callback([job] { Sweeper(*job).run(); });
}

} // namespace ltc::tool
