// SPDX-License-Identifier: Apache-2.0
// Recursive descent: the declarations of a text.
#include "frontend/graph/Parser.h"
#include "frontend/graph/ParserState.h"
#include <set>

namespace ltc::graph {

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
  if (is("model")) {
    std::shared_ptr<Function> text = model();
    // Its functions are the whole file's too, and stand before what calls them.
    auto isFunction = [](const StmtPtr &stmt) {
      return stmt->kind == Stmt::Block &&
             stmt->function->kind == Function::Plain;
    };
    std::stable_partition(text->body.begin(), text->body.end(), isFunction);
    for (const StmtPtr &stmt : text->body)
      if (isFunction(stmt))
        file.functions.push_back(stmt->function);
    return file.functions.push_back(text);
  }
  if (is("loss"))
    return file.functions.push_back(function(Function::Loss));
  if (is("optimizer"))
    return file.functions.push_back(optimizer());
  if (is("schedule"))
    return file.functions.push_back(function(Function::Schedule));
  if (is("adapter"))
    later(first.place, "an adapter", 14);
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
    while (!is("|") && !is(")"))
      segment.parts.push_back(dimSpec());
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

std::vector<ParameterDecl> Parser::parameters(bool ofModel) {
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
    if (decl.type == "scalar") {
      if (!ofModel)
        refuse(decl.place, "': scalar' is of a model's settings; those of a "
                           "loss, optimizer or schedule are scalars, "
                           "arguments are values");
      decl.isScalar = true;
      decl.type.clear();
    }
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
    result->parameters = parameters(true);
  static const std::set<std::string> ends = {
      "model", "loss", "optimizer", "schedule", "adapter", "use"};
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

File parse(std::string_view text, const std::string &path) {
  return Parser(text, path).run();
}

} // namespace ltc::graph
