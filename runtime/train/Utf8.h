// SPDX-License-Identifier: Apache-2.0
// Bytes that come one by one, as text that is whole at every moment.
#pragma once
#include <cstdint>
#include <string>

namespace ltc {

/// Holds a character back until its last byte is there. Bytes that are no
/// UTF-8 come out as U+FFFD, one for each longest part of a character.
class Utf8Stream {
public:
  std::string add(unsigned char byte);
  std::string finish(); ///< what was begun and not ended

private:
  bool takes(unsigned char byte) const;
  std::string held;
  size_t wanted = 0; ///< bytes of the character in `held`
};

} // namespace ltc
