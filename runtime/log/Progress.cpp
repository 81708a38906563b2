// SPDX-License-Identifier: Apache-2.0
#include "runtime/log/Progress.h"
#include "runtime/log/Loggers.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace ltc {
namespace {

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

template <typename... Args>
std::string format(const char *pattern, Args... args) {
  char text[200];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

std::string clockText(double seconds) {
  long whole = std::lround(seconds);
  if (whole >= 3600)
    return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return format("%ld:%02ld", whole / 60, whole % 60);
}

/// 950, 12.3k, 4.56M
std::string shortRate(double value) {
  const char *units[] = {"", "k", "M", "B"};
  int unit = 0;
  for (; value >= 1000 && unit < 3; ++unit)
    value /= 1000;
  return format(unit == 0 || value >= 100 ? "%.0f%s" : "%.1f%s", value,
                units[unit]);
}

/// Columns of the terminal; 0 if unknown.
size_t terminalWidth() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    return size.ws_col;
  return 0;
}

class Log : public RunListener {
public:
  explicit Log(const LogOptions &options)
      : options(options), live(isatty(STDOUT_FILENO)) {}

  Result<void> open() {
    LTC_ASSIGN(loggers, openLoggers(options.loggers, options.folder,
                                    [this](auto &text) { onMessage(text); }));
    return {};
  }

  void onBegin(const Progress &progress, bool evaluated) override {
    for (auto &logger : loggers)
      logger->begin(progress, evaluated);
    before = progress;
  }

  void onStep(const StepReport &step) override {
    for (auto &logger : loggers)
      logger->step(step);
    tokens += step.batchTokens;
    seconds += step.seconds;
    dataSeconds += step.dataSeconds;
    flops += step.flops;
    if (!paced)
      pace = {options.duration.measure(step.progress), now()};
    paced = true;
    bool due = options.logEvery.due(before, step.progress);
    before = step.progress;
    if (live || due)
      show(step, due);
  }

  void onEval(const EvalReport &eval) override {
    for (auto &logger : loggers)
      logger->eval(eval);
    evals[eval.set] = eval.loss;
    say(format("eval at step %lld: %s loss %.4f (%.3f bits) over %.0f tokens",
               (long long)eval.progress.step, eval.set.c_str(), eval.loss,
               eval.loss / std::log(2.0), eval.tokens));
  }
  void onSave(const SaveReport &save) override {
    say("saved " + save.folder + format(" in %.2f s", save.seconds));
  }
  void onMessage(const std::string &text) override { say(text); }

private:
  void say(const std::string &text) {
    finishLine();
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }
  void finishLine() {
    if (open_)
      std::printf("\n");
    open_ = false;
  }

  /// "step 120/5000", "step 120  2.4/20 min", ...
  std::string place(const Progress &progress) const {
    long long step = progress.step;
    double done = options.duration.measure(progress);
    double whole = options.duration.amount;
    switch (options.duration.unit) {
    case Duration::Unit::steps:
      return format("step %lld/%.0f", step, whole);
    case Duration::Unit::epochs:
      return format("step %lld  epoch %.2f/%.4g", step, done, whole);
    case Duration::Unit::tokens:
      return format("step %lld  %s/%s tok", step, shortRate(done).c_str(),
                    shortRate(whole).c_str());
    case Duration::Unit::seconds:
      return format("step %lld  %.1f/%.4g min", step, done / 60, whole / 60);
    }
    return "";
  }

  std::vector<LinePart> parts(const StepReport &step) const {
    std::vector<LinePart> list = {{0, place(step.progress)},
                                  {1, format("loss %.4f", step.loss)}};
    for (const auto &[set, loss] : evals)
      list.push_back({4, set + format(" %.4f", loss)});
    list.push_back({6, format("lr %.3g", step.lr)});
    list.push_back({7, format("norm %.3g", step.gradNorm)});
    double span = seconds > 0 ? seconds : 1;
    list.push_back({3, shortRate(tokens / span) + " tok/s"});
    if (options.peakFlops > 0)
      list.push_back(
          {5, format("MFU %.0f%%", 100 * flops / span / options.peakFlops)});
    list.push_back({8, format("data wait %.0f%%", 100 * dataSeconds / span)});
    auto left = pace.left(options.duration.measure(step.progress), now(),
                          options.duration.amount);
    list.push_back({2, "ETA " + (left ? clockText(*left) : std::string("-"))});
    if (!step.ok)
      list.push_back({1, "(void: the norm is over the guard)"});
    return list;
  }

  void show(const StepReport &step, bool keep) {
    // A live line must not reach the last column: it would wrap there, and the
    // next one could not take its place.
    size_t width = live ? terminalWidth() : 0;
    std::string text = fitLine(parts(step), width > 1 ? width - 1 : 0);
    std::printf(live ? "\r\033[K%s" : "%s\n", text.c_str());
    open_ = live;
    if (live && keep)
      finishLine();
    std::fflush(stdout);
    if (keep)
      tokens = seconds = dataSeconds = flops = 0;
  }

  LogOptions options;
  bool live, open_ = false, paced = false;
  std::vector<std::unique_ptr<Logger>> loggers;
  Progress before;
  Pace pace;
  double tokens = 0, seconds = 0, dataSeconds = 0, flops = 0;
  std::map<std::string, double> evals; ///< the last loss per set
};

} // namespace

std::string fitLine(const std::vector<LinePart> &parts, size_t width) {
  int highest = 0;
  for (const LinePart &part : parts)
    highest = std::max(highest, part.rank);
  for (int rank = highest;; --rank) {
    std::string line;
    for (const LinePart &part : parts)
      if (part.rank <= rank)
        line += (line.empty() ? "" : "  ") + part.text;
    if (width == 0 || line.size() <= width)
      return line;
    if (rank <= 0)
      return line.substr(0, width);
  }
}

std::optional<double> Pace::left(double doneNow, double clockNow,
                                 double amount) const {
  if (amount <= doneNow)
    return 0.0;
  if (doneNow <= done || clockNow <= clock)
    return std::nullopt;
  return (clockNow - clock) / (doneNow - done) * (amount - doneNow);
}

Result<std::unique_ptr<RunListener>> openLog(const LogOptions &options) {
  auto log = std::make_unique<Log>(options);
  LTC_TRY(log->open());
  return std::unique_ptr<RunListener>(std::move(log));
}

} // namespace ltc
