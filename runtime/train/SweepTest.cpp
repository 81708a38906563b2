// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Sweep.h"
#include "runtime/train/ToyProgram.h"
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ltc;
namespace fs = std::filesystem;

namespace {
SweepRange rangeOf(const std::string &assignment, bool linear = false) {
  auto range = SweepRange::parse(toy::program(), assignment, linear);
  EXPECT_TRUE(range) << range.error().message;
  return range ? *range : SweepRange();
}
std::string refusal(const std::string &assignment) {
  auto range = SweepRange::parse(toy::program(), assignment, false);
  return range ? "" : range.error().message;
}
std::vector<SweepPoint> pointsOf(std::vector<std::pair<double, double>> list) {
  std::vector<SweepPoint> points;
  for (auto [value, loss] : list) {
    points.push_back({value, loss, loss, "", 10, 1});
    if (loss < 0)
      points.back().diverged = "the loss is no number";
  }
  return points;
}
const char *kKey = "train.optimizer.lr";
} // namespace

TEST(Sweep, aPositiveRangeHasEqualRatios) {
  SweepRange range = rangeOf(std::string(kKey) + "=1e-4..1e-2");
  EXPECT_TRUE(range.logarithmic);
  EXPECT_EQ(range.values(5),
            (std::vector<double>{1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2}));
  EXPECT_EQ(rangeOf(std::string(kKey) + "=0.1..0.3", true).values(3),
            (std::vector<double>{0.1, 0.2, 0.3}));
}

TEST(Sweep, aListIsTakenAsItIs) {
  EXPECT_EQ(rangeOf(std::string(kKey) + "=0.3,0.1,0.3").values(9),
            (std::vector<double>{0.1, 0.3}));
}

TEST(Sweep, onlyScalarsVary) {
  artifact::ArtifactT toy = toy::program();
  toy::addHost(toy, "run.folder", "\"x\"");
  EXPECT_TRUE(SweepRange::varies(toy, std::string(kKey) + "=1..2"));
  EXPECT_FALSE(SweepRange::varies(toy, std::string(kKey) + "=1"));
  EXPECT_FALSE(SweepRange::varies(toy, "run.folder=../x"));
  EXPECT_NE(refusal("run.keep=1..3").find("a sweep varies a scalar; scalars "
                                          "here: train.optimizer.lr"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(kKey) + "=3..1").find("the lower one first"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(kKey) + "=1..x").find("expected a number"),
            std::string::npos);
}

TEST(Sweep, zoomGoesBetweenTheBestAndItsNeighbours) {
  SweepRange range = rangeOf(std::string(kKey) + "=1e-4..1e-2");
  EXPECT_EQ(zoomInto(range, pointsOf({{1e-4, 3}, {1e-3, 2}, {1e-2, -1}})),
            (std::vector<double>{3.162e-4, 3.162e-3}));
  EXPECT_EQ(zoomInto(range, pointsOf({{1e-4, 1}, {1e-2, 2}})),
            (std::vector<double>{1e-3}));
  EXPECT_TRUE(zoomInto(range, pointsOf({{1e-4, -1}, {1e-2, -1}})).empty());
  range.whole = true;
  EXPECT_TRUE(zoomInto(range, pointsOf({{2, 1}, {3, 2}})).empty());
}

TEST(Sweep, itsFileGoesOnWithTheSameSettingsOnly) {
  fs::path folder = fs::temp_directory_path() /
                    ("ltc-sweep-" + std::to_string(::getpid()));
  artifact::ArtifactT toy = toy::program();
  nlohmann::json settings = sweepSettings(toy, kKey);
  auto file = SweepFile::open(folder, settings, false);
  ASSERT_TRUE(file);
  for (const SweepPoint &point : pointsOf({{2, 5}, {1, -1}}))
    ASSERT_TRUE(file->add(point));
  auto again = SweepFile::open(folder, settings, false);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->points().size(), 2u);
  EXPECT_EQ(again->points()[0].diverged, "the loss is no number");
  EXPECT_EQ(again->find(2)->loss, 5);
  EXPECT_EQ(again->find(3), nullptr);
  settings["train.duration"] = "9 steps";
  auto other = SweepFile::open(folder, settings, false);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("train.duration (then"),
            std::string::npos)
      << other.error().message;
  auto fresh = SweepFile::open(folder, settings, true);
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->points().empty());
  fs::remove_all(folder);
}
