// SPDX-License-Identifier: Apache-2.0
#include "frontend/texts/Texts.h"

namespace ltc {

const LibraryText *libraryText(std::string_view kind, std::string_view name) {
  for (const LibraryText &text : libraryTexts())
    if (text.kind == kind && text.name == name)
      return &text;
  return nullptr;
}

} // namespace ltc
