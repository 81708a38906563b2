// SPDX-License-Identifier: Apache-2.0
#include "runtime/schema/Schema.h"
#include <gtest/gtest.h>

using namespace ltc;

namespace {

std::string refusal(ValueType type, const std::string &text,
                    const std::string &bounds = "") {
  auto value = readValue(type, text, bounds);
  return value ? "taken" : value.error().message;
}

TEST(Values, durationsInEveryUnit) {
  auto canonical = [](const char *text) {
    auto value = parseDuration(text);
    return value ? value->text() : value.error().message;
  };
  EXPECT_EQ(canonical("500 steps"), "500 steps");
  EXPECT_EQ(canonical("1 step"), "1 steps");
  EXPECT_EQ(canonical("1.5B tok"), "1500000000 tokens");
  EXPECT_EQ(canonical("20k tokens"), "20000 tokens");
  EXPECT_EQ(canonical("2 h"), "120 minutes");
  EXPECT_EQ(canonical("90 sec"), "1.5 minutes");
  EXPECT_EQ(canonical("3 epochs"), "3 epochs");
  EXPECT_EQ(canonical("0"), "0 steps");
}

TEST(Values, whatIsNoDurationIsSaid) {
  for (const char *text : {"500", "soon", "-3 steps", "3 stepps", "nan steps",
                           "1e300 steps", ""})
    EXPECT_NE(refusal(ValueType::duration, text).find("expected a duration"),
              std::string::npos)
        << text;
}

TEST(Values, boundsAreSaid) {
  EXPECT_EQ(refusal(ValueType::number, "0", "> 0"),
            "expected more than 0, found 0");
  EXPECT_EQ(refusal(ValueType::count, "-1", ">= 1, <= 8"),
            "expected at least 1, found -1");
  EXPECT_EQ(refusal(ValueType::count, "9", ">= 1, <= 8"),
            "expected at most 8, found 9");
  EXPECT_EQ(refusal(ValueType::count, "8", ">= 1, <= 8"), "taken");
}

TEST(Values, areTyped) {
  EXPECT_TRUE(readValue(ValueType::count, "4k")->is_number_integer());
  EXPECT_EQ(*readValue(ValueType::count, "4k"), 4000);
  EXPECT_TRUE(readValue(ValueType::number, "1e-4")->is_number_float());
  EXPECT_EQ(*readValue(ValueType::boolean, "yes"), true);
  EXPECT_EQ(*readValue(ValueType::bytes, "2GiB"), 2147483648u);
  EXPECT_EQ(*readValue(ValueType::number, "none", "> 0", "none"), "none");
}

TEST(Values, hostileTextIsShownHarmless) {
  EXPECT_EQ(refusal(ValueType::number, "\x1b[31m"),
            "expected a number such as 0.1 or 1e-4, found '\\x1b[31m'");
  EXPECT_LT(refusal(ValueType::number, std::string(100000, 'x')).size(), 200u);
}

TEST(Keys, defaultsAreValuesOfTheirTypes) {
  for (const Key &key : keysOfSpec()) {
    if (key.required || key.initial == "none")
      continue;
    EXPECT_TRUE(readValue(key.type, key.initial, key.check)) << key.name;
  }
}

TEST(Nearest, onlyWhatIsNear) {
  std::vector<std::string> names = {"batch", "micro_batch", "duration"};
  EXPECT_EQ(nearest("bacth", names), "batch");
  EXPECT_EQ(nearest("durtion", names), "duration");
  EXPECT_EQ(nearest("colour", names), "");
}

} // namespace
