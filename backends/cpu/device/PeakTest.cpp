// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/device/Peak.h"
#include "plugins/sdk/Device.h"
#include <chrono>
#include <gtest/gtest.h>

extern "C" const LtcDeviceApi *ltcDevice_cpu(void);

using namespace ltc::cpu;

namespace {

double secondsOf(auto body) {
  auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                       began)
      .count();
}

TEST(Peak, theMultiplyAddsAreReallyDone) {
  // Twice the tiles take about twice the time: nothing is optimised away.
  FmaKernel fma = widestFma();
  auto run = [&](int64_t tiles) {
    double best = 1e30;
    for (int i = 0; i < 20; ++i)
      best = std::min(best, secondsOf([&] {
        fma.kernel(nullptr, 0, tiles, nullptr);
      }));
    return best;
  };
  double ratio = run(64) / run(16);
  EXPECT_GT(ratio, 2.5);
  EXPECT_LT(ratio, 6);
  // 16 lanes x 2 units x 2 x 6 GHz is beyond today's processors.
  double flops = 64 * fma.flopsOfATile / run(64);
  // A loop that went through memory would stay below 1 GHz x 2 lanes' worth.
  double lanes = fma.flopsOfATile / (2.0 * 12 * 20000);
  EXPECT_GT(flops, 1e9 * lanes);
  EXPECT_LT(flops, 4e11);
}

TEST(Peak, theTableMeasuresWhatIsAskedForQuickly) {
  const LtcDeviceApi *api = ltcDevice_cpu();
  LtcDeviceOptions options = {sizeof options, 1, 0};
  LtcDevice *device = nullptr;
  char error[256];
  ASSERT_EQ(api->open(&options, &device, error, sizeof error), 0);
  LtcDevicePeaks peaks = {sizeof peaks, LTC_PEAK_FLOPS, 0, 0, nullptr, 0, 0};
  double seconds =
      secondsOf([&] { EXPECT_EQ(api->measure(device, &peaks), 0); });
  EXPECT_LT(seconds, 0.3);
  EXPECT_GT(peaks.flops, 1e9);
  EXPECT_EQ(peaks.copyBytes, 0);
  EXPECT_NE(std::string(peaks.how).find("1 thread"), std::string::npos);
  peaks.wanted = LTC_PEAK_COPY;
  ASSERT_EQ(api->measure(device, &peaks), 0);
  EXPECT_GT(peaks.copyBytes, 1e8);
  EXPECT_EQ(peaks.parallel, 1u);
  EXPECT_EQ(peaks.launchSeconds, 0);
  peaks.wanted = LTC_PEAK_LAUNCH;
  ASSERT_EQ(api->measure(device, &peaks), 0);
  EXPECT_GT(peaks.launchSeconds, 0);
  EXPECT_LT(peaks.launchSeconds, 1e-2);
  peaks.size = offsetof(LtcDevicePeaks, launchSeconds); // of an older ltc
  peaks.launchSeconds = 7;
  ASSERT_EQ(api->measure(device, &peaks), 0);
  EXPECT_EQ(peaks.launchSeconds, 7);
  peaks.size = 8;
  EXPECT_NE(api->measure(device, &peaks), 0);
  api->close(device);
}

} // namespace
