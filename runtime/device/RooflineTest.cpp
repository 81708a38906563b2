// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Roofline.h"
#include <gtest/gtest.h>

using namespace ltc;

namespace {
/// 1 GFLOP/s, 1 GB/s, 4 tiles at once, 1 ms a launch.
Roofline simple() {
  return Roofline({sizeof(LtcDevicePeaks), 0, 1e9, 1e9, "", 1e-3, 4});
}
artifact::KernelT kernel(double flops, double bytes, int64_t tiles) {
  artifact::KernelT kernel;
  kernel.symbol = "k";
  kernel.flops = flops;
  kernel.read_bytes = bytes / 2;
  kernel.written_bytes = bytes / 2;
  kernel.tiles = tiles;
  kernel.flops_share = 0.5;
  kernel.bytes_share = 0.25;
  return kernel;
}
} // namespace

TEST(Roofline, aKernelTakesTheLongerOfItsFlopsAndItsBytes) {
  EXPECT_DOUBLE_EQ(simple().launch(kernel(1e9, 1e8, 4)), 2 + 1e-3);
  EXPECT_DOUBLE_EQ(simple().launch(kernel(1e8, 1e9, 4)), 4 + 1e-3);
}

TEST(Roofline, theLastRoundOfTilesIsAWholeOne) {
  EXPECT_DOUBLE_EQ(simple().launch(kernel(1e9, 0, 1)), 8 + 1e-3);
  EXPECT_DOUBLE_EQ(simple().launch(kernel(1e9, 0, 5)), 2 * 8. / 5 + 1e-3);
  EXPECT_DOUBLE_EQ(simple().launch(kernel(1e9, 0, 8)), 2 + 1e-3);
}

TEST(Roofline, aStepIsItsMicroBatchesAndTheUpdate) {
  artifact::ArtifactT program;
  program.micro_batch = 2;
  program.kernels.push_back(
      std::make_unique<artifact::KernelT>(kernel(1e9, 0, 4)));
  for (const char *name : {"accumulate", "apply"}) {
    auto phase = std::make_unique<artifact::PhaseT>();
    phase->name = name;
    phase->commands.push_back(std::make_unique<artifact::CommandT>());
    program.phases.push_back(std::move(phase));
  }
  auto zero = std::make_unique<artifact::CommandT>();
  zero->kind = artifact::CommandKind::fill_zero;
  zero->bytes = 1000000000;
  program.phases[1]->commands.push_back(std::move(zero));
  auto step = simple().step(program, 6);
  EXPECT_DOUBLE_EQ(step[0], 4 * 2.001);
  EXPECT_DOUBLE_EQ(step[-1], 1.001);
  EXPECT_DOUBLE_EQ(total(step), 4 * 2.001 + 1.001);
}

TEST(Roofline, withoutSharesNoTimeIsTold) {
  auto device = Device::open("cpu", 1);
  ASSERT_TRUE(device);
  artifact::ArtifactT program;
  program.kernels.push_back(std::make_unique<artifact::KernelT>());
  program.kernels[0]->symbol = "k";
  auto told = Roofline::measure(program, **device);
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().message.find("kernel k"), std::string::npos);
  program.kernels.clear();
  program.objects.push_back(std::make_unique<artifact::ObjectT>());
  program.objects[0]->feature_level = "sm_90";
  told = Roofline::measure(program, **device);
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().message.find("for sm_90"), std::string::npos);
  program.objects.clear();
  told = Roofline::measure(program, **device);
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_GT(told->peaks.launchSeconds, 0);
  EXPECT_EQ(told->peaks.parallel, 1u);
}
