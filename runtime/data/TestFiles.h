// SPDX-License-Identifier: Apache-2.0
// Small sources in a folder of their own, for the tests of this folder.
#pragma once
#include "runtime/data/Streams.h"
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace ltc::test {

class DataFolder : public ::testing::Test {
protected:
  void SetUp() override {
    auto *info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder = std::filesystem::temp_directory_path() /
             (std::string("ltc-data-") + info->name() + "-" +
              std::to_string(getpid()));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string path(const std::string &name) const {
    return (folder / name).string();
  }
  void write(const std::string &name, const std::string &text) const {
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  SourceOptions source(const std::string &pattern, double weight = 1,
                       const std::string &kind = "text") const {
    nlohmann::json config = {{"path", path(pattern)}};
    return {kind, config.dump(), weight};
  }
  std::filesystem::path folder;
};

} // namespace ltc::test
