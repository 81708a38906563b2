// SPDX-License-Identifier: Apache-2.0
// What the parser makes of a text: plain trees with a place in the file.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ltc::graph {

/// A place in a text: 1-based.
struct Place {
  std::string file;
  int line = 0, column = 0;
};

/// A dimension as it is spelled in a declaration: a name, `..`, a group
/// `(heads k)`, a concatenation `(heads k | kv k | kv k)`, or, on the left of
/// an assignment, a ragged `experts: n`.
struct DimSpec {
  enum Kind { Name, Rest, Group, Concat, Ragged } kind = Name;
  std::string name;
  std::string owner; ///< Ragged: the name before the colon
  std::vector<DimSpec> parts; ///< of a group or a concatenation
  Place place;
};

struct Expr;
using ExprPtr = std::shared_ptr<Expr>;

/// One entry between brackets behind a name: `t`, `..`, `u for t`,
/// `ids over vocab`, `layers - 1 - i`.
struct BracketItem {
  enum Kind { Value, Rest, Rename, Gather } kind = Value;
  ExprPtr value;    ///< Value, Gather: an expression; a bare name may be a dim
  std::string to;   ///< Rename: the new name
  std::string from; ///< Rename: the old name; Gather: the table's dimension;
                    ///< Rest: the pattern's name for it, or empty
  Place place;
};

struct Argument {
  std::string keyword;              ///< empty: by position
  std::vector<std::string> binders; ///< keep(t, u) = ...: t, u
  bool bound = false;               ///< written with binders
  std::string over;                 ///< choice over experts: experts
  ExprPtr value;
};

struct Expr {
  enum Kind {
    Number, String, Name, List,
    Unary,    ///< op: "-", "not"
    Binary,   ///< op: + - * / % ^ @ < <= > >= == != and or
    Ternary,  ///< args: condition, then, else
    Reduce,   ///< op: sum max min mean count; brackets; args: operand or none
    Call,     ///< name, brackets (dimension arguments), arguments
    Bracket,  ///< args[0] behind brackets: rename, gather, element
  } kind = Number;
  Place place;
  std::string name; ///< of a name, a string's text, a call's function, an op
  double number = 0;
  std::vector<ExprPtr> args;
  std::vector<BracketItem> brackets;
  std::vector<Argument> arguments;
  bool hasBrackets = false;
};

/// `name[dims] = default as "key"` in a header or signature.
struct ParameterDecl {
  std::string name;
  std::optional<std::vector<DimSpec>> dims;
  ExprPtr initial;      ///< default; null: required
  std::string type;     ///< after ':', e.g. model, example
  std::string config;   ///< configuration key (`as`)
  bool isStatic = false; ///< known when compiling: structure, not a scalar
  bool isScalar = false; ///< of a model: the program reads the number
  Place place;
};

struct Stmt;
using StmtPtr = std::shared_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct Stmt {
  enum Kind {
    Assign,  ///< targets = value
    Return,  ///< value, further values in `more`
    For,     ///< name in value { body }
    If,      ///< value { body } else { otherwise }
    Assert,  ///< value, text
    Term,    ///< term name = value [per micro batch]
    Dim,     ///< dim name = group, or = value: a size
    Input,   ///< inputs
    Param,   ///< param
    Block,   ///< function
    State,   ///< state names: type init value
    Project, ///< project weight = value
    Evaluate, ///< evaluate with value
    FileTensor, ///< file name[dims] as external
    Export,   ///< export name = value
  } kind = Assign;
  Place place;
  std::string name, text;
  struct Target {
    std::string name;
    std::optional<std::vector<DimSpec>> dims;
    ExprPtr element; ///< skips[i]
    Place place;
  };
  std::vector<Target> targets;
  ExprPtr value;
  std::vector<ExprPtr> more;
  Body body, otherwise;
  DimSpec dim;
  struct InputDecl {
    std::string name, kind;
    std::vector<DimSpec> dims;
    Place place;
  };
  std::vector<InputDecl> inputs;
  struct ParamDecl {
    std::vector<DimSpec> dims;
    ExprPtr condition, init, import;
    std::string role, external;
    std::optional<bool> decays;
  } param;
  std::shared_ptr<struct Function> function;
  bool perMicroBatch = false;
};

/// A function, block, model, loss, optimizer clause list or schedule.
struct Function {
  enum Kind { Plain, Block, Model, Loss, Optimizer, Schedule, Adapter } kind;
  std::string name, external; ///< external: a block's `as` prefix
  std::vector<std::string> dimArguments;
  std::vector<ParameterDecl> parameters;
  Body body;
  struct Clause {
    std::vector<DimSpec> pattern;
    ExprPtr condition; ///< on role, decays, sizes and settings; or null
    Body body;
    Place place;
  };
  std::vector<Clause> clauses; ///< of an optimizer
  struct Config {
    std::string family;
    ExprPtr condition;
    std::vector<std::pair<std::string, ExprPtr>> entries;
    std::vector<std::string> ignored;
  };
  std::vector<Config> configs; ///< of a model
  Place place;
};

/// One text.
struct File {
  std::string path;
  std::vector<std::pair<std::string, Place>> uses;
  std::vector<std::shared_ptr<Function>> functions;
};

} // namespace ltc::graph
