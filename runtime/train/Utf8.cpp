// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Utf8.h"

namespace ltc {

static const char *const kReplacement = "\xEF\xBF\xBD";

/// Bytes of the character that begins so; 0: none does.
static size_t lengthOf(unsigned char first) {
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first <= 0xDF)
    return 2;
  if (first >= 0xE0 && first <= 0xEF)
    return 3;
  return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/// Whether the byte goes on: no overlong form, no surrogate, none past
/// U+10FFFF (Unicode, table 3-7).
bool Utf8Stream::takes(unsigned char byte) const {
  unsigned char low = 0x80, high = 0xBF;
  if (held.size() == 1)
    switch (static_cast<unsigned char>(held[0])) {
    case 0xE0:
      low = 0xA0;
      break;
    case 0xED:
      high = 0x9F;
      break;
    case 0xF0:
      low = 0x90;
      break;
    case 0xF4:
      high = 0x8F;
      break;
    default:
      break;
    }
  return byte >= low && byte <= high;
}

std::string Utf8Stream::add(unsigned char byte) {
  std::string out;
  if (!held.empty() && !takes(byte))
    out = finish();
  if (held.empty()) {
    wanted = lengthOf(byte);
    if (wanted == 0)
      return out + kReplacement;
  }
  held += char(byte);
  if (held.size() == wanted) {
    out += held;
    held.clear();
  }
  return out;
}

std::string Utf8Stream::finish() {
  bool begun = !held.empty();
  held.clear();
  return begun ? kReplacement : "";
}

} // namespace ltc
