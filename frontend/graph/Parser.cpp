// SPDX-License-Identifier: Apache-2.0
// Recursive descent. Precedence, loosest first: ?: | or | and | not |
// comparison | + - | * / % @ and reductions | unary - | ^ | brackets, calls.
#include "frontend/graph/Parser.h"
#include "frontend/graph/Lexer.h"
#include <map>
#include <set>

namespace ltc::graph {
namespace {

bool isReduction(const std::string &name) {
  return name == "sum" || name == "max" || name == "min" || name == "mean" ||
         name == "count";
}

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
  std::vector<ParameterDecl> parameters();
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
  StmtPtr loop();
  StmtPtr term();
  StmtPtr states();
  StmtPtr assignment();
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

File Parser::run() {
  File file;
  file.path = path;
  skipNewlines();
  while (peek().kind != Token::End) {
    topLevel(file);
    skipNewlines();
  }
  return file;
}

void Parser::topLevel(File &file) {
  const Token &first = peek();
  if (accept("use")) {
    Place place = peek().place;
    file.uses.push_back({expectString("the path of a text"), place});
    return endStatement();
  }
  if (is("function"))
    return file.functions.push_back(function(Function::Plain));
  if (is("block"))
    return file.functions.push_back(function(Function::Block));
  if (is("model"))
    return file.functions.push_back(model());
  if (is("loss"))
    return file.functions.push_back(function(Function::Loss));
  if (is("optimizer"))
    return file.functions.push_back(optimizer());
  if (is("schedule"))
    return file.functions.push_back(function(Function::Schedule));
  if (is("adapter"))
    later(first.place, "an adapter", 14);
  if (is("import") || is("export"))
    later(first.place, "an " + first.text + " expression", 3);
  refuse(first.place, "expected model, block, function, loss, optimizer, "
                      "schedule or use, found " +
                          shown(first));
}

std::vector<DimSpec> Parser::dims() {
  std::vector<DimSpec> result;
  expect("[", "before dimensions");
  if (accept("]"))
    return result;
  do
    result.push_back(dimSpec());
  while (accept(","));
  expect("]", "after dimensions");
  return result;
}

DimSpec Parser::dimSpec() {
  DimSpec spec;
  spec.place = peek().place;
  if (accept("..")) {
    spec.kind = DimSpec::Rest;
    return spec;
  }
  if (is("("))
    return group();
  spec.name = expectName("the name of a dimension").text;
  if (accept("..")) // batch.. in an optimizer's pattern
    spec.kind = DimSpec::Rest;
  if (accept(":")) {
    spec.kind = DimSpec::Ragged;
    spec.owner = spec.name;
    spec.name = expectName("a name for the ragged dimension").text;
  }
  return spec;
}

DimSpec Parser::group() {
  Place place = expect("(", "before a group").place;
  std::vector<DimSpec> segments;
  bool concat = false;
  do {
    DimSpec segment;
    segment.kind = DimSpec::Group;
    segment.place = peek().place;
    while (!is("|") && !is(")")) {
      if (is("("))
        later(peek().place, "a group inside a group", 3);
      segment.parts.push_back(dimSpec());
    }
    if (segment.parts.empty())
      refuse(peek().place, "expected a dimension, found " + shown(peek()));
    segments.push_back(segment);
    concat |= is("|");
  } while (accept("|"));
  expect(")", "after a group of dimensions");
  DimSpec spec;
  spec.kind = concat ? DimSpec::Concat : DimSpec::Group;
  spec.place = place;
  spec.parts = concat ? segments : segments[0].parts;
  return spec;
}

std::vector<ParameterDecl> Parser::parameters() {
  std::vector<ParameterDecl> result;
  expect("(", "before settings");
  while (!is(")")) {
    ParameterDecl decl;
    decl.place = peek().place;
    if (is("static") && peek(1).kind == Token::Name) {
      take();
      decl.isStatic = true;
    }
    decl.name = expectName("the name of a setting").text;
    if (is("["))
      decl.dims = dims();
    if (accept(":"))
      decl.type = expectName("a type").text;
    if (accept("="))
      decl.initial = expression();
    if (accept("as"))
      decl.config = expectString("a configuration key");
    result.push_back(std::move(decl));
    if (!accept(","))
      break;
  }
  expect(")", "after settings");
  return result;
}

std::shared_ptr<Function> Parser::function(Function::Kind kind) {
  auto result = std::make_shared<Function>();
  result->kind = kind;
  take();
  result->place = peek().place;
  result->name = expectName("a name").text;
  if (accept("[")) {
    do
      result->dimArguments.push_back(expectName("a dimension's name").text);
    while (accept(","));
    expect("]", "after dimension arguments");
  }
  if (is("("))
    result->parameters = parameters();
  for (const ParameterDecl &decl : result->parameters)
    if (decl.isStatic && (kind == Function::Block || kind == Function::Plain))
      later(decl.place, "a static argument of a block", 5);
  if (accept("as"))
    result->external = expectString("the external name of the block");
  if (accept("=")) {
    StmtPtr value = make(Stmt::Return, peek().place);
    value->value = expression();
    result->body.push_back(value);
    endStatement();
    return result;
  }
  result->body = block();
  return result;
}

Function::Config Parser::config() {
  Function::Config result;
  result.family = expectString("the name of a family");
  if (accept("if"))
    result.condition = expression();
  expect("{", "before fixed configuration keys");
  skipNewlines();
  while (!is("}")) {
    if (accept("ignored")) {
      do
        result.ignored.push_back(expectString("a configuration key"));
      while (accept(","));
    } else {
      std::string key = peek().kind == Token::String
                            ? take().text
                            : expectName("a configuration key").text;
      expect("=", "after the configuration key");
      result.entries.push_back({key, expression()});
    }
    accept(",");
    skipNewlines();
  }
  take();
  return result;
}

/// A model's body runs to the next declaration of its kind or the end.
std::shared_ptr<Function> Parser::model() {
  auto result = std::make_shared<Function>();
  result->kind = Function::Model;
  take();
  result->place = peek().place;
  result->name = expectName("the model's name").text;
  if (is("("))
    result->parameters = parameters();
  static const std::set<std::string> ends = {"model",     "loss",    "optimizer",
                                             "schedule",  "adapter", "use"};
  skipNewlines();
  while (peek().kind != Token::End &&
         !(peek().kind == Token::Name && ends.count(peek().text) &&
           peek(1).kind == Token::Name)) {
    if (is("config") && peek(1).kind == Token::String) {
      take();
      result->configs.push_back(config());
    } else if (is("block") || is("function")) {
      bool isBlock = is("block");
      StmtPtr stmt = make(Stmt::Block, peek().place);
      stmt->function = function(isBlock ? Function::Block : Function::Plain);
      result->body.push_back(stmt);
    } else {
      result->body.push_back(statement());
    }
    skipNewlines();
  }
  return result;
}

std::shared_ptr<Function> Parser::optimizer() {
  auto result = std::make_shared<Function>();
  result->kind = Function::Optimizer;
  take();
  result->place = peek().place;
  result->name = expectName("the optimizer's name").text;
  if (is("("))
    result->parameters = parameters();
  skipNewlines();
  while (is("on")) {
    Function::Clause clause;
    clause.place = take().place;
    expect("weight", "after 'on'");
    clause.pattern = dims();
    if (accept("if"))
      clause.condition = expression();
    clause.body = block();
    result->clauses.push_back(std::move(clause));
    skipNewlines();
  }
  if (result->clauses.empty())
    refuse(peek().place, "an optimizer needs a clause: on weight[..] { ... }");
  if (is("evaluate"))
    refuse(peek().place, "'evaluate with' stands inside a clause, whose weight "
                         "and states it reads");
  return result;
}

Body Parser::block() {
  Body body;
  skipNewlines();
  Place open = expect("{", "before a body").place;
  skipNewlines();
  while (!is("}")) {
    if (peek().kind == Token::End)
      refuse(open, "this { is never closed");
    body.push_back(statement());
    skipNewlines();
  }
  take();
  return body;
}

StmtPtr Parser::statement() {
  Place place = peek().place;
  if (is("return")) {
    take();
    StmtPtr stmt = make(Stmt::Return, place);
    stmt->value = expression();
    while (accept(","))
      stmt->more.push_back(expression());
    endStatement();
    return stmt;
  }
  if (is("for"))
    return loop();
  if (is("if"))
    return conditional();
  if (is("term") && peek(1).kind == Token::Name)
    return term();
  if (is("input") && peek(1).kind == Token::Name)
    return inputs();
  if (is("param") && peek(1).kind == Token::Name)
    return param();
  if (is("state") && peek(1).kind == Token::Name)
    return states();
  if (is("dim") && peek(1).kind == Token::Name) {
    take();
    StmtPtr stmt = make(Stmt::Dim, place);
    stmt->name = take().text;
    expect("=", "after the dimension's name");
    if (is("("))
      stmt->dim = dimSpec();
    else
      stmt->value = expression();
    endStatement();
    return stmt;
  }
  if (is("assert")) {
    take();
    StmtPtr stmt = make(Stmt::Assert, place);
    stmt->value = expression();
    if (peek().kind == Token::String)
      stmt->text = take().text;
    endStatement();
    return stmt;
  }
  if (is("project") && peek(1).kind == Token::Name) {
    take();
    StmtPtr stmt = make(Stmt::Project, place);
    if (!accept("weight"))
      refuse(peek().place, "only the weight is projected: project weight = "
                           "...");
    expect("=", "after 'project weight'");
    stmt->value = expression();
    endStatement();
    return stmt;
  }
  if (is("evaluate") && is("with", 1)) {
    take();
    take();
    StmtPtr stmt = make(Stmt::Evaluate, place);
    stmt->value = expression();
    endStatement();
    return stmt;
  }
  return assignment();
}

StmtPtr Parser::loop() {
  StmtPtr stmt = make(Stmt::For, take().place);
  stmt->name = expectName("the loop's index").text;
  expect("in", "after the loop's index");
  stmt->value = expression();
  stmt->body = block();
  return stmt;
}

StmtPtr Parser::conditional() {
  StmtPtr stmt = make(Stmt::If, take().place);
  stmt->value = expression();
  stmt->body = block();
  size_t before = at;
  skipNewlines();
  if (!accept("else")) {
    at = before;
    return stmt;
  }
  if (is("if"))
    stmt->otherwise.push_back(conditional());
  else
    stmt->otherwise = block();
  return stmt;
}

StmtPtr Parser::term() {
  StmtPtr stmt = make(Stmt::Term, take().place);
  stmt->name = expectName("the term's name").text;
  expect("=", "after the term's name");
  stmt->value = expression();
  if (accept("per")) {
    expect("micro", "after per");
    expect("batch", "after per micro");
    stmt->perMicroBatch = true;
  }
  endStatement();
  return stmt;
}

StmtPtr Parser::inputs() {
  StmtPtr stmt = make(Stmt::Input, take().place);
  do {
    Stmt::InputDecl decl;
    decl.place = peek().place;
    decl.name = expectName("an input's name").text;
    decl.dims = dims();
    decl.kind = accept(":") ? expectName("the input's kind").text : decl.name;
    stmt->inputs.push_back(std::move(decl));
  } while (accept(","));
  endStatement();
  return stmt;
}

StmtPtr Parser::param() {
  StmtPtr stmt = make(Stmt::Param, take().place);
  stmt->name = expectName("the parameter's name").text;
  stmt->param.dims = dims();
  while (peek().kind == Token::Name) {
    if (accept("if"))
      stmt->param.condition = expression();
    else if (accept("init"))
      stmt->param.init = postfix();
    else if (accept("role"))
      stmt->param.role = expectName("a role").text;
    else if (accept("as"))
      stmt->param.external = expectString("the parameter's name in files");
    else if (accept("decays"))
      stmt->param.decays = true;
    else if (is("no") && is("decay", 1)) {
      take();
      take();
      stmt->param.decays = false;
    } else
      refuse(peek().place, "expected if, init, role, as, decays or no decay "
                           "after a parameter, found " +
                               shown(peek()));
  }
  endStatement();
  return stmt;
}

StmtPtr Parser::states() {
  StmtPtr stmt = make(Stmt::State, take().place);
  do {
    Stmt::Target target;
    target.place = peek().place;
    target.name = expectName("a state's name").text;
    if (is("["))
      target.dims = dims();
    stmt->targets.push_back(target);
  } while (accept(","));
  if (accept(":")) {
    stmt->text = expectName("the state's type").text;
    if (stmt->text != "f32")
      refuse(stmt->place, "a state is f32 in this version of ltc, not " +
                              stmt->text);
  }
  if (accept("init")) {
    Place start = peek().place;
    stmt->name = expectName("zeros or weight").text;
    if (stmt->name != "zeros" && stmt->name != "weight")
      refuse(start, "a state starts as zeros or as the weight: init zeros, "
                    "init weight");
  }
  endStatement();
  return stmt;
}

/// Two words in a row begin no statement that there is.
void Parser::unknownStatement() {
  const Token &word = peek();
  if (word.text == "adapter")
    later(word.place, "an adapter", 14);
  if (word.text == "import" || word.text == "export")
    later(word.place, "an " + word.text + " expression", 3);
  refuse(word.place, "expected a statement (name = ..., param, input, dim, "
                     "block, for, if, assert, term, state or return), found " +
                         shown(word) + " " + shown(peek(1)));
}

/// name [..] (, name [..])* = ..., as opposed to an expression.
StmtPtr Parser::assignment() {
  StmtPtr stmt = make(Stmt::Assign, peek().place);
  do {
    Stmt::Target target;
    target.place = peek().place;
    if (peek().kind == Token::Name && peek(1).kind == Token::Name)
      unknownStatement();
    target.name = expectName("a statement").text;
    if (is("[")) {
      size_t before = at;
      try {
        target.dims = dims();
      } catch (const Refusal &) {
        at = before;
        later(target.place, "a value collected over a loop", 6);
      }
    }
    stmt->targets.push_back(std::move(target));
  } while (accept(","));
  expect("=", "after the name" + std::string(stmt->targets.size() > 1 ? "s" : ""));
  stmt->value = expression();
  endStatement();
  return stmt;
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
  bool bare = is("per") || peek().kind == Token::Newline || is(")") || is("}") || is(",") ||
              is(";") || is("]") || peek().kind == Token::End;
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
  static const std::map<std::string, int> laterWords = {
      {"cumsum", 2}, {"scan", 2}, {"cast", 10}, {"dropout", 11},
      {"uniform", 11}};
  if (auto word = laterWords.find(token.text);
      word != laterWords.end() && (is("(", 1) || is("[", 1)))
    later(token.place, "'" + token.text + "'", word->second);
  if (token.text == "frozen" && peek(1).kind == Token::Name)
    later(token.place, "a frozen model", 12);
  take();
  if (!is("(") || peek().spaceBefore)
    return make(Expr::Name, token.place, token.text);
  ExprPtr call = make(Expr::Call, token.place, token.text);
  call->arguments = arguments();
  return call;
}

} // namespace

File parse(std::string_view text, const std::string &path) {
  return Parser(text, path).run();
}

} // namespace ltc::graph
