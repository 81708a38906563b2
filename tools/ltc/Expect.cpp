// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Expect.h"
#include "runtime/device/Device.h"
#include "runtime/device/Program.h"
#include <algorithm>

namespace ltc::tool {
using namespace artifact;

Work workOf(const ArtifactT &table, const RunOptions &options) {
  Work work;
  work.parameters = double(table.parameter_count);
  for (const auto &parameter : table.parameters) {
    double count = parameter->role == "embedding" ? 1 : 0;
    for (int64_t size : parameter->shape)
      count *= double(size);
    work.embeddings += count;
  }
  work.flopsPerToken = table.flops_per_token;
  work.attentionPerToken = table.attention_flops_per_token;
  work.tokensPerStep = double(options.batch) * double(table.length);
  return work;
}

Result<Expectation> expectHere(const ArtifactT &table,
                               const RunOptions &options) {
  LTC_ASSIGN(auto device, Device::open(deviceOf(table), options.threads));
  LTC_ASSIGN(Roofline roofline, Roofline::measure(table, *device));
  Expectation result;
  auto step = roofline.step(table, options.batch);
  result.stepSeconds = total(step);
  result.peaks = roofline.peaks;
  result.device = device->description();
  result.how = roofline.peaks.how;
  result.peaks.how = "";
  std::map<std::string, double> byForm;
  for (auto [kernel, seconds] : step)
    byForm[kernel < 0 ? "zeros" : table.kernels[kernel]->form] += seconds;
  result.byForm.assign(byForm.begin(), byForm.end());
  std::stable_sort(result.byForm.begin(), result.byForm.end(),
                   [](auto &a, auto &b) { return a.second > b.second; });
  return result;
}

std::optional<double> stepsOf(const RunOptions &options, const Work &work,
                              double epochTokens) {
  double amount = options.duration.amount;
  switch (options.duration.unit) {
  case Duration::Unit::steps:
    return amount;
  case Duration::Unit::tokens:
    return amount / work.tokensPerStep;
  case Duration::Unit::epochs:
    if (epochTokens > 0)
      return amount * epochTokens / work.tokensPerStep;
    return std::nullopt;
  case Duration::Unit::seconds:
    return std::nullopt;
  }
  return std::nullopt;
}

} // namespace ltc::tool
