// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Commands.h"
#include <cstdio>
#include <cstdlib>

namespace ltc::tool {

void leave(const Error &error) {
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  std::exit(1);
}

std::filesystem::path compilerLibrary() {
  std::error_code ignored;
  auto here =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char *folder : {"../lib", "."}) {
    auto path = here / folder / "libLtcCompiler.so";
    if (std::filesystem::exists(path, ignored))
      return path.lexically_normal();
  }
  return {};
}

bool isSpec(const std::filesystem::path &path) {
  auto extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

std::filesystem::path artifactOf(const std::filesystem::path &runOrFile) {
  if (std::filesystem::is_directory(runOrFile))
    return runOrFile / "artifact.ltca";
  return runOrFile;
}

std::string shortNumber(double value) {
  const char *units[] = {"", " k", " M", " B", " T"};
  int unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, unit ? "%.4g%s" : "%.0f%s", value,
                units[unit]);
  return text;
}

std::string shortFlops(double perSecond) {
  char text[64];
  if (perSecond >= 1e12)
    std::snprintf(text, sizeof text, "%.2f TFLOP/s", perSecond / 1e12);
  else
    std::snprintf(text, sizeof text, "%.0f GFLOP/s", perSecond / 1e9);
  return text;
}

} // namespace ltc::tool
