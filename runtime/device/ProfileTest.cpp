// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Profile.h"
#include <gtest/gtest.h>

using namespace ltc;

namespace {
artifact::ArtifactT twoKernels() {
  artifact::ArtifactT table;
  for (const char *symbol : {"multiply", "add"}) {
    auto kernel = std::make_unique<artifact::KernelT>();
    kernel->symbol = symbol;
    kernel->line = "model.ltc:7:3";
    table.kernels.push_back(std::move(kernel));
  }
  table.kernels[0]->flops = 4e9;
  table.kernels[1]->read_bytes = 3e9;
  table.kernels[1]->written_bytes = 1e9;
  return table;
}
} // namespace

TEST(Profile, RowsByTimeWithRatesPerRunOfAPhase) {
  Profile profile;
  profile.endRun("accumulate"); // the first run: not counted
  for (int run = 0; run < 2; ++run) {
    profile.add("accumulate", 1, 0, 0.5);
    profile.add("accumulate", 0, 0, 1.0);
    profile.add("accumulate", 0, 0, 1.0);
    profile.add("accumulate", -1, 1000000000, 0.1);
    profile.endRun("accumulate");
  }
  std::string text = profile.table(twoKernels());
  EXPECT_NE(text.find("accumulate 2 runs of 2600.00 ms"), std::string::npos)
      << text;
  size_t multiply = text.find("multiply"), add = text.find("add");
  EXPECT_LT(multiply, add) << text;
  // 4 GFLOP a second; 4 GB in half a second; 1 GB of zeros in a tenth.
  EXPECT_NE(text.find("76.9%  2000.000      2.0 1000000.0      4.0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("8.0  accumulate add  model.ltc:7:3"), std::string::npos)
      << text;
  EXPECT_NE(text.find("10.0  accumulate zeros"), std::string::npos) << text;
}

TEST(Profile, ARunByKernelIsTheMeanOverRuns) {
  Profile profile;
  EXPECT_TRUE(profile.perRun("apply").empty());
  profile.endRun("apply");
  EXPECT_TRUE(profile.perRun("apply").empty());
  for (int run = 0; run < 2; ++run) {
    profile.add("apply", 1, 0, 1.0 + run);
    profile.add("apply", 1, 0, 1.0);
    profile.endRun("apply");
  }
  EXPECT_EQ(profile.perRun("apply"), (std::map<int64_t, double>{{1, 2.5}}));
}

TEST(Profile, AFirstRunAloneSaysNothing) {
  Profile profile;
  profile.endRun("init");
  std::string text = profile.table(twoKernels());
  EXPECT_NE(text.find("init       0 runs"), std::string::npos) << text;
  EXPECT_EQ(text.find("multiply"), std::string::npos) << text;
}
