// SPDX-License-Identifier: Apache-2.0
// Writes a logger's C table from a C++ class with: static constexpr char
// name[]; static T *open(const std::string &config); void step(const
// LtcLogStep &); void eval(const LtcLogEval &); void begin(const LtcLogBegin
// &). They throw std::exception;
// what it says reaches the user.
#pragma once
#include "plugins/sdk/Logger.h"
#include "plugins/sdk/cpp/Guard.h"
#include <string>

namespace ltc::sdk {

template <typename T> const LtcLoggerApi *loggerApi() {
  static const LtcLoggerApi api = {
      sizeof(LtcLoggerApi),
      LTC_LOGGER_MAJOR,
      T::name,
      [](const char *config, LtcLogger **logger, LtcLoggerError *error) {
        return guarded(error, [&] {
          *logger = reinterpret_cast<LtcLogger *>(T::open(config));
        });
      },
      [](LtcLogger *logger) { delete reinterpret_cast<T *>(logger); },
      [](LtcLogger *logger, const LtcLogStep *step, LtcLoggerError *error) {
        return guarded(error,
                       [&] { reinterpret_cast<T *>(logger)->step(*step); });
      },
      [](LtcLogger *logger, const LtcLogEval *eval, LtcLoggerError *error) {
        return guarded(error,
                       [&] { reinterpret_cast<T *>(logger)->eval(*eval); });
      },
      [](LtcLogger *logger, const LtcLogBegin *begin, LtcLoggerError *error) {
        return guarded(error,
                       [&] { reinterpret_cast<T *>(logger)->begin(*begin); });
      }};
  return &api;
}

/// The i-th term of a list, whatever its version's size.
inline const LtcLogTerm &termAt(const LtcLogTerm *terms, uint64_t i) {
  auto *bytes = reinterpret_cast<const char *>(terms);
  return *reinterpret_cast<const LtcLogTerm *>(bytes + i * terms->size);
}

} // namespace ltc::sdk
