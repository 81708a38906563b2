// SPDX-License-Identifier: Apache-2.0
// Compares the first steps of a run with its plan and says, once, if they are
// much slower, and which kernels are to blame.
#pragma once
#include "runtime/device/Program.h"
#include "runtime/device/Roofline.h"
#include "runtime/train/Report.h"

namespace ltc {

/// Between the trainer and its listener. Times commands for some steps, then
/// leaves the program alone.
class PlanWatch : public RunListener {
public:
  static constexpr int kWarmUp = 2, kSteps = 8; ///< left out; compared
  static constexpr double kSlow = 0.7;          ///< of the planned speed

  /// `profile` may be one that is filled anyway; then it stays.
  PlanWatch(RunListener &inner, Program &program, const Roofline &roofline,
            int64_t rows, Profile *profile = nullptr);

  void onBegin(const Progress &progress, bool evaluated) override {
    inner.onBegin(progress, evaluated);
  }
  void onStep(const StepReport &report) override;
  void onEval(const EvalReport &report) override { inner.onEval(report); }
  void onSave(const SaveReport &report) override { inner.onSave(report); }
  void onMessage(const std::string &text) override { inner.onMessage(text); }

private:
  std::string verdict(double seconds) const;
  std::string worstKernels() const;

  RunListener &inner;
  Program &program;
  int64_t rows;
  std::map<int64_t, double> planned;
  Profile own, *profile;
  bool keepProfile;
  int steps = 0;
  std::vector<double> seconds;
};

} // namespace ltc
