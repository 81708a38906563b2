// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Trainer.h"
#include "runtime/train/Weights.h"
#include <chrono>

namespace ltc {

static double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

Result<std::unique_ptr<Trainer>> Trainer::create(Program &program,
                                                 const RunOptions &options,
                                                 const TrainerInputs &inputs) {
  LTC_ASSIGN(Stepper stepper, Stepper::create(program));
  LTC_ASSIGN(RunLock lock,
             openRunFolder(program.table(), options, inputs.fresh));
  std::unique_ptr<Trainer> trainer(new Trainer(
      program, std::move(stepper), std::move(lock), options, inputs));
  LTC_TRY(trainer->begin());
  trainer->listener.onBegin(trainer->progress,
                            trainer->evaluatedAttempt ==
                                trainer->progress.attempt);
  return trainer;
}

Result<void> Trainer::begin() {
  LTC_TRY(stepper.writeScalars(options.seed));
  FoundCheckpoint found = findCheckpoint(options.folder);
  for (const std::string &message : found.messages)
    listener.onMessage(message);
  if (!found.path.empty())
    return resume(found);
  if (!found.messages.empty())
    return fail("no checkpoint in " + options.folder + " is whole; start "
                "again with --fresh (they are put aside)");
  return initialise();
}

Result<void> Trainer::initialise() {
  LTC_TRY(stepper.init());
  dataPosition = inputs.train->position();
  if (options.initFrom.empty())
    return {};
  auto left = loadModelFolder(program, options.initFrom);
  if (!left)
    return fail(options.initLine + "model.init.from: " + left.error().message);
  listener.onMessage("weights from " + options.initFrom);
  for (const std::string &name : *left)
    listener.onMessage("not used: tensor " + name);
  return {};
}

Result<void> Trainer::resume(const FoundCheckpoint &found) {
  const Manifest &manifest = found.manifest;
  if (manifest.seed != options.seed)
    return fail("train.seed is " + std::to_string(options.seed) +
                ", but the run was started with " +
                std::to_string(manifest.seed) +
                "; keep that, or start again with --fresh");
  LTC_TRY(restoreCheckpoint(program, manifest, found.path));
  LTC_TRY(inputs.train->seek(manifest.dataPosition));
  progress = manifest.progress;
  dataPosition = manifest.dataPosition;
  lastSaved = found.path;
  savedAttempt = progress.attempt;
  evaluatedAttempt = manifest.evaluatedAttempt;
  evaluationDue = manifest.evaluationDue;
  listener.onMessage("resumed at step " + std::to_string(progress.step) +
                     " from " + found.path.string());
  for (const std::string &change : changesSince(program.table(), manifest))
    listener.onMessage("changed since: " + change);
  return {};
}

Result<Outcome> Trainer::run() {
  for (;;) {
    // The next batch is made while the device is still at the last step, whose
    // results are read before the next one overwrites them.
    LTC_ASSIGN(const GlobalBatch *batch, fetch());
    Progress before = progress;
    LTC_TRY(settle());
    if (options.duration.reached(progress))
      break;
    evaluationDue |= options.evalEvery.due(before, progress);
    if (stop.requested())
      return saveAndStop();
    LTC_TRY(betweenSteps(before));
    if (stop.requested()) // while it evaluated or saved
      return saveAndStop();
    LTC_TRY(start(*batch));
  }
  LTC_TRY(evaluate());
  if (evaluationDue)
    return saveAndStop();
  LTC_TRY(save());
  return Outcome{true, progress, lastSaved};
}

Result<const GlobalBatch *> Trainer::fetch() {
  double began = now();
  LTC_ASSIGN(const GlobalBatch *batch, inputs.train->next());
  if (batch->rows == 0)
    return fail("the training data is empty");
  fetchSeconds = now() - began;
  return batch;
}

Result<void> Trainer::start(const GlobalBatch &batch) {
  double began = now();
  LTC_TRY(stepper.start(batch, progress.attempt));
  pending.exists = true;
  pending.epochs = inputs.train->epochs();
  pending.dataPosition = inputs.train->position();
  pending.report = {};
  pending.report.batchTokens = batch.tokens;
  pending.report.flops = program.table().flops_per_token *
                         double(batch.rows) * double(batch.length);
  pending.report.dataSeconds = fetchSeconds;
  pending.report.seconds = fetchSeconds + now() - began;
  return {};
}

Result<void> Trainer::settle() {
  if (!pending.exists)
    return {};
  pending.exists = false;
  double began = now();
  LTC_ASSIGN(StepResults results, stepper.finish());
  StepReport &report = pending.report;
  report.seconds += now() - began;
  progress.step = results.step;
  progress.tokens = results.tokens;
  progress.attempt += 1;
  progress.epochs = pending.epochs;
  progress.seconds += report.seconds;
  dataPosition = pending.dataPosition;
  report.progress = progress;
  report.ok = results.ok;
  report.gradNorm = results.gradNorm;
  report.lr = results.lr;
  report.terms = stepper.means(results.terms);
  report.loss = stepper.loss(results.terms);
  listener.onStep(report);
  refused = results.ok ? 0 : refused + 1;
  if (refused < kMaxRefused)
    return {};
  return fail("the guard refused " + std::to_string(refused) +
              " updates in a row (last gradient norm " +
              std::to_string(results.gradNorm) + "); lower the learning rate, "
              "or look at the data of step " + std::to_string(progress.step));
}

/// An evaluation that is due is left to the run that goes on.
Result<Outcome> Trainer::saveAndStop() {
  LTC_TRY(save());
  listener.onMessage("stopped at step " + std::to_string(progress.step) +
                     " and saved; the same command goes on from there");
  return Outcome{false, progress, lastSaved};
}

Result<void> Trainer::betweenSteps(const Progress &before) {
  if (evaluationDue)
    LTC_TRY(evaluate());
  if (options.saveEvery.due(before, progress))
    LTC_TRY(saveOrWarn());
  return {};
}

/// Remains due if a signal comes: all sets are then evaluated when the run
/// goes on, as if none had been.
Result<void> Trainer::evaluate() {
  evaluationDue = evaluatedAttempt != progress.attempt;
  if (!evaluationDue)
    return {};
  for (const EvalSet &set : inputs.evals) {
    double began = now();
    LTC_ASSIGN(std::optional<TermSums> sums,
               stepper.evaluate(*set.batches,
                                [&] { return stop.requested(); }));
    if (!sums)
      return {};
    listener.onEval({progress, set.name, stepper.loss(*sums),
                     stepper.means(*sums), sums->tokens, now() - began});
  }
  evaluationDue = false;
  evaluatedAttempt = progress.attempt;
  savedAttempt = -1; // a checkpoint of this step does not know of it
  return {};
}

Manifest Trainer::manifest() const {
  Manifest manifest;
  manifest.progress = progress;
  manifest.dataPosition = dataPosition;
  manifest.seed = options.seed;
  manifest.evaluatedAttempt = evaluatedAttempt;
  manifest.evaluationDue = evaluationDue;
  manifest.structureHash = program.table().structure_hash;
  manifest.dataHash = program.table().data_hash;
  for (const auto &scalar : program.table().scalars)
    manifest.scalars[scalar->key] = scalar->value;
  manifest.arithmetic = arithmeticOf(program.table());
  return manifest;
}

/// A full disk may have room again: as long as an older checkpoint stands, the
/// run goes on. With none, nothing was ever saved there, and waiting is worse.
Result<void> Trainer::saveOrWarn() {
  auto saved = save();
  if (saved || lastSaved.empty())
    return saved;
  listener.onMessage("warning: " + saved.error().message +
                     "; the run goes on, and tries again when it saves next");
  return {};
}

Result<void> Trainer::save() {
  if (savedAttempt == progress.attempt)
    return {};
  double began = now();
  auto saved = withEvaluationWeights(program, [&]() -> Result<void> {
    LTC_ASSIGN(lastSaved, saveCheckpoint(snapshot(program), manifest(),
                                         options.folder, options.keep));
    return {};
  });
  if (!saved)
    return fail("step " + std::to_string(progress.step) + " is not saved: " +
                saved.error().message +
                (lastSaved.empty() ? "; there is no older checkpoint"
                                   : "; " + lastSaved.string() +
                                         " stands, to go on from"));
  savedAttempt = progress.attempt;
  listener.onSave({progress, lastSaved.string(), now() - began});
  return {};
}

} // namespace ltc
