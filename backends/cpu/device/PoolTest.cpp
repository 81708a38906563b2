// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/device/Pool.h"
#include "plugins/sdk/Device.h"
#include <cstring>
#include <gtest/gtest.h>

using namespace ltc::cpu;

static void countTiles(void *const *bindings, int64_t begin, int64_t end,
                       void *scratch) {
  auto *counts = static_cast<std::atomic<int> *>(bindings[0]);
  for (int64_t i = begin; i < end; ++i) {
    std::memset(scratch, int(i), 256); // races show under a sanitizer
    counts[i].fetch_add(1);
  }
}

TEST(Pool, everyTileOfEveryJobRunsOnce) {
  Pool pool(3);
  std::vector<std::atomic<int>> counts(100);
  void *bindings[] = {counts.data()};
  int jobs = 0;
  for (int round = 0; round < 300; ++round, ++jobs)
    for (int64_t tiles : {1, 2, 7, 100}) {
      for (auto &count : counts)
        count = 0;
      ASSERT_TRUE(pool.run({countTiles, bindings, tiles, 256}));
      for (int64_t i = 0; i < 100; ++i)
        ASSERT_EQ(counts[i], i < tiles) << "tile " << i << " of " << tiles;
    }
}

TEST(Pool, sleepingThreadsWakeUp) {
  Pool pool(2);
  std::vector<std::atomic<int>> counts(64);
  void *bindings[] = {counts.data()};
  for (int round = 1; round <= 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(pool.run({countTiles, bindings, 64, 256}));
    for (auto &count : counts)
      ASSERT_EQ(count, round);
  }
}

extern "C" const LtcDeviceApi *ltcDevice_cpu(void);

TEST(CpuDevice, memoryIsZeroAlignedAndGuarded) {
  const LtcDeviceApi *api = ltcDevice_cpu();
  LtcDeviceOptions options{sizeof options, 1, 0};
  LtcDevice *device = nullptr;
  char error[256];
  ASSERT_EQ(api->open(&options, &device, error, sizeof error), 0);
  void *memory = nullptr;
  ASSERT_EQ(api->allocate(device, 100, &memory), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0u);
  auto *bytes = static_cast<volatile char *>(memory);
  for (int i = 0; i < 128; ++i)
    EXPECT_EQ(bytes[i], 0);
  EXPECT_DEATH(bytes[128] = 1, "");
  api->close(device);
}

TEST(CpuDevice, unknownFeaturesAreRefusedByName) {
  const LtcDeviceApi *api = ltcDevice_cpu();
  LtcDeviceOptions options{sizeof options, 1, 0};
  LtcDevice *device = nullptr;
  char error[256];
  ASSERT_EQ(api->open(&options, &device, error, sizeof error), 0);
  LtcModule *module = nullptr;
  EXPECT_NE(api->loadModule(device, "", 0, "sve2", &module), 0);
  EXPECT_NE(std::strstr(api->error(device), "sve2"), nullptr);
  EXPECT_NE(api->loadModule(device, "junk", 4, "", &module), 0);
  api->close(device);
}
