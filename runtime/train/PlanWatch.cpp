// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/PlanWatch.h"
#include <algorithm>
#include <cstdio>

namespace ltc {

static constexpr int kNamed = 3; ///< kernels in the message

PlanWatch::PlanWatch(RunListener &inner, Program &program,
                     const Roofline &roofline, int64_t rows, Profile *profile)
    : inner(inner), program(program), rows(rows),
      planned(roofline.step(program.table(), rows)),
      profile(profile ? profile : &own), keepProfile(profile) {}

void PlanWatch::onStep(const StepReport &report) {
  inner.onStep(report);
  if (steps >= kWarmUp + kSteps)
    return;
  if (steps++ < kWarmUp) {
    if (steps == kWarmUp)
      program.profileInto(profile);
    return;
  }
  seconds.push_back(report.seconds - report.dataSeconds);
  if (steps < kWarmUp + kSteps)
    return;
  if (!keepProfile)
    program.profileInto(nullptr);
  std::nth_element(seconds.begin(), seconds.begin() + kSteps / 2,
                   seconds.end());
  std::string text = verdict(seconds[kSteps / 2]);
  if (!text.empty())
    inner.onMessage(text);
}

/// "" if the run is about as fast as planned.
std::string PlanWatch::verdict(double median) const {
  double expected = total(planned);
  if (!(median > 0) || expected >= kSlow * median)
    return "";
  char text[160];
  std::snprintf(text, sizeof text,
                "slower than planned: %.4g s a step, planned %.4g (%.2fx)",
                median, expected, expected / median);
  return text + worstKernels() + "; all kernels: ltc run --profile";
}

/// Those that take the most beyond their plan, in a step.
std::string PlanWatch::worstKernels() const {
  const artifact::ArtifactT &table = program.table();
  double micro = double(rows) / double(std::max<int64_t>(table.micro_batch, 1));
  std::map<int64_t, double> taken = profile->perRun("apply");
  for (auto [kernel, each] : profile->perRun("accumulate"))
    taken[kernel] += micro * each;
  std::vector<std::pair<double, int64_t>> beyond;
  for (auto [kernel, each] : taken) {
    auto plan = planned.find(kernel);
    if (kernel >= 0 && plan != planned.end() && each > plan->second)
      beyond.push_back({each - plan->second, kernel});
  }
  std::sort(beyond.rbegin(), beyond.rend());
  std::string text;
  for (size_t i = 0; i < beyond.size() && i < kNamed; ++i) {
    int64_t kernel = beyond[i].second;
    const artifact::KernelT &info = *table.kernels[kernel];
    char times[64];
    std::snprintf(times, sizeof times, " %.3g ms for %.3g",
                  1e3 * taken[kernel], 1e3 * planned.at(kernel));
    text += (i ? ", " : "; most beyond plan: ") + info.symbol +
            (info.line.empty() ? "" : " (" + info.line + ")") + times;
  }
  return text;
}

} // namespace ltc
