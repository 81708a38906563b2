// SPDX-License-Identifier: Apache-2.0
#include "runtime/log/Loggers.h"
#include "runtime/schema/Schema.h"
#include <cstddef>

#define LTC_LOGGER(name)                                                       \
  extern "C" const LtcLoggerApi *ltcLogger_##name(void);
#include "runtime/log/Builtin.inc"
#undef LTC_LOGGER

namespace ltc {

static const LtcLoggerApi *(*const kLoggers[])() = {
#define LTC_LOGGER(name) ltcLogger_##name,
#include "runtime/log/Builtin.inc"
#undef LTC_LOGGER
};

static Result<const LtcLoggerApi *> findLogger(const std::string &name) {
  std::vector<std::string> names;
  std::string all;
  for (auto *entry : kLoggers) {
    const LtcLoggerApi *api = entry();
    if (name == api->name)
      return api;
    names.push_back(api->name);
    all += (all.empty() ? "" : ", ") + names.back();
  }
  std::string near = nearest(name, names);
  return fail("run.loggers: no logger is named '" + shown(name) + "'" +
              (near.empty() ? "; there are: " + all
                            : "; did you mean '" + near + "'?"));
}

Result<std::unique_ptr<Logger>> Logger::open(const LtcLoggerApi *api,
                                             const std::string &config,
                                             Say say) {
  if (api->major != LTC_LOGGER_MAJOR)
    return fail("logger " + std::string(api->name) + " was built for version " +
                std::to_string(api->major) + " of the logger table, this ltc "
                "has version " + std::to_string(LTC_LOGGER_MAJOR));
  size_t needed = offsetof(LtcLoggerApi, close) + sizeof(void *);
  if (api->size < needed)
    return fail("the table of logger " + std::string(api->name) +
                " is too short: " + std::to_string(api->size) +
                " bytes, at least " + std::to_string(needed) + " are needed");
  char words[1024] = "";
  LtcLoggerError error = {sizeof error, words, sizeof words};
  LtcLogger *logger = nullptr;
  if (api->open(config.c_str(), &logger, &error))
    return fail(words);
  return std::unique_ptr<Logger>(new Logger(api, logger, std::move(say)));
}

Logger::~Logger() { api->close(logger); }

void Logger::check(int code, const char *words) {
  if (code == 0)
    return;
  silent = true;
  say("logger " + std::string(api->name) + ": " + words +
      " (it is told nothing more)");
}

namespace {
/// A report in the form that crosses to C.
struct CTerms {
  explicit CTerms(const std::vector<TermValue> &terms) {
    for (const auto &[name, value] : terms)
      list.push_back({sizeof(LtcLogTerm), name.c_str(), value});
  }
  std::vector<LtcLogTerm> list;
};

LtcLogProgress convert(const Progress &progress) {
  return {sizeof(LtcLogProgress), progress.step,   progress.attempt,
          progress.tokens,        progress.epochs, progress.seconds};
}
} // namespace

void Logger::begin(const Progress &progress, bool evaluated) {
  bool has = api->size >= offsetof(LtcLoggerApi, begin) + sizeof(void *);
  if (silent || !has || !api->begin)
    return;
  LtcLogProgress at = convert(progress);
  LtcLogBegin begin = {sizeof begin, &at, evaluated};
  char words[1024] = "";
  LtcLoggerError error = {sizeof error, words, sizeof words};
  check(api->begin(logger, &begin, &error), words);
}

void Logger::step(const StepReport &report) {
  bool has = api->size >= offsetof(LtcLoggerApi, step) + sizeof(void *);
  if (silent || !has || !api->step)
    return;
  CTerms terms(report.terms);
  LtcLogProgress progress = convert(report.progress);
  LtcLogStep step = {sizeof step,        &progress,          report.loss,
                     report.lr,          report.gradNorm,    report.seconds,
                     report.dataSeconds, report.batchTokens, report.flops,
                     terms.list.data(),  terms.list.size(),  report.ok};
  char words[1024] = "";
  LtcLoggerError error = {sizeof error, words, sizeof words};
  check(api->step(logger, &step, &error), words);
}

void Logger::eval(const EvalReport &report) {
  bool has = api->size >= offsetof(LtcLoggerApi, eval) + sizeof(void *);
  if (silent || !has || !api->eval)
    return;
  CTerms terms(report.terms);
  LtcLogProgress progress = convert(report.progress);
  LtcLogEval eval = {sizeof eval,        &progress,
                     report.set.c_str(), report.loss,
                     report.tokens,      report.seconds,
                     terms.list.data(),  terms.list.size()};
  char words[1024] = "";
  LtcLoggerError error = {sizeof error, words, sizeof words};
  check(api->eval(logger, &eval, &error), words);
}

Result<std::vector<std::unique_ptr<Logger>>>
openLoggers(const std::string &names, const std::string &folder,
            const Logger::Say &say) {
  std::vector<std::unique_ptr<Logger>> loggers;
  if (names == "none")
    return loggers;
  std::string config = nlohmann::json{{"folder", folder}}.dump();
  for (size_t from = 0; from < names.size();) {
    size_t comma = std::min(names.find(',', from), names.size());
    size_t begin = std::min(names.find_first_not_of(' ', from), comma);
    std::string name = names.substr(begin, comma - begin);
    name.erase(name.find_last_not_of(' ') + 1);
    LTC_ASSIGN(const LtcLoggerApi *api, findLogger(name));
    LTC_ASSIGN(auto logger, Logger::open(api, config, say));
    loggers.push_back(std::move(logger));
    from = comma + 1;
  }
  return loggers;
}

} // namespace ltc
