// SPDX-License-Identifier: Apache-2.0
// The library's texts (plugins/*/*.ltc), carried inside libLtcCompiler.so.
#pragma once
#include <span>
#include <string_view>

namespace ltc {

/// One file of the library. `kind` is its folder: functions, architectures,
/// losses, optimizers or schedules.
struct LibraryText {
  std::string_view kind, name; ///< "architectures", "llama"
  std::string_view path;       ///< "plugins/architectures/llama.ltc"
  std::string_view text;
};

/// All of them, ordered by path.
std::span<const LibraryText> libraryTexts();
/// Null if the library has no such text.
const LibraryText *libraryText(std::string_view kind, std::string_view name);

} // namespace ltc
