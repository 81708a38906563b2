// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "frontend/graph/Ast.h"
#include <string_view>

namespace ltc::graph {

/// Parses a whole text. Throws Refusal (Lexer.h) at the first error, and at
/// what the language has but this version does not do, naming the rule.
File parse(std::string_view text, const std::string &path);

} // namespace ltc::graph
