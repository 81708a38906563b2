// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Sample.h"
#include "runtime/train/Utf8.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace ltc;

namespace {

TEST(Sampling, temperatureZeroTopKAndTies) {
  std::vector<float> logits = {1, 3, 3, 0};
  SampleOptions options;
  options.temperature = 0;
  EXPECT_EQ(sampleToken(logits, options, 0.99), 1);
  options.temperature = 1;
  options.topK = 2;
  EXPECT_EQ(sampleToken(logits, options, 0.0), 1);
  EXPECT_EQ(sampleToken(logits, options, 0.49), 1);
  EXPECT_EQ(sampleToken(logits, options, 0.51), 2);
  EXPECT_EQ(sampleToken(logits, options, 0.9999999), 2);
}

/// Share of each token among many draws.
std::vector<double> shares(const std::vector<float> &logits,
                           const SampleOptions &options) {
  std::vector<double> count(logits.size());
  const int draws = 40000;
  for (int i = 0; i < draws; ++i)
    count[sampleToken(logits, options, uniformAt(7, i))] += 1.0 / draws;
  return count;
}

TEST(Sampling, sharesAreTheSoftmax) {
  std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.3f),
                               std::log(0.2f)};
  SampleOptions options;
  auto all = shares(logits, options);
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(all[i], std::exp(logits[i]), 0.01) << i;
  options.temperature = 0.5; // squares: 0.01, 0.16, 0.09, 0.04 of 0.3
  auto cold = shares(logits, options);
  EXPECT_NEAR(cold[1], 0.16 / 0.3, 0.01);
  EXPECT_NEAR(cold[0], 0.01 / 0.3, 0.01);
}

TEST(Sampling, topPKeepsTheFewestThatReachIt) {
  std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.3f),
                               std::log(0.2f)};
  SampleOptions options;
  options.topP = 0.65;
  auto two = shares(logits, options);
  EXPECT_NEAR(two[1], 4.0 / 7, 0.01);
  EXPECT_NEAR(two[2], 3.0 / 7, 0.01);
  EXPECT_EQ(two[0] + two[3], 0);
  options.topP = 0.75; // of all, then: 0.4 + 0.3 are not enough
  EXPECT_GT(shares(logits, options)[3], 0.1);
  options.topK = 2; // of the two: 4/7 are not enough, both are
  EXPECT_EQ(shares(logits, options)[3], 0);
  options.topP = 0.5;
  EXPECT_NEAR(shares(logits, options)[1], 1, 1e-9);
  options.topP = 1e-9;
  options.topK = 0;
  EXPECT_EQ(sampleToken(logits, options, 0.999), 1);
}

TEST(Sampling, repetitionDividesPositiveAndMultipliesNegativeOnce) {
  std::vector<float> logits = {2, -2, 4, 0};
  std::vector<int32_t> context = {0, 1, 1, 0};
  penaliseRepetition(logits, context, 2);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 4, 0}));
  penaliseRepetition(logits, context, 1);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 4, 0}));
}

std::string streamed(const std::string &bytes) {
  Utf8Stream stream;
  std::string text;
  for (unsigned char byte : bytes)
    text += stream.add(byte) + "|";
  return text + stream.finish();
}

TEST(Utf8, wholeCharactersOnly) {
  EXPECT_EQ(streamed("ab"), "a|b|");
  EXPECT_EQ(streamed("\xC3\xA9"), "|\xC3\xA9|");
  EXPECT_EQ(streamed("\xE2\x82\xAC!"), "||\xE2\x82\xAC|!|");
  EXPECT_EQ(streamed("\xF0\x9F\x98\x80"), "|||\xF0\x9F\x98\x80|");
}

TEST(Utf8, whatIsNoneIsReplaced) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(streamed("\xFF"), r + "|");
  EXPECT_EQ(streamed("\xC3"), "|" + r);
  EXPECT_EQ(streamed("\xC3z"), "|" + r + "z|");
  EXPECT_EQ(streamed("\xC0\x80"), r + "|" + r + "|");      // overlong
  EXPECT_EQ(streamed("\xED\xA0"), "|" + r + r + "|");      // surrogate
  EXPECT_EQ(streamed("\xF4\x90"), "|" + r + r + "|");      // past U+10FFFF
  EXPECT_EQ(streamed("\xE2\x82\xC3\xA9"), "||" + r + "|\xC3\xA9|");
}

} // namespace
