// SPDX-License-Identifier: Apache-2.0
// ltc plan: what a run will need, before it starts.
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include "tools/ltc/Expect.h"
#include "tools/ltc/Memory.h"
#include "tools/ltc/Residuals.h"
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ltc::tool {
namespace {

using artifact::BufferClass;

struct PlanJob {
  std::string path;
  std::vector<std::string> settings;
  bool asJson = false, residuals = false;
};

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

void printBudget(const artifact::ArtifactT &table,
                 const std::vector<Line> &lines) {
  printRecompute(table);
  uint64_t taken = budgetedOf(lines);
  if (!table.memory_budget)
    return;
  std::printf("  %s of it taken, with ltc itself and without data files\n",
              shortBytes(double(taken)).c_str());
  if (taken > table.memory_budget)
    std::printf("  above the budget by %s, so ltc run refuses it: what its "
                "settings or data add was not known when it was compiled\n",
                shortBytes(double(taken - table.memory_budget)).c_str());
}

/// What is planned beside memory.
struct Plan {
  Work work;
  Result<Expectation> expected;
  std::optional<double> steps; ///< of the whole run
};

nlohmann::ordered_json timeJson(const Plan &plan) {
  nlohmann::ordered_json out;
  if (!plan.expected) {
    out["not_told"] = plan.expected.error().message;
    return out;
  }
  const Expectation &time = *plan.expected;
  double perSecond = plan.work.tokensPerStep / time.stepSeconds;
  out["step_seconds"] = time.stepSeconds;
  out["tokens_per_second"] = perSecond;
  out["mfu"] = perSecond * plan.work.flopsPerToken / time.peaks.flops;
  for (auto &[form, seconds] : time.byForm)
    out["step_seconds_by_form"][form] = seconds;
  out["peak_flops"] = time.peaks.flops;
  out["peak_copy_bytes"] = time.peaks.copyBytes;
  out["launch_seconds"] = time.peaks.launchSeconds;
  out["device"] = time.device;
  if (plan.steps)
    out["run_seconds"] = *plan.steps * time.stepSeconds;
  return out;
}

void printJson(const artifact::ArtifactT &table,
               const std::vector<Line> &lines, const Plan &plan) {
  nlohmann::ordered_json out;
  const Work &work = plan.work;
  out["parameters"] = work.parameters;
  out["parameters_without_embeddings"] = work.parameters - work.embeddings;
  out["flops_per_token"] = work.flopsPerToken;
  out["attention_flops_per_token"] = work.attentionPerToken;
  out["parameters_in_contractions"] = work.contracted();
  out["tokens_per_step"] = work.tokensPerStep;
  out["tokens_for_20_per_parameter"] = 20 * work.parameters;
  if (plan.steps)
    out["steps"] = *plan.steps;
  out["time"] = timeJson(plan);
  for (const Line &line : lines)
    out["lines"].push_back(
        {{"name", line.name}, {"bytes", line.bytes}, {"note", line.note}});
  out["total"] = totalOf(lines);
  out["memory_budget"] = table.memory_budget;
  out["budgeted"] = budgetedOf(lines);
  out["recompute"] = recomputeJson(table);
  out["residuals"] = residualsJson(table);
  std::printf("%s\n", out.dump(1).c_str());
}

/// "3.2 h", "12 min"
std::string shortTime(double seconds) {
  char text[48];
  if (seconds >= 2 * 3600)
    std::snprintf(text, sizeof text, "%.4g h", seconds / 3600);
  else if (seconds >= 120)
    std::snprintf(text, sizeof text, "%.3g min", seconds / 60);
  else
    std::snprintf(text, sizeof text, "%.3g s", seconds);
  return text;
}

void printRun(const RunOptions &options, const Plan &plan) {
  const Work &work = plan.work;
  double step = plan.expected ? (*plan.expected).stepSeconds : 0;
  auto took = [&](double steps) {
    return step > 0 ? ", " + shortTime(steps * step) : std::string();
  };
  std::string text = options.duration.text();
  if (plan.steps)
    text += ": " + shortNumber(*plan.steps) + " steps, " +
            shortNumber(*plan.steps * work.tokensPerStep) + " tokens" +
            took(*plan.steps);
  else if (options.duration.unit == Duration::Unit::seconds && step > 0)
    text += ": " + shortNumber(options.duration.amount / step) + " steps, " +
            shortNumber(options.duration.amount / step * work.tokensPerStep) +
            " tokens";
  std::printf("the run         %s, without evaluation and saving\n",
              text.c_str());
  double tokens = 20 * work.parameters;
  std::printf("20 a parameter  %s tokens%s\n", shortNumber(tokens).c_str(),
              took(tokens / work.tokensPerStep).c_str());
}

void printTime(const RunOptions &options, const Plan &plan) {
  const Work &work = plan.work;
  std::printf("tokens a step   %lld rows of %.0f, %s\n",
              (long long)options.batch,
              work.tokensPerStep / double(options.batch),
              shortNumber(work.tokensPerStep).c_str());
  if (!plan.expected) {
    std::printf("expected time   not told: %s; plan on the machine that will "
                "run it\n", plan.expected.error().message.c_str());
    return printRun(options, plan);
  }
  const Expectation &time = *plan.expected;
  double perSecond = work.tokensPerStep / time.stepSeconds;
  std::printf("expected time   %.4g s a step, %s tokens/s, MFU %.0f %%\n",
              time.stepSeconds, shortNumber(perSecond).c_str(),
              100 * perSecond * work.flopsPerToken / time.peaks.flops);
  std::string forms;
  for (auto &[form, seconds] : time.byForm)
    if (seconds >= 0.005 * time.stepSeconds)
      forms += (forms.empty() ? "" : ", ") + form + " " +
               std::to_string(int(100 * seconds / time.stepSeconds + 0.5)) +
               " %";
  std::printf("                %s\n", forms.c_str());
  std::printf("  measured now: %s (%s), copying %s/s; each kernel at the share "
              "of these\n  that its kind reaches (ltc inspect)\n",
              shortFlops(time.peaks.flops).c_str(), time.how.c_str(),
              shortBytes(time.peaks.copyBytes).c_str());
  printRun(options, plan);
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

void plan(const PlanJob &job) {
  ArtifactFile file = openProgram(job.path);
  for (const std::string &setting : job.settings)
    orLeave(applySetting(file.program, setting));
  RunOptions options = orLeave(readOptions(file.program));
  DataNeed data = dataNeed(file.program, options);
  if (!data.problem.empty())
    std::fprintf(stderr, "data that cannot be read is not counted: %s\n",
                 data.problem.c_str());
  std::vector<Line> lines = memoryLines(file, options, data);
  Plan plan{workOf(file.program, options), expectHere(file.program, options),
            std::nullopt};
  plan.steps = stepsOf(options, plan.work, data.epochTokens);
  if (job.asJson)
    return printJson(file.program, lines, plan);
  printSummary(file.program);
  printTime(options, plan);
  printBudget(file.program, lines);
  printLines(lines);
  printGeneration(file.program);
  if (job.residuals)
    printResiduals(file.program);
  printLargest(file.program);
}

} // namespace

void printSummary(const artifact::ArtifactT &table) {
  Work work = workOf(table, RunOptions());
  std::printf("parameters      %s, without embeddings %s\n",
              shortNumber(work.parameters).c_str(),
              shortNumber(work.parameters - work.embeddings).c_str());
  std::printf("FLOPs per token %s = 6 x %s parameters in contractions (a tied "
              "table\n                once) + %s of attention (its causal "
              "half); recomputation not counted\n",
              shortNumber(work.flopsPerToken).c_str(),
              shortNumber(work.contracted()).c_str(),
              shortNumber(work.attentionPerToken).c_str());
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
      "  ltc plan spec.yaml --residuals   what the backward keeps, by line\n"
      "\n"
      "Parameters, FLOPs, the time of a step and of the run, and every byte\n"
      "that the run will take, by line, before anything runs. Nothing is\n"
      "written. The time comes from this machine's ceilings, measured now (as\n"
      "ltc doctor does), and the share of them that each kind of kernel\n"
      "reaches; a run that is slower than 0.7 of it says so, and where.\n"
      "\n"
      "Next: ltc run SPEC trains it; ltc doctor says what this machine has");
  command->add_option("spec", job->path, "a spec, an artifact or a run folder")
      ->required();
  command
      ->add_option("--set", job->settings,
                   "KEY=VALUE for scalars and host keys, as in ltc run")
      ->allow_extra_args(false);
  command->add_flag("--json", job->asJson, "all of it, for programs");
  command->add_flag("--residuals", job->residuals,
                    "every value saved for the backward, by line of its text");
  command->callback([job] { plan(*job); });
}

} // namespace ltc::tool
