// SPDX-License-Identifier: Apache-2.0
#include "runtime/formats/Safetensors.h"
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

using namespace ltc;

namespace {
struct TempFile {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("ltc" + std::to_string(::getpid()) + ".safetensors");
  ~TempFile() { std::filesystem::remove(path); }
};
} // namespace

/// A file of this header and this many bytes of data.
static std::string fileOf(std::string header, size_t dataBytes) {
  uint64_t n = header.size();
  return std::string(reinterpret_cast<char *>(&n), 8) + header +
         std::string(dataBytes, '\1');
}

/// Why the reader refuses these bytes; "" if it does not.
static std::string refusal(const std::string &bytes) {
  TempFile file;
  std::ofstream(file.path, std::ios::binary) << bytes;
  auto read = SafetensorsFile::open(file.path);
  return read ? "" : read.error().message;
}

static std::string entry(const char *name, const char *dtype,
                         const char *shape, const char *offsets) {
  return std::string("\"") + name + R"(":{"dtype":")" + dtype +
         R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, whatWasWrittenIsRead) {
  TempFile file;
  float a[] = {1, 2, 3, 4, 5, 6};
  int64_t step = 7;
  std::span<const char> bytes(reinterpret_cast<char *>(a), sizeof a);
  std::span<const char> wide(reinterpret_cast<char *>(&step), 8);
  ASSERT_TRUE(writeSafetensors(file.path, {{"b", "F32", {2, 3}, bytes},
                                           {"a", "F32", {6}, bytes},
                                           {"z", "I64", {}, wide},
                                           {"none", "F32", {0, 3}, {}}}));
  auto read = SafetensorsFile::open(file.path);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->tensors().size(), 4u);
  EXPECT_EQ(read->metadata().at("format"), "pt");
  EXPECT_EQ(read->find("b")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(read->find("b")->data.data(), a, sizeof a), 0);
  EXPECT_LT(read->find("z")->data.data(), read->find("a")->data.data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read->find("z")->data.data()) % 8, 0u);
  EXPECT_EQ(read->find("absent"), nullptr);
}

TEST(Safetensors, emptyAndPaddedHeadersAreValid) {
  EXPECT_EQ(refusal(fileOf("{}", 0)), "");
  EXPECT_EQ(refusal(fileOf("{}      ", 0)), "");
  EXPECT_EQ(refusal(fileOf("{" + entry("a", "F32", "[]", "[0,4]") + "}", 4)),
            "");
}

TEST(Safetensors, hostileFilesAreRefusedByName) {
  auto one = [](const char *dtype, const char *shape, const char *offsets,
                size_t bytes) {
    return fileOf("{" + entry("a", dtype, shape, offsets) + "}", bytes);
  };
  const std::pair<std::string, const char *> cases[] = {
      {"", "at least 8"},
      {"1234567", "at least 8"},
      {std::string(8, '\xff'), "at most 100000000"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "cut off"},
      {fileOf("[]", 0), "begin with {"},
      {fileOf(" {}", 0), "begin with {"},
      {fileOf("", 0), "begin with {"},
      {fileOf("{}x", 0), "something follows"},
      {fileOf("{}\n", 0), "something follows"},
      {fileOf("{\"a\":}", 0), "not valid JSON"},
      {fileOf("{\"\xff\":{}}", 0), "not valid JSON"},
      {fileOf("{\"a\":1}", 0), "a number where"},
      {fileOf("{\"a\":[]}", 0), "an array where"},
      {fileOf("{\"a\":{}}", 0), "needs dtype, shape"},
      {fileOf("{\"__metadata__\":{\"x\":1}}", 0), "a number where"},
      {fileOf("{\"a\":{\"dtype\":{}}}", 0), "an object where"},
      {one("F33", "[1]", "[0,4]", 4), "unknown dtype 'F33'"},
      {one("F32", "[-1]", "[0,4]", 4), "a negative number"},
      {one("F32", "[1.0]", "[0,4]", 4), "no whole number"},
      {one("F32", "[99999999999999999999]", "[0,4]", 4), "no whole number"},
      {one("F32", "[[1]]", "[0,4]", 4), "an array where"},
      {one("F32", "[1]", "[0]", 4), "two data_offsets"},
      {one("F32", "[1]", "[0,4,8]", 4), "more than two"},
      {one("F32", "[1]", "[4,8]", 8), "first free one"},
      {one("F32", "[1]", "[4,0]", 4), "first free one"},
      {one("F32", "[2]", "[0,4]", 4), "its shape needs 8"},
      {one("F32", "[1]", "[0,4]", 5), "but it has 5"},
      {one("F32", "[1]", "[0,4]", 3), "but it has 3"},
      {one("F32", "[4294967296,4294967296]", "[0,0]", 0), "overflows"},
      {one("F4", "[1]", "[0,1]", 1), "whole number of bytes"},
      {fileOf("{" + entry("a", "U8", "[2]", "[0,2]") + "," +
                  entry("b", "U8", "[2]", "[1,3]") + "}", 3),
       "first free one"},
      {fileOf("{" + entry("a", "U8", "[1]", "[0,1]") + "," +
                  entry("a", "U8", "[1]", "[1,2]") + "}", 2),
       "occurs twice"},
      {fileOf("{" + entry("a", "U8", "[1],\"shape\":[1]", "[0,1]") + "}", 1),
       "'shape' occurs twice"}};
  for (const auto &[bytes, words] : cases)
    EXPECT_NE(refusal(bytes).find(words), std::string::npos)
        << "expected '" << words << "', got '" << refusal(bytes) << "'";
}

TEST(Safetensors, deepAndRandomHeadersDoNotCrash) {
  refusal(fileOf("{\"a\":" + std::string(100000, '[') + "}", 0));
  refusal(fileOf(std::string(100000, '{') + "}", 0));
  std::string good = fileOf("{" + entry("a", "F32", "[2]", "[0,8]") + "}", 8);
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::string bad = good;
    for (int k = 0; k < 3; ++k)
      bad[random() % bad.size()] = char(random());
    refusal(bad);
  }
}
