// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file, read event by event: no tree is built,
// so memory is bounded by the header, and duplicate keys are seen.
#pragma once
#include "runtime/base/Result.h"
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ltc {

struct SafetensorsEntry {
  std::string name;
  std::string_view dtype; ///< into a static table
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0; ///< from the start of the data
};
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries; ///< by offset: packed, without holes
  std::map<std::string, std::string> metadata;
};

/// Reads and checks a header against the `dataBytes` that follow it.
Result<SafetensorsHeader> parseSafetensorsHeader(std::string_view text,
                                                 uint64_t dataBytes);

/// Bits of one element; 0 for an unknown dtype.
int dtypeBits(std::string_view dtype);
/// Bytes of a packed tensor, or why there is no such tensor.
Result<uint64_t> tensorBytes(std::string_view dtype,
                             const std::vector<int64_t> &shape);

} // namespace ltc
