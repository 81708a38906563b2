// SPDX-License-Identifier: Apache-2.0
#include "runtime/log/Loggers.h"
#include "runtime/log/Progress.h"
#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
using namespace ltc;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = fs::temp_directory_path() / "ltc-log-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
};

std::vector<nlohmann::json> lines(const fs::path &path) {
  std::vector<nlohmann::json> result;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    result.push_back(nlohmann::json::parse(line));
  return result;
}

StepReport stepAt(int64_t attempt, double loss) {
  StepReport report;
  report.progress = {attempt, attempt, attempt * 10, 0.5, 1.0};
  report.loss = loss;
  report.terms = {{"cross_entropy", loss}, {"z_loss", 0.25}};
  return report;
}

std::unique_ptr<Logger> jsonl(const fs::path &folder,
                              std::vector<std::string> &said) {
  auto loggers = openLoggers("jsonl", folder, [&](const std::string &text) {
    said.push_back(text);
  });
  return std::move((*loggers)[0]);
}

TEST(Jsonl, stepsAndEvaluationsAreLines) {
  Folder folder;
  std::vector<std::string> said;
  {
    auto logger = jsonl(folder.path, said);
    logger->step(stepAt(1, 2.5));
    logger->eval({stepAt(1, 0).progress, "held_out", 2.25, {}, 100, 0.1});
  }
  auto read = lines(folder.path / "metrics.jsonl");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0]["loss"], 2.5);
  EXPECT_EQ(read[0]["tokens"], 10);
  EXPECT_EQ(read[0]["terms"]["z_loss"], 0.25);
  EXPECT_EQ(read[1]["set"], "held_out");
  EXPECT_EQ(read[1]["eval_loss"], 2.25);
  EXPECT_TRUE(said.empty());
}

TEST(Jsonl, aResumedRunDropsWhatItDoesAgain) {
  Folder folder;
  std::vector<std::string> said;
  {
    auto logger = jsonl(folder.path, said);
    for (int i = 1; i <= 5; ++i)
      logger->step(stepAt(i, 10 + i));
  }
  std::ofstream(folder.path / "metrics.jsonl", std::ios::app) << "{\"torn";
  {
    auto logger = jsonl(folder.path, said);
    logger->begin(stepAt(2, 0).progress, false);
    logger->step(stepAt(3, 20));
  }
  auto read = lines(folder.path / "metrics.jsonl");
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[1]["loss"], 12);
  EXPECT_EQ(read[2]["loss"], 20);
}

TEST(Jsonl, notANumberIsNull) {
  Folder folder;
  std::vector<std::string> said;
  jsonl(folder.path, said)->step(stepAt(1, NAN));
  EXPECT_TRUE(lines(folder.path / "metrics.jsonl")[0]["loss"].is_null());
}

TEST(Jsonl, whatIsWrongIsSaidOnceAndTheRunGoesOn) {
  std::vector<std::string> said;
  auto logger = jsonl("/nowhere", said);
  logger->step(stepAt(1, 1));
  logger->step(stepAt(2, 1));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0], "logger jsonl: cannot write /nowhere/metrics.jsonl: No "
                     "such file or directory (it is told nothing more)");
}

TEST(Loggers, unknownNamesAreRefusedWithTheNearest) {
  auto none = openLoggers("none", "/", nullptr);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  auto wrong = openLoggers("json", "/", nullptr);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "run.loggers: no logger is named 'json'; "
                                   "did you mean 'jsonl'?");
}

/// A logger of another build: a table that ends early, or of another version.
LtcLoggerApi foreignTable() {
  return {sizeof(LtcLoggerApi),
          LTC_LOGGER_MAJOR,
          "foreign",
          [](const char *, LtcLogger **, LtcLoggerError *error) {
            std::strcpy(error->text, "its own words: 100 %d");
            return 1;
          },
          [](LtcLogger *) {},
          nullptr,
          nullptr};
}

TEST(Loggers, anotherVersionIsRefusedNamingBoth) {
  LtcLoggerApi api = foreignTable();
  api.major = 7;
  auto logger = Logger::open(&api, "{}", nullptr);
  ASSERT_FALSE(logger);
  EXPECT_EQ(logger.error().message,
            "logger foreign was built for version 7 of the logger table, this "
            "ltc has version 1");
}

TEST(Loggers, errorsReachTheUserVerbatim) {
  LtcLoggerApi api = foreignTable();
  auto logger = Logger::open(&api, "{}", nullptr);
  ASSERT_FALSE(logger);
  EXPECT_EQ(logger.error().message, "its own words: 100 %d");
}

TEST(Loggers, aShorterTableAndNullFunctionsAreTaken) {
  LtcLoggerApi api = foreignTable();
  api.open = [](const char *, LtcLogger **, LtcLoggerError *) { return 0; };
  auto whole = Logger::open(&api, "{}", nullptr);
  ASSERT_TRUE(whole);
  (*whole)->step(stepAt(1, 1)); // step is null
  api.size = offsetof(LtcLoggerApi, step);
  api.step = [](LtcLogger *, const LtcLogStep *, LtcLoggerError *) -> int {
    std::abort(); // not covered by the table's size
  };
  auto shorter = Logger::open(&api, "{}", nullptr);
  ASSERT_TRUE(shorter);
  (*shorter)->step(stepAt(1, 1));
  api.size = offsetof(LtcLoggerApi, close);
  EXPECT_FALSE(Logger::open(&api, "{}", nullptr));
}

TEST(Line, theLeastImportantPartsGoFirst) {
  std::vector<LinePart> parts = {
      {0, "step 1"}, {1, "loss 2"}, {3, "wait 0%"}, {2, "ETA 1:00"}};
  EXPECT_EQ(fitLine(parts, 0), "step 1  loss 2  wait 0%  ETA 1:00");
  EXPECT_EQ(fitLine(parts, 33), "step 1  loss 2  wait 0%  ETA 1:00");
  EXPECT_EQ(fitLine(parts, 32), "step 1  loss 2  ETA 1:00");
  EXPECT_EQ(fitLine(parts, 20), "step 1  loss 2");
  EXPECT_EQ(fitLine(parts, 4), "step");
}

TEST(Pace, timeLeftFollowsTheRate) {
  Pace pace = {100, 50}; // resumed at 100 when the clock stood at 50
  EXPECT_FALSE(pace.left(100, 51, 500));
  EXPECT_EQ(pace.left(120, 60, 500), 190.0); // 2 a second
  EXPECT_EQ(pace.left(500, 60, 500), 0.0);
}

TEST(Curve, evaluationsAreLettersAndTheLegendNamesThem) {
  Folder folder;
  fs::path path = folder.path / "m.jsonl";
  {
    std::ofstream file(path);
    for (int i = 1; i <= 10000; ++i)
      file << R"({"step":)" << i << R"(,"loss":)"
           << 1 + 4 * std::exp(-i / 300.0) << "}\n";
    file << R"({"step":5000,"set":"held_out","eval_loss":1.5})" << "\n"
         << R"({"step":10000,"set":"held_out","eval_loss":1.25})" << "\n";
  }
  auto curve = drawCurve(path, 40, 8);
  ASSERT_TRUE(curve);
  EXPECT_NE(curve->find("a: held_out 1.2500"), std::string::npos) << *curve;
  EXPECT_EQ(std::count(curve->begin(), curve->end(), '\n'), 10) << *curve;
  EXPECT_NE(curve->find("above the scale"), std::string::npos) << *curve;
}

} // namespace
