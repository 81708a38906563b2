// SPDX-License-Identifier: Apache-2.0
// Characters to tokens. A line's end is a token, except inside ( and [, after
// an operator, or before one.
#pragma once
#include "frontend/graph/Ast.h"
#include <string_view>

namespace ltc::graph {

/// Raised inside frontend/graph only; the entry points turn it into a
/// diagnostic.
struct Refusal {
  Place place;
  std::string message;
  std::vector<std::pair<Place, std::string>> notes;
};
[[noreturn]] void refuse(Place place, std::string message);

/// Several at once, of things that do not depend on each other.
struct Refusals {
  std::vector<Refusal> list;
};

struct Token {
  enum Kind { Name, Number, String, Symbol, Newline, End } kind = End;
  std::string text;
  double number = 0;
  Place place;
  bool spaceBefore = false;
};

/// Throws Refusal at a character that belongs to no token.
std::vector<Token> tokenize(std::string_view text, const std::string &file);

} // namespace ltc::graph
