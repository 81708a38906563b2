// SPDX-License-Identifier: Apache-2.0
// For *Cases.h: kernels that every target compiles, as tests. A target's test
// includes them and instantiates them with its runner of kernels, which
// compiles, runs and compares (backends/cpu/target/KernelRunner.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ltc {

/// "tensor<2x3xf32>"
inline std::string tensor(const std::vector<int64_t> &shape,
                          const std::string &element = "f32") {
  std::string text = "tensor<";
  for (int64_t size : shape)
    text += std::to_string(size) + "x";
  return text + element + ">";
}
/// "[2, 3]"
inline std::string list(const std::vector<int64_t> &numbers) {
  std::string text = "[";
  for (size_t i = 0; i < numbers.size(); ++i)
    text += (i ? ", " : "") + std::to_string(numbers[i]);
  return text + "]";
}

/// Replaces $B, $T, $D, ... in a kernel's text.
inline std::string
with(std::string text,
     std::initializer_list<std::pair<char, int64_t>> sizes) {
  for (auto [name, size] : sizes)
    for (size_t at; (at = text.find(std::string("$") + name)) !=
                    std::string::npos;)
      text.replace(at, 2, std::to_string(size));
  return text;
}

} // namespace ltc
