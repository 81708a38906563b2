// SPDX-License-Identifier: Apache-2.0
// The parser's state and rules; its methods stand in Parser.cpp (declarations),
// ParseStmt.cpp and ParseExpr.cpp. For these three files only.
#pragma once
#include "frontend/graph/Ast.h"
#include "frontend/graph/Lexer.h"
#include <algorithm>
#include <string_view>

namespace ltc::graph {

class Parser {
public:
  Parser(std::string_view text, const std::string &path)
      : path(path), tokens(tokenize(text, path)) {}
  File run();

private:
  const Token &peek(int ahead = 0) const {
    size_t i = std::min(at + ahead, tokens.size() - 1);
    return tokens[i];
  }
  Token take() { return tokens[at < tokens.size() - 1 ? at++ : at]; }
  bool is(const std::string &text, int ahead = 0) const {
    return (peek(ahead).kind == Token::Symbol ||
            peek(ahead).kind == Token::Name) &&
           peek(ahead).text == text;
  }
  bool accept(const std::string &text) {
    if (!is(text))
      return false;
    take();
    return true;
  }
  std::string shown(const Token &token) const {
    if (token.kind == Token::End)
      return "the end of the text";
    return token.kind == Token::Newline ? "the end of the line"
                                        : "'" + token.text + "'";
  }
  Token expect(const std::string &text, const std::string &where) {
    if (!is(text))
      refuse(peek().place, "expected '" + text + "' " + where + ", found " +
                               shown(peek()));
    return take();
  }
  Token expectName(const std::string &what) {
    if (peek().kind != Token::Name)
      refuse(peek().place, "expected " + what + ", found " + shown(peek()));
    return take();
  }
  std::string expectString(const std::string &what) {
    if (peek().kind != Token::String)
      refuse(peek().place,
             "expected " + what + " in quotes, found " + shown(peek()));
    return take().text;
  }
  void skipNewlines() {
    while (peek().kind == Token::Newline || is(";"))
      take();
  }
  void endStatement() {
    if (accept(";") || is("}") || peek().kind == Token::End)
      return;
    if (peek().kind != Token::Newline)
      refuse(peek().place, "expected the end of the statement, found " +
                               shown(peek()));
    take();
  }
  [[noreturn]] void later(Place place, const std::string &what, int rule) {
    refuse(place, what + " (rule " + std::to_string(rule) +
                      " of the graph language) is not available in this "
                      "version of ltc");
  }

  // Declarations.
  void topLevel(File &file);
  std::shared_ptr<Function> function(Function::Kind kind);
  std::shared_ptr<Function> model();
  std::shared_ptr<Function> optimizer();
  std::vector<ParameterDecl> parameters(bool ofModel = false);
  std::vector<DimSpec> dims();
  DimSpec dimSpec();
  DimSpec group();
  Function::Config config();

  // Statements.
  Body block();
  StmtPtr statement();
  StmtPtr make(Stmt::Kind kind, Place place) {
    auto stmt = std::make_shared<Stmt>();
    stmt->kind = kind;
    stmt->place = place;
    return stmt;
  }
  StmtPtr inputs();
  StmtPtr param();
  StmtPtr conditional();
  StmtPtr projection();
  StmtPtr fileTensor();
  StmtPtr exported();
  StmtPtr loop();
  StmtPtr term();
  StmtPtr states();
  StmtPtr assignment();
  ExprPtr element(const Refusal &refusal);
  [[noreturn]] void unknownStatement();

  // Expressions.
  ExprPtr make(Expr::Kind kind, Place place, std::string name = "",
               std::vector<ExprPtr> args = {}) {
    auto expr = std::make_shared<Expr>();
    expr->kind = kind;
    expr->place = place;
    expr->name = std::move(name);
    expr->args = std::move(args);
    return expr;
  }
  ExprPtr expression();
  ExprPtr logical(int level);
  ExprPtr comparison();
  ExprPtr additive();
  ExprPtr multiplicative();
  ExprPtr reduction();
  ExprPtr unary();
  ExprPtr power();
  ExprPtr postfix();
  ExprPtr primary();
  std::vector<BracketItem> brackets();
  std::vector<Argument> arguments();

  std::string path;
  std::vector<Token> tokens;
  size_t at = 0;
};

} // namespace ltc::graph
