// SPDX-License-Identifier: Apache-2.0
// One step of a program: inputs, counts and scalars in, phases run, results
// out. Knows the program's tables; knows nothing of runs, folders or time.
#pragma once
#include "runtime/data/Batches.h"
#include "runtime/device/Program.h"
#include "runtime/train/Report.h"
#include <functional>
#include <optional>

namespace ltc {

/// Sums and counts of the loss terms, over one batch or many.
struct TermSums {
  std::vector<double> sums, counts; ///< by index into the artifact's terms
  std::vector<bool> dropped; ///< not made by the phase; empty: all are
  double tokens = 0;
};

struct StepResults {
  bool ok = true;
  double gradNorm = 0, lr = 0;
  TermSums terms;
  int64_t step = 0, tokens = 0; ///< of the device, after the step
};

class Stepper {
public:
  static Result<Stepper> create(Program &program);

  /// The scalar table and the seed, before the first phase.
  Result<void> writeScalars(int64_t seed);
  /// Weights and states of a new run.
  Result<void> init() { return program.runPhase("init"); }

  /// Gives the device the whole step: accumulate per micro batch, apply.
  Result<void> start(const GlobalBatch &batch, int64_t attempt);
  /// Waits for the step that was started and reads what it left.
  Result<StepResults> finish();
  /// Runs `evaluate` over the stream until it ends; nothing if `stop` says so
  /// before.
  Result<std::optional<TermSums>>
  evaluate(Batches &set, const std::function<bool()> &stop);

  /// Means, and the weighted sum over the terms that are trained.
  std::vector<TermValue> means(const TermSums &terms) const;
  double loss(const TermSums &terms) const;

private:
  explicit Stepper(Program &program) : program(program) {}
  Result<void> runMicroBatches(const artifact::PhaseT &phase,
                               const GlobalBatch &batch);
  Result<void> feed(const artifact::PhaseT &phase, const GlobalBatch &batch,
                    int64_t firstRow);
  Result<TermSums> countTerms(const GlobalBatch &batch) const;
  Result<void> addBatch(const artifact::PhaseT &phase,
                        const GlobalBatch &batch, TermSums &total);
  Result<void> zeroTerms();
  Result<void> readTerms(TermSums &terms) const;
  double weightOf(const artifact::TermT &term) const;

  Program &program;
  TermSums running; ///< counts of the step that was started
};

/// Copies a column's rows into the input of the same name.
Result<void> feedInput(Program &program, const artifact::InputT &input,
                       const Column &column, int64_t first, int64_t count);

} // namespace ltc
