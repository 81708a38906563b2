// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/Ahead.h"
#include <gtest/gtest.h>

namespace ltc {
namespace {

/// Batch i has i rows; one call of next() fails.
class Counter : public Batches {
public:
  explicit Counter(int failing = -1) : failing(failing) {}
  Result<const GlobalBatch *> next() override {
    if (calls++ == failing) {
      at += 100; // a failure may leave a stream anywhere
      return fail("the disk is gone");
    }
    batch.rows = ++at;
    return &batch;
  }
  std::string position() const override { return std::to_string(at); }
  Result<void> seek(std::string_view position) override {
    at = std::stoll(std::string(position));
    return {};
  }
  double epochs() const override { return double(at) / 10; }

private:
  int failing, calls = 0;
  int64_t at = 0;
  GlobalBatch batch;
};

TEST(Ahead, GivesWhatTheStreamGives) {
  Ahead ahead(std::make_unique<Counter>());
  EXPECT_EQ(ahead.position(), "0");
  for (int64_t i = 1; i <= 50; ++i) {
    auto batch = ahead.next();
    ASSERT_TRUE(batch);
    EXPECT_EQ((*batch)->rows, i);
    EXPECT_EQ(ahead.position(), std::to_string(i)); // not what is made ahead
    EXPECT_EQ(ahead.epochs(), double(i) / 10);
  }
  ASSERT_TRUE(ahead.seek("7"));
  EXPECT_EQ((*ahead.next())->rows, 8);
}

TEST(Ahead, AnErrorComesInItsTurnAndNothingIsSkipped) {
  Ahead ahead(std::make_unique<Counter>(3));
  for (int64_t i = 1; i <= 3; ++i)
    EXPECT_EQ((*ahead.next())->rows, i);
  auto failed = ahead.next();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "the disk is gone");
  EXPECT_EQ(ahead.position(), "3");
  EXPECT_EQ((*ahead.next())->rows, 4);
}

TEST(Ahead, EndsWhileBatchesAreBeingMade) {
  for (int i = 0; i < 20; ++i) {
    Ahead ahead(std::make_unique<Counter>());
    ASSERT_TRUE(ahead.next());
  }
}

} // namespace
} // namespace ltc
