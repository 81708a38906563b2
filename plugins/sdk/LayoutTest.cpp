// SPDX-License-Identifier: Apache-2.0
// The layout of the structs that plugins are built against: layout.txt has it
// frozen. A line of it never changes within a major version; a field that is
// appended adds one.
#include "plugins/sdk/Data.h"
#include "plugins/sdk/Logger.h"
#include <cstddef>
#include <fstream>
#include <gtest/gtest.h>

namespace {

struct Lines {
  std::string text;
  void add(const char *name, size_t offset, size_t size) {
    text += std::string(name) + " " + std::to_string(offset) + " " +
            std::to_string(size) + "\n";
  }
};

#define FIELD(type, field)                                                     \
  lines.add(#type "." #field, offsetof(type, field), sizeof(type::field))

std::string dataLayout() {
  Lines lines;
  FIELD(LtcDataError, size);
  FIELD(LtcDataError, text);
  FIELD(LtcDataError, capacity);
  FIELD(LtcDocument, size);
  FIELD(LtcDocument, bytes);
  FIELD(LtcDocument, length);
  FIELD(LtcSourceApi, size);
  FIELD(LtcSourceApi, major);
  FIELD(LtcSourceApi, kind);
  FIELD(LtcSourceApi, open);
  FIELD(LtcSourceApi, close);
  FIELD(LtcSourceApi, count);
  FIELD(LtcSourceApi, length);
  FIELD(LtcSourceApi, read);
  return lines.text;
}

std::string loggerLayout() {
  Lines lines;
  FIELD(LtcLoggerError, size);
  FIELD(LtcLoggerError, text);
  FIELD(LtcLoggerError, capacity);
  FIELD(LtcLogTerm, size);
  FIELD(LtcLogTerm, name);
  FIELD(LtcLogTerm, value);
  FIELD(LtcLogProgress, size);
  FIELD(LtcLogProgress, step);
  FIELD(LtcLogProgress, attempt);
  FIELD(LtcLogProgress, tokens);
  FIELD(LtcLogProgress, epochs);
  FIELD(LtcLogProgress, elapsed);
  FIELD(LtcLogStep, size);
  FIELD(LtcLogStep, progress);
  FIELD(LtcLogStep, loss);
  FIELD(LtcLogStep, learningRate);
  FIELD(LtcLogStep, gradientNorm);
  FIELD(LtcLogStep, seconds);
  FIELD(LtcLogStep, dataSeconds);
  FIELD(LtcLogStep, tokens);
  FIELD(LtcLogStep, flops);
  FIELD(LtcLogStep, terms);
  FIELD(LtcLogStep, termCount);
  FIELD(LtcLogStep, ok);
  FIELD(LtcLogEval, size);
  FIELD(LtcLogEval, progress);
  FIELD(LtcLogEval, set);
  FIELD(LtcLogEval, loss);
  FIELD(LtcLogEval, tokens);
  FIELD(LtcLogEval, seconds);
  FIELD(LtcLogEval, terms);
  FIELD(LtcLogEval, termCount);
  FIELD(LtcLoggerApi, size);
  FIELD(LtcLoggerApi, major);
  FIELD(LtcLoggerApi, name);
  FIELD(LtcLoggerApi, open);
  FIELD(LtcLoggerApi, close);
  FIELD(LtcLoggerApi, step);
  FIELD(LtcLoggerApi, eval);
  FIELD(LtcLoggerApi, begin);
  FIELD(LtcLogBegin, size);
  FIELD(LtcLogBegin, progress);
  FIELD(LtcLogBegin, evaluated);
  return lines.text;
}

TEST(Layout, isTheFrozenOne) {
  std::ifstream file("layout.txt");
  std::string frozen{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(dataLayout() + loggerLayout(), frozen);
}

} // namespace
