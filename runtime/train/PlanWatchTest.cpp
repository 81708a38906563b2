// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/PlanWatch.h"
#include "runtime/train/ToyProgram.h"
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ltc;

namespace {
struct Messages : RunListener {
  std::vector<std::string> said;
  int steps = 0;
  void onMessage(const std::string &text) override { said.push_back(text); }
  void onStep(const StepReport &) override { ++steps; }
};

struct Watch : testing::Test {
  ArtifactFile file;
  std::unique_ptr<Device> device;
  std::unique_ptr<Program> program;
  Messages messages;

  void SetUp() override {
    artifact::ArtifactT table = toy::program();
    for (auto &kernel : table.kernels) {
      kernel->flops = 1e6;
      kernel->line = "toy.ltc:1:1";
      kernel->flops_share = kernel->bytes_share = 1;
    }
    auto path = std::filesystem::temp_directory_path() /
                ("ltc-watch-" + std::to_string(::getpid()));
    ASSERT_TRUE(writeArtifact(table, path));
    auto opened = ArtifactFile::open(path);
    std::filesystem::remove(path);
    ASSERT_TRUE(opened);
    file = std::move(*opened);
    auto cpu = Device::open("cpu", 1);
    ASSERT_TRUE(cpu);
    device = *std::move(cpu);
    auto loaded = Program::load(file, *device);
    ASSERT_TRUE(loaded);
    program = *std::move(loaded);
    ASSERT_TRUE(program->runPhase("init"));
  }

  /// Steps of half a second each, as the trainer reports them.
  void train(PlanWatch &watch, int steps) {
    for (int step = 0; step < steps; ++step) {
      for (int micro = 0; micro < 3; ++micro)
        ASSERT_TRUE(program->runPhase("accumulate"));
      ASSERT_TRUE(program->runPhase("apply"));
      StepReport report;
      report.seconds = 0.75;
      report.dataSeconds = 0.25;
      watch.onStep(report);
    }
  }
};
} // namespace

TEST_F(Watch, aSlowRunSaysSoOnceAndWhere) {
  Roofline fast({sizeof(LtcDevicePeaks), 0, 1e15, 1e15, "", 0, 1});
  PlanWatch watch(messages, *program, fast, 6);
  train(watch, PlanWatch::kWarmUp + PlanWatch::kSteps - 1);
  EXPECT_TRUE(messages.said.empty());
  train(watch, 5);
  ASSERT_EQ(messages.said.size(), 1u);
  const std::string &text = messages.said[0];
  EXPECT_EQ(text.rfind("slower than planned: 0.5 s a step, planned ", 0), 0u)
      << text;
  size_t kernels = 0;
  for (size_t at = text.find("(toy.ltc:1:1) "); at != std::string::npos;
       at = text.find("(toy.ltc:1:1) ", at + 1))
    ++kernels;
  EXPECT_EQ(kernels, 3u) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(messages.steps, PlanWatch::kWarmUp + PlanWatch::kSteps + 4);
}

TEST_F(Watch, aRunAsPlannedIsSilent) {
  // 11 launches of 1 MFLOP in a step of half a second.
  Roofline slow({sizeof(LtcDevicePeaks), 0, 11e6 / 0.5, 1e15, "", 0, 1});
  ASSERT_NEAR(total(slow.step(program->table(), 6)), 0.4, 0.1);
  PlanWatch watch(messages, *program, slow, 6);
  train(watch, 20);
  EXPECT_TRUE(messages.said.empty()) << messages.said[0];
}
