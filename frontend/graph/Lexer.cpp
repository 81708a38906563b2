// SPDX-License-Identifier: Apache-2.0
#include "frontend/graph/Lexer.h"
#include <cctype>
#include <cstdlib>
#include <set>

namespace ltc::graph {

void refuse(Place place, std::string message) {
  throw Refusal{std::move(place), std::move(message), {}};
}

namespace {

/// A line that ends or begins with one of these goes on.
bool joinsLines(const Token &token) {
  static const std::set<std::string> joining = {
      "+", "-", "*", "/", "%", "^", "@", "?", ":", ",", "=", "==", "!=", "<",
      "<=", ">", ">=", "and", "or", "|", "->"};
  return (token.kind == Token::Symbol || token.kind == Token::Name) &&
         joining.count(token.text);
}

class Scanner {
public:
  Scanner(std::string_view text, const std::string &file)
      : text(text), file(file) {}

  std::vector<Token> run() {
    while (at < text.size())
      step();
    push(Token::Newline, "\n", here());
    push(Token::End, "", here());
    return dropJoinedLines();
  }

private:
  Place here() const { return {file, line, column}; }
  char peek(size_t ahead = 0) const {
    return at + ahead < text.size() ? text[at + ahead] : '\0';
  }
  void advance() {
    if (text[at++] == '\n') {
      ++line;
      column = 1;
      return;
    }
    ++column;
  }
  void push(Token::Kind kind, std::string word, Place place,
            double number = 0) {
    tokens.push_back({kind, std::move(word), number, std::move(place), space});
    space = false;
  }

  void step() {
    char c = peek();
    if (c == '#') {
      while (at < text.size() && peek() != '\n')
        advance();
      return;
    }
    if (c == '\n') {
      Place place = here();
      advance();
      if (depth == 0)
        push(Token::Newline, "\n", place);
      return;
    }
    if (std::isspace(static_cast<unsigned char>(c))) {
      space = true;
      return advance();
    }
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_')
      return name();
    if (std::isdigit(static_cast<unsigned char>(c)))
      return number();
    if (c == '"')
      return string();
    symbol();
  }
  void name() {
    Place place = here();
    std::string word;
    while (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_') {
      word += peek();
      advance();
    }
    push(Token::Name, word, place);
  }
  void number() {
    Place place = here();
    const char *begin = text.data() + at;
    std::string word(begin, std::min<size_t>(64, text.size() - at));
    char *end = nullptr;
    double value = std::strtod(word.c_str(), &end);
    size_t length = end - word.c_str();
    // `1..` is a number and a rest, not "1." and a dot.
    if (auto dots = word.find(".."); dots != std::string::npos && dots < length)
      value = std::strtod(word.substr(0, length = dots).c_str(), nullptr);
    for (size_t i = 0; i < length; ++i)
      advance();
    if (std::isalpha(static_cast<unsigned char>(peek())))
      refuse(place, "a number runs into a name; put a space or an operator "
                    "between them");
    push(Token::Number, word.substr(0, length), place, value);
  }
  void string() {
    Place place = here();
    std::string word;
    advance();
    while (peek() != '"') {
      if (at >= text.size() || peek() == '\n')
        refuse(place, "this text has no closing quote on its line");
      word += peek();
      advance();
    }
    advance();
    push(Token::String, word, place);
  }
  void symbol() {
    Place place = here();
    for (const char *two : {"<=", ">=", "==", "!=", "..", "->"})
      if (peek() == two[0] && peek(1) == two[1]) {
        advance();
        advance();
        return push(Token::Symbol, two, place);
      }
    char c = peek();
    if (std::string_view("+-*/%^@<>=?:,;()[]{}|.").find(c) ==
        std::string_view::npos)
      refuse(place, std::string("unexpected character '") + c + "'");
    depth += c == '(' || c == '[';
    depth -= (c == ')' || c == ']') && depth > 0;
    advance();
    push(Token::Symbol, std::string(1, c), place);
  }

  std::vector<Token> dropJoinedLines() {
    std::vector<Token> kept;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i].kind != Token::Newline) {
        kept.push_back(tokens[i]);
        continue;
      }
      size_t next = i;
      while (tokens[next].kind == Token::Newline)
        ++next;
      bool joined = !kept.empty() && (joinsLines(kept.back()) ||
                                      joinsLines(tokens[next]));
      bool repeated = kept.empty() || kept.back().kind == Token::Newline;
      if (!joined && !repeated)
        kept.push_back(tokens[i]);
    }
    return kept;
  }

  std::string_view text;
  const std::string &file;
  size_t at = 0;
  int line = 1, column = 1, depth = 0;
  bool space = false;
  std::vector<Token> tokens;
};

} // namespace

std::vector<Token> tokenize(std::string_view text, const std::string &file) {
  return Scanner(text, file).run();
}

} // namespace ltc::graph
