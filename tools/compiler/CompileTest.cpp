// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/Compiler.h"
#include "runtime/base/File.h"
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace ltc;

namespace {

std::string said;

std::string compiled(const std::string &path, int timing) {
  auto print = [](void *, const char *text, uint64_t length, int) {
    said.append(text, length);
  };
  said.clear();
  LtcCompileRequest request = {sizeof request,
                               "../../tests/language/library.yaml",
                               path.c_str(),
                               nullptr,
                               nullptr,
                               nullptr,
                               print,
                               nullptr,
                               timing};
  EXPECT_EQ(ltcCompile(&request), 0) << said;
  auto file = MappedFile::open(path);
  std::filesystem::remove(path);
  return file ? std::string(file->bytes().begin(), file->bytes().end()) : "";
}

// Kernels are compiled on several threads; their order is not the threads'.
TEST(Compile, OneSpecGivesOneArtifactToTheByte) {
  std::string path = std::filesystem::temp_directory_path() /
                     ("ltc-compile-" + std::to_string(getpid()));
  std::string once = compiled(path, 0);
  EXPECT_EQ(said, "");
  std::string again = compiled(path, 1);
  EXPECT_FALSE(once.empty());
  EXPECT_TRUE(once == again);
  EXPECT_NE(said.find("kernels to machine code"), std::string::npos) << said;
  EXPECT_NE(said.find("spec and graph"), std::string::npos) << said;
}

} // namespace
