// SPDX-License-Identifier: Apache-2.0
// Statements: what stands in the body of a function, a block or a clause.
#include "frontend/graph/ParserState.h"

namespace ltc::graph {

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
  if (is("project") && peek(1).kind == Token::Name)
    return projection();
  if (is("file") && peek(1).kind == Token::Name)
    return fileTensor();
  if (is("export") && peek(1).kind == Token::Name)
    return exported();
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

StmtPtr Parser::projection() {
  StmtPtr stmt = make(Stmt::Project, take().place);
  if (!accept("weight"))
    refuse(peek().place, "only the weight is projected: project weight = ...");
  expect("=", "after 'project weight'");
  stmt->value = expression();
  endStatement();
  return stmt;
}

/// file raw[(heads pair two), d] as "wq.weight"
StmtPtr Parser::fileTensor() {
  StmtPtr stmt = make(Stmt::FileTensor, take().place);
  stmt->name = take().text;
  stmt->param.dims = dims();
  expect("as", "and the tensor's name in files");
  stmt->param.external = expectString("the tensor's name in files");
  endStatement();
  return stmt;
}

StmtPtr Parser::exported() {
  StmtPtr stmt = make(Stmt::Export, take().place);
  stmt->name = take().text;
  expect("=", "after the name of a file's tensor");
  stmt->value = expression();
  endStatement();
  return stmt;
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
    else if (accept("import"))
      stmt->param.import = expression();
    else if (accept("decays"))
      stmt->param.decays = true;
    else if (is("no") && is("decay", 1)) {
      take();
      take();
      stmt->param.decays = false;
    } else
      refuse(peek().place, "expected if, init, role, as, import, decays or no "
                           "decay after a parameter, found " +
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
  if (word.text == "import")
    refuse(word.place, "an import stands behind its parameter: param w[..] "
                       "import ...");
  refuse(word.place, "expected a statement (name = ..., param, input, dim, "
                     "file, block, for, if, assert, term, state or return), "
                     "found " +
                         shown(word) + " " + shown(peek(1)));
}

/// skips[layers - 1 - i] = ..: brackets that name no dimensions, for which
/// `refusal` says why.
ExprPtr Parser::element(const Refusal &refusal) {
  try {
    take();
    ExprPtr number = expression();
    expect("]", "after the number of a collected value");
    return number;
  } catch (const Refusal &) {
    throw refusal;
  }
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
      } catch (const Refusal &refusal) {
        at = before;
        target.element = element(refusal);
      }
    }
    stmt->targets.push_back(std::move(target));
  } while (accept(","));
  expect("=", stmt->targets.size() > 1 ? "after the names" : "after the name");
  stmt->value = expression();
  endStatement();
  return stmt;
}

} // namespace ltc::graph
