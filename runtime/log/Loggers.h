// SPDX-License-Identifier: Apache-2.0
// Loggers of plugins/sdk/Logger.h, told of a run.
#pragma once
#include "plugins/sdk/Logger.h"
#include "runtime/base/Result.h"
#include "runtime/train/Report.h"
#include <functional>
#include <memory>

namespace ltc {

/// One opened logger. A failure of it does not end the run: its words go to
/// `say` once, and it hears nothing more.
class Logger {
public:
  using Say = std::function<void(const std::string &)>;

  /// Checks the table's version and size; `config` is its JSON object.
  static Result<std::unique_ptr<Logger>>
  open(const LtcLoggerApi *api, const std::string &config, Say say);
  ~Logger();
  Logger(const Logger &) = delete;
  Logger &operator=(const Logger &) = delete;

  void begin(const Progress &progress, bool evaluated);
  void step(const StepReport &report);
  void eval(const EvalReport &report);

private:
  Logger(const LtcLoggerApi *api, LtcLogger *logger, Say say)
      : api(api), logger(logger), say(std::move(say)) {}
  void check(int code, const char *words);

  const LtcLoggerApi *api;
  LtcLogger *logger;
  Say say;
  bool silent = false;
};

/// The loggers of a list such as "jsonl, other"; none for "none".
Result<std::vector<std::unique_ptr<Logger>>>
openLoggers(const std::string &names, const std::string &folder,
            const Logger::Say &say);

} // namespace ltc
