// SPDX-License-Identifier: Apache-2.0
// metrics.jsonl in the run's folder: one JSON object a step or evaluation.
// A resumed run drops what is told again.
#include "plugins/sdk/cpp/Logger.h"
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace {

using Json = nlohmann::ordered_json;

class JsonlLogger {
public:
  static constexpr char name[] = "jsonl";
  static JsonlLogger *open(const std::string &config) {
    auto json = nlohmann::json::parse(config);
    auto logger = std::make_unique<JsonlLogger>();
    logger->path = json.at("folder").get<std::string>() + "/metrics.jsonl";
    return logger.release();
  }
  ~JsonlLogger() {
    if (file)
      std::fclose(file);
  }

  void begin(const LtcLogBegin &begin) {
    keepUntil(begin.progress->attempt, begin.evaluated != 0);
  }

  void step(const LtcLogStep &step) {
    const LtcLogProgress &at = *step.progress;
    Json line = {{"step", at.step},
                 {"attempt", at.attempt},
                 {"tokens", at.tokens},
                 {"epochs", at.epochs},
                 {"loss", step.loss},
                 {"lr", step.learningRate},
                 {"grad_norm", step.gradientNorm},
                 {"ok", step.ok != 0},
                 {"seconds", step.seconds},
                 {"data_seconds", step.dataSeconds},
                 {"elapsed", at.elapsed}};
    addTerms(line, step.terms, step.termCount);
    write(line);
  }

  void eval(const LtcLogEval &eval) {
    Json line = {{"step", eval.progress->step},
                 {"attempt", eval.progress->attempt},
                 {"set", eval.set},
                 {"eval_loss", eval.loss},
                 {"eval_tokens", eval.tokens}};
    addTerms(line, eval.terms, eval.termCount);
    write(line);
  }

private:
  [[noreturn]] void failed(const char *what) const {
    throw std::runtime_error(std::string(what) + " " + path + ": " +
                             std::strerror(errno));
  }
  static void addTerms(Json &line, const LtcLogTerm *terms, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const LtcLogTerm &term = ltc::sdk::termAt(terms, i);
      line["terms"][term.name] = term.value;
    }
  }
  void write(const Json &line) {
    if (!file) {
      file = std::fopen(path.c_str(), "a");
      if (!file)
        failed("cannot write");
    }
    // A number that is not finite becomes null: JSON has no other word.
    std::string text = line.dump(-1, ' ', false,
                                 nlohmann::json::error_handler_t::replace);
    if (std::fprintf(file, "%s\n", text.c_str()) < 0 || std::fflush(file))
      failed("cannot write");
  }
  /// Leaves the whole lines of attempts up to this one, evaluations after it
  /// only if they count; under a name of its own first, so that a crash loses
  /// nothing.
  void keepUntil(int64_t attempt, bool evaluated) const {
    std::ifstream old(path);
    if (!old)
      return;
    std::string fresh = path + ".new";
    std::ofstream kept(fresh);
    for (std::string line; std::getline(old, line);) {
      auto json = nlohmann::json::parse(line, nullptr, false);
      if (!json.is_object())
        continue;
      int64_t at = json.value("attempt", int64_t(0));
      if (at < attempt ||
          (at == attempt && (evaluated || !json.contains("eval_loss"))))
        kept << line << "\n";
    }
    kept.close();
    if (!kept || std::rename(fresh.c_str(), path.c_str()))
      failed("cannot rewrite");
  }

  std::string path;
  FILE *file = nullptr;
};

} // namespace

extern "C" const LtcLoggerApi *ltcLogger_jsonl() {
  return ltc::sdk::loggerApi<JsonlLogger>();
}
