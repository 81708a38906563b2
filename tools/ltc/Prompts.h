// SPDX-License-Identifier: Apache-2.0
// The prompts of a file.
#pragma once
#include "runtime/base/Result.h"
#include <filesystem>
#include <string>
#include <vector>

namespace ltc::tool {

/// One a line; of a *.jsonl, the text "prompt" of the object in each line.
/// Empty lines are left out.
Result<std::vector<std::string>>
readPrompts(const std::filesystem::path &path);

} // namespace ltc::tool
