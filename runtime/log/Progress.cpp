// SPDX-License-Identifier: Apache-2.0
#include "runtime/log/Progress.h"
#include "runtime/base/File.h"
#include <cmath>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace ltc {
namespace {

std::string clock(double seconds) {
  char text[32];
  long whole = std::lround(seconds);
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600,
                  whole / 60 % 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

class Log : public RunListener {
public:
  explicit Log(const LogOptions &options)
      : options(options), live(isatty(STDOUT_FILENO)) {}
  ~Log() override {
    if (file)
      std::fclose(file);
  }

  Result<void> open() {
    path = options.folder + "/metrics.jsonl";
    return {};
  }

  void onBegin(const Progress &progress, bool evaluated) override {
    keepUntil(progress.attempt, evaluated);
    before = progress;
  }

  void onStep(const StepReport &step) override {
    nlohmann::ordered_json line = {
        {"step", step.progress.step},     {"attempt", step.progress.attempt},
        {"tokens", step.progress.tokens}, {"epochs", step.progress.epochs},
        {"loss", step.loss},              {"lr", step.lr},
        {"grad_norm", step.gradNorm},     {"ok", step.ok},
        {"seconds", step.seconds},        {"data_seconds", step.dataSeconds},
        {"elapsed", step.progress.seconds}};
    for (const auto &[name, value] : step.terms)
      line["terms"][name] = value;
    write(line);
    tokens += step.batchTokens;
    seconds += step.seconds;
    dataSeconds += step.dataSeconds;
    flops += step.flops;
    bool due = options.logEvery.amount > 0 &&
               options.logEvery.due(before, step.progress);
    before = step.progress;
    if (live || due)
      show(step, due);
  }

  void onEval(const EvalReport &eval) override {
    nlohmann::ordered_json line = {{"step", eval.progress.step},
                                   {"attempt", eval.progress.attempt},
                                   {"set", eval.set},
                                   {"eval_loss", eval.loss},
                                   {"eval_tokens", eval.tokens}};
    for (const auto &[name, value] : eval.terms)
      line["terms"][name] = value;
    write(line);
    char text[64];
    std::snprintf(text, sizeof text, "  %s %.4f", eval.set.c_str(), eval.loss);
    evals[eval.set] = text;
    finishLine();
    std::printf("eval at step %lld: %s loss %.4f (%.3f bits) over %.0f tokens\n",
                (long long)eval.progress.step, eval.set.c_str(), eval.loss,
                eval.loss / std::log(2.0), eval.tokens);
    std::fflush(stdout);
  }
  void onSave(const SaveReport &save) override {
    finishLine();
    std::printf("saved %s in %.2f s\n", save.folder.c_str(), save.seconds);
    std::fflush(stdout);
  }
  void onMessage(const std::string &text) override {
    finishLine();
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }

private:
  void finishLine() {
    if (open_)
      std::printf("\n");
    open_ = false;
  }

  void show(const StepReport &step, bool keep) {
    double speed = seconds > 0 ? tokens / seconds : 0;
    std::string text;
    char part[160];
    std::snprintf(part, sizeof part,
                  "step %lld  loss %.4f  lr %.3g  norm %.3g  %.0f tok/s",
                  (long long)step.progress.step, step.loss, step.lr,
                  step.gradNorm, speed);
    text = part;
    for (const auto &[set, words] : evals)
      text += words;
    if (options.peakFlops > 0 && seconds > 0) {
      std::snprintf(part, sizeof part, "  MFU %.0f%%",
                    100 * flops / seconds / options.peakFlops);
      text += part;
    }
    std::snprintf(part, sizeof part, "  data wait %.0f%%",
                  seconds > 0 ? 100 * dataSeconds / seconds : 0);
    text += part;
    double done = options.duration.measure(step.progress);
    if (done > 0 && options.duration.amount > done)
      text += "  ETA " + clock(step.progress.seconds / done *
                               (options.duration.amount - done));
    if (!step.ok)
      text += "  (void: the norm is over the guard)";
    std::printf(live ? "\r\033[K%s" : "%s\n", text.c_str());
    open_ = live;
    if (live && keep)
      finishLine();
    std::fflush(stdout);
    if (keep)
      tokens = seconds = dataSeconds = flops = 0;
  }

  void write(const nlohmann::ordered_json &line) {
    if (!file) {
      file = std::fopen(path.c_str(), "a");
      if (!file) {
        onMessage("cannot write " + path);
        file = std::fopen("/dev/null", "w");
      }
    }
    std::fprintf(file, "%s\n", line.dump().c_str());
    std::fflush(file);
  }
  /// Drops what an earlier process left about steps that are made again.
  void keepUntil(int64_t attempt, bool evaluated) {
    auto old = MappedFile::open(path);
    if (!old)
      return;
    std::string kept;
    std::string_view rest(old->bytes().data(), old->bytes().size());
    while (!rest.empty()) {
      size_t end = std::min(rest.find('\n'), rest.size());
      auto json = nlohmann::json::parse(rest.substr(0, end), nullptr, false);
      bool whole = json.is_object() && end < rest.size();
      int64_t at = whole ? json.value("attempt", int64_t(0)) : attempt + 1;
      if (at < attempt ||
          (at == attempt && (evaluated || !json.contains("eval_loss"))))
        kept += std::string(rest.substr(0, end)) + "\n";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (auto written = writeFile(path, kept); !written)
      onMessage(written.error().message);
  }

  LogOptions options;
  bool live, open_ = false;
  std::string path;
  FILE *file = nullptr;
  Progress before;
  double tokens = 0, seconds = 0, dataSeconds = 0, flops = 0;
  std::map<std::string, std::string> evals;
};

} // namespace

Result<std::unique_ptr<RunListener>> openLog(const LogOptions &options) {
  auto log = std::make_unique<Log>(options);
  LTC_TRY(log->open());
  return std::unique_ptr<RunListener>(std::move(log));
}

Result<std::string> drawCurve(const std::string &metricsPath, int width,
                              int height) {
  LTC_ASSIGN(MappedFile file, MappedFile::open(metricsPath));
  std::vector<std::pair<double, double>> points;
  std::string_view rest(file.bytes().data(), file.bytes().size());
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    auto json = nlohmann::json::parse(rest.substr(0, end), nullptr, false);
    if (json.is_object() && json.contains("loss") && json["loss"].is_number())
      points.push_back({json.value("step", 0.0), json["loss"].get<double>()});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (points.size() < 2)
    return std::string("(too few steps for a curve)\n");
  double low = 1e300, high = -1e300, last = points.back().first;
  double first = points.front().first;
  for (auto [x, y] : points) {
    low = std::min(low, y);
    high = std::max(high, y);
  }
  if (high <= low)
    high = low + 1;
  // Braille: 2 x 4 dots a character.
  static const int dots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20},
                                 {0x40, 0x80}};
  std::vector<std::vector<int>> cells(height, std::vector<int>(width, 0));
  std::vector<double> sum(width * 2, 0), count(width * 2, 0);
  for (auto [x, y] : points) {
    int column = int((x - first) / std::max(1.0, last - first) *
                     (width * 2 - 1));
    sum[column] += y;
    count[column] += 1;
  }
  for (int x = 0; x < width * 2; ++x) {
    if (!count[x])
      continue;
    double y = (high - sum[x] / count[x]) / (high - low);
    int dot = std::min(height * 4 - 1, int(y * (height * 4 - 1) + 0.5));
    cells[dot / 4][x / 2] |= dots[dot % 4][x % 2];
  }
  std::string text;
  char label[32];
  for (int row = 0; row < height; ++row) {
    double value = high - (high - low) * row / std::max(1, height - 1);
    std::snprintf(label, sizeof label, "%7.3f ", value);
    text += row % 3 == 0 || row == height - 1 ? label : "        ";
    for (int cell : cells[row]) {
      int code = 0x2800 + cell; // UTF-8 of a braille pattern
      text += char(0xe0 | code >> 12);
      text += char(0x80 | (code >> 6 & 0x3f));
      text += char(0x80 | (code & 0x3f));
    }
    text += "\n";
  }
  std::snprintf(label, sizeof label, "step %.0f", last);
  text += "        loss by step, to " + std::string(label) + "\n";
  return text;
}

} // namespace ltc
