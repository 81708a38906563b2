// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Profile.h"
#include <algorithm>
#include <cstdio>
#include <vector>

namespace ltc {
using namespace artifact;

// Rows below this share of the whole are added up in one.
static constexpr double kSmallShare = 0.002;

void Profile::add(const std::string &phase, int64_t kernel, uint64_t bytes,
                  double seconds) {
  Row &row = phases[phase].kernels[kernel];
  row.seconds += seconds;
  row.bytes += double(bytes);
  row.launches += 1;
}

std::map<int64_t, double> Profile::perRun(const std::string &name) const {
  std::map<int64_t, double> seconds;
  auto found = phases.find(name);
  if (found == phases.end() || found->second.runs <= 0)
    return seconds;
  for (const auto &[kernel, row] : found->second.kernels)
    seconds[kernel] = row.seconds / double(found->second.runs);
  return seconds;
}

namespace {
struct Line {
  std::string phase, name, place;
  double seconds = 0, flops = 0, bytes = 0;
  int64_t launches = 0, runs = 1;
};
} // namespace

static std::string show(const Line &line, double total) {
  auto rate = [&](double work) {
    char text[32] = "";
    if (work > 0)
      std::snprintf(text, sizeof text, "%.1f", work / line.seconds / 1e9);
    return std::string(text);
  };
  char text[512];
  std::snprintf(text, sizeof text,
                "%6.1f%% %9.3f %8.1f %9.1f %8s %7s  %-10s %s  %s\n",
                100 * line.seconds / total, 1e3 * line.seconds / line.runs,
                double(line.launches) / line.runs,
                1e6 * line.seconds / line.launches, rate(line.flops).c_str(),
                rate(line.bytes).c_str(), line.phase.c_str(),
                line.name.c_str(), line.place.c_str());
  return text;
}

std::string Profile::table(const ArtifactT &program) const {
  std::vector<Line> lines;
  double total = 0;
  std::string text = "time by kernel, without each phase's first run\n";
  for (const auto &[name, phase] : phases) {
    double seconds = 0;
    for (const auto &[kernel, row] : phase.kernels) {
      Line line{name, "zeros", "", row.seconds, 0, row.bytes, row.launches,
                std::max<int64_t>(phase.runs, 1)};
      if (kernel >= 0) {
        const KernelT &info = *program.kernels[kernel];
        line.name = info.symbol;
        line.place = info.line;
        line.flops = info.flops * double(row.launches);
        line.bytes =
            (info.read_bytes + info.written_bytes) * double(row.launches);
      }
      seconds += row.seconds;
      lines.push_back(line);
    }
    total += seconds;
    char summary[160];
    std::snprintf(summary, sizeof summary, "  %-10s %lld runs of %.2f ms\n",
                  name.c_str(), (long long)std::max<int64_t>(phase.runs, 0),
                  1e3 * seconds / double(std::max<int64_t>(phase.runs, 1)));
    text += summary;
  }
  std::sort(lines.begin(), lines.end(), [](const Line &a, const Line &b) {
    return a.seconds > b.seconds;
  });
  text += "  share    ms/run launches   us each  GFLOP/s    GB/s  phase      "
          "kernel, line\n";
  Line rest;
  for (const Line &line : lines) {
    if (line.seconds >= kSmallShare * total) {
      text += show(line, total);
      continue;
    }
    rest.seconds += line.seconds;
    rest.launches += line.launches;
  }
  if (rest.launches) {
    char summary[96];
    std::snprintf(summary, sizeof summary, "%6.1f%% in %lld launches below "
                  "%.1f%% each\n", 100 * rest.seconds / total,
                  (long long)rest.launches, 100 * kSmallShare);
    text += summary;
  }
  return text;
}

} // namespace ltc
