// SPDX-License-Identifier: Apache-2.0
// Expressions. Precedence, loosest first: ?: | or | and | not | comparison |
// + - | * / % @ and reductions | unary - | ^ | brackets, calls.
#include "frontend/graph/ParserState.h"
#include <map>

namespace ltc::graph {

static bool isReduction(const std::string &name) {
  return name == "sum" || name == "max" || name == "min" || name == "mean" ||
         name == "count";
}

ExprPtr Parser::expression() {
  ExprPtr condition = logical(0);
  if (!is("?"))
    return condition;
  Place place = take().place;
  ExprPtr yes = expression();
  expect(":", "between the two values of ?");
  return make(Expr::Ternary, place, "?", {condition, yes, expression()});
}

ExprPtr Parser::logical(int level) {
  if (level == 2) {
    if (!is("not"))
      return comparison();
    Place place = take().place;
    return make(Expr::Unary, place, "not", {logical(2)});
  }
  const char *word = level == 0 ? "or" : "and";
  ExprPtr left = logical(level + 1);
  while (is(word)) {
    Place place = take().place;
    left = make(Expr::Binary, place, word, {left, logical(level + 1)});
  }
  return left;
}

ExprPtr Parser::comparison() {
  ExprPtr left = additive();
  for (const char *op : {"<", "<=", ">", ">=", "==", "!="})
    if (is(op)) {
      Place place = take().place;
      return make(Expr::Binary, place, op, {left, additive()});
    }
  return left;
}

ExprPtr Parser::additive() {
  ExprPtr left = multiplicative();
  while (is("+") || is("-")) {
    Token op = take();
    left = make(Expr::Binary, op.place, op.text, {left, multiplicative()});
  }
  return left;
}

ExprPtr Parser::multiplicative() {
  ExprPtr left = reduction();
  while (is("*") || is("/") || is("%") || is("@")) {
    Token op = take();
    std::vector<BracketItem> over;
    bool named = op.text == "@" && is("[");
    if (named)
      over = brackets();
    left = make(Expr::Binary, op.place, op.text, {left, reduction()});
    left->brackets = std::move(over);
    left->hasBrackets = named;
  }
  return left;
}

/// sum[d] a * b^2: takes the chain of products behind it, but no / + - @.
ExprPtr Parser::reduction() {
  if (peek().kind != Token::Name || !isReduction(peek().text) || !is("[", 1))
    return unary();
  Token op = take();
  ExprPtr result = make(Expr::Reduce, op.place, op.text);
  result->brackets = brackets();
  result->hasBrackets = true;
  bool bare = is("per") || is(")") || is("}") || is(",") || is(";") ||
              is("]") || peek().kind == Token::Newline ||
              peek().kind == Token::End;
  if (op.text == "count" && bare)
    return result;
  ExprPtr operand = reduction();
  while (is("*")) {
    Token times = take();
    operand = make(Expr::Binary, times.place, "*", {operand, reduction()});
  }
  result->args.push_back(operand);
  return result;
}

ExprPtr Parser::unary() {
  if (!is("-"))
    return power();
  Place place = take().place;
  return make(Expr::Unary, place, "-", {reduction()});
}

ExprPtr Parser::power() {
  ExprPtr base = postfix();
  if (!is("^"))
    return base;
  Place place = take().place;
  return make(Expr::Binary, place, "^", {base, unary()});
}

std::vector<Argument> Parser::arguments() {
  std::vector<Argument> result;
  expect("(", "before arguments");
  while (!is(")")) {
    Argument argument;
    if (peek().kind == Token::Name && is("=", 1)) {
      argument.keyword = take().text;
      take();
    } else if (peek().kind == Token::Name && is("(", 1)) {
      // keep(t, u) = ...: a condition with its own names.
      size_t before = at;
      argument.keyword = take().text;
      take();
      bool names = true;
      while (names && !is(")")) {
        names = peek().kind == Token::Name;
        if (names)
          argument.binders.push_back(take().text);
        if (!accept(","))
          break;
      }
      if (names && accept(")") && accept("=")) {
        argument.bound = true;
      } else {
        at = before;
        argument = {};
      }
    }
    argument.value = expression();
    if (accept("over"))
      argument.over = expectName("the name of a dimension").text;
    result.push_back(std::move(argument));
    if (!accept(","))
      break;
  }
  expect(")", "after arguments");
  return result;
}

std::vector<BracketItem> Parser::brackets() {
  std::vector<BracketItem> result;
  expect("[", "before dimensions");
  while (!is("]")) {
    BracketItem item;
    item.place = peek().place;
    if (accept("..")) {
      item.kind = BracketItem::Rest;
    } else if (peek().kind == Token::Name && is("..", 1)) {
      item.kind = BracketItem::Rest;
      item.from = take().text;
      take();
    } else if (peek().kind == Token::Name && is("for", 1)) {
      item.kind = BracketItem::Rename;
      item.to = take().text;
      take();
      item.from = expectName("the dimension's old name").text;
    } else {
      item.value = expression();
      if (accept("over")) {
        item.kind = BracketItem::Gather;
        item.from = expectName("the table's dimension").text;
      }
    }
    result.push_back(std::move(item));
    if (!accept(","))
      break;
  }
  expect("]", "after dimensions");
  return result;
}

ExprPtr Parser::postfix() {
  ExprPtr value = primary();
  while (is("[") && !peek().spaceBefore) {
    ExprPtr inner = value;
    value = make(Expr::Bracket, inner->place, inner->name, {inner});
    value->brackets = brackets();
    value->hasBrackets = true;
    if (!is("(") || inner->kind != Expr::Name)
      continue;
    value->kind = Expr::Call; // softmax[v](x): dimension arguments
    value->args.clear();
    value->arguments = arguments();
  }
  return value;
}

ExprPtr Parser::primary() {
  Token token = peek();
  if (token.kind == Token::Number) {
    ExprPtr number = make(Expr::Number, token.place, token.text);
    number->number = take().number;
    return number;
  }
  if (token.kind == Token::String)
    return make(Expr::String, token.place, take().text);
  if (accept("(")) {
    ExprPtr inner = expression();
    expect(")", "to close the parenthesis");
    return inner;
  }
  if (accept("[")) {
    ExprPtr list = make(Expr::List, token.place);
    while (!is("]")) {
      list->args.push_back(expression());
      if (!accept(","))
        break;
    }
    expect("]", "to close the list");
    return list;
  }
  if (token.kind != Token::Name)
    refuse(token.place, "expected a value, found " + shown(token));
  if (token.text == "frozen" && peek(1).kind == Token::Name)
    later(token.place, "a frozen model", 12);
  take();
  if (!is("(") || peek().spaceBefore)
    return make(Expr::Name, token.place, token.text);
  ExprPtr call = make(Expr::Call, token.place, token.text);
  call->arguments = arguments();
  return call;
}

} // namespace ltc::graph
