// SPDX-License-Identifier: Apache-2.0
// The training loop over interfaces: a program, streams of batches, a listener.
#pragma once
#include "runtime/train/Options.h"
#include "runtime/train/RunFolder.h"
#include "runtime/train/Stepper.h"
#include "runtime/train/Stop.h"

namespace ltc {

struct EvalSet {
  std::string name;
  Batches *batches;
};

struct TrainerInputs {
  Batches *train = nullptr;
  std::vector<EvalSet> evals;
  RunListener *listener = nullptr;
  bool fresh = false;
};

struct Outcome {
  bool finished = false; ///< false: a signal ended it; it was saved
  Progress progress;
  std::filesystem::path checkpoint; ///< the last one
};

class Trainer {
public:
  /// Opens the run folder and brings the program to where the run stands:
  /// its newest whole checkpoint, or new weights.
  static Result<std::unique_ptr<Trainer>> create(Program &program,
                                                 const RunOptions &options,
                                                 const TrainerInputs &inputs);
  /// Trains until the duration is reached or a signal comes.
  Result<Outcome> run();
  /// Whether the guard refused so many updates that run() gave up.
  bool diverged() const { return refused >= kMaxRefused; }

private:
  // So many refused updates in a row will not mend themselves.
  static constexpr int kMaxRefused = 50;

  Trainer(Program &program, Stepper stepper, RunLock lock,
          const RunOptions &options, const TrainerInputs &inputs)
      : program(program), stepper(std::move(stepper)), lock(std::move(lock)),
        options(options), inputs(inputs), listener(*inputs.listener) {}
  Result<void> begin();
  Result<void> initialise();
  Result<void> resume(const FoundCheckpoint &found);
  Result<const GlobalBatch *> fetch();
  Result<void> start(const GlobalBatch &batch);
  Result<void> settle();
  Result<Outcome> saveAndStop();
  Result<void> betweenSteps(const Progress &before);
  Result<void> evaluate();
  Result<void> save();
  Result<void> saveOrWarn();
  Manifest manifest() const;

  Program &program;
  Stepper stepper;
  RunLock lock;
  RunOptions options;
  TrainerInputs inputs;
  RunListener &listener;
  StopSignals stop;

  Progress progress;        ///< after the last step whose results were read
  std::string dataPosition; ///< after that step's batch
  std::filesystem::path lastSaved;
  int64_t savedAttempt = -1, evaluatedAttempt = -1;
  bool evaluationDue = false;
  int refused = 0; ///< updates in a row that the guard did not take

  /// The step that the device has been given and that was not read yet.
  struct Pending {
    bool exists = false;
    StepReport report;
    double epochs = 0;
    std::string dataPosition;
  } pending;
  double fetchSeconds = 0; ///< what the last fetch took
};

} // namespace ltc
