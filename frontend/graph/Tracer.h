// SPDX-License-Identifier: Apache-2.0
// Runs a text at compile time: numbers are computed, loops unrolled, functions
// inlined, blocks called; what depends on data becomes ops of the function
// under construction.
#pragma once
#include "frontend/graph/Emit.h"
#include "frontend/graph/Lexer.h"
#include "frontend/graph/Moves.h"
#include "frontend/graph/Request.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <functional>
#include <map>
#include <set>

namespace ltc::graph {

/// A func.func whose arguments appear as they are first read.
class FuncTrace {
public:
  FuncTrace(Emit &emit, mlir::ModuleOp module, std::string name, Place place,
            bool isPrivate);
  /// The argument bound to `bind`; made on first use. `bind` may be null: then
  /// it is always a new one.
  NodePtr argument(mlir::DictionaryAttr bind, Type type, const Dims &dims,
                   Place place);
  /// Ends the function with these results and their binds (null: none).
  void finish(llvm::ArrayRef<NodePtr> results,
              llvm::ArrayRef<mlir::DictionaryAttr> binds);
  mlir::func::FuncOp function;

private:
  Emit &emit;
  std::vector<mlir::DictionaryAttr> binds;
  std::vector<NodePtr> arguments;
};

/// A tensor of weight files that is not a parameter as it is.
struct FileTensor {
  std::string name;
  std::vector<Dims> entries; ///< a group is several
  Place place;
  Dims dims() const;
  std::vector<int64_t> shape() const; ///< the file's
};

/// A parameter of the model, as files know it.
struct Parameter {
  std::string name;          ///< external
  std::vector<Dims> entries; ///< the file's dimensions; a group is several
  Dims dims;                 ///< inner
  std::string role;
  bool decays = false;
  std::string init;          ///< "normal", "ones", "zeros"
  double scale = 0;          ///< of normal
  Dims ranges;               ///< leading ones that the name ranges over
  Place place;
  /// Where its elements lie in files, if not in a tensor of its own name.
  Moved import;
  std::vector<FileTensor> files; ///< that `import` reads, by name
  std::vector<int64_t> fileShape() const;
  int64_t elements() const;
};

struct Term {
  std::string name;
  NodePtr sum;
  std::string countInput; ///< empty: rows
  bool ofModel = false;   ///< stated by the model: evaluation drops it
};

/// The texts in reach, by kind and name.
struct Library {
  std::map<std::string, std::shared_ptr<Function>> functions, models, losses,
      optimizers, schedules;
  void add(const File &file);
};

class Tracer {
public:
  Tracer(const Library &library, Emit &emit, mlir::ModuleOp module)
      : library(library), emit(emit), module(module) {}

  // What a program sets before it traces.
  std::map<std::string, int64_t> fixedDims; ///< b, t and their sizes
  std::map<std::string, Value> settings;    ///< of the model
  /// Those that the program reads, whose values in `settings` may change.
  std::map<std::string, ScalarSetting> scalars;
  std::vector<std::string> columns; ///< of the data; empty: any

  /// A text's settings from given values and defaults, in order of
  /// declaration. `scalar` makes the value of a number that may change.
  using Given = std::map<std::string, Value>;
  std::map<std::string, Value>
  readSettings(const Function &text, const Given &given,
               std::function<Value(const ParameterDecl &, double)> scalar);

  /// Starts the function that later calls fill.
  void begin(FuncTrace &function) {
    current = outermost = &function;
    applied.reset();
    modelTerms.clear();
    uses = 0;
  }
  /// Applies the model in the current function; once, whoever asks.
  Value applyModel(const Function &model);
  /// Terms of a loss; its calls of a model argument apply `model`.
  std::vector<Term> traceLoss(const Function &loss,
                              std::map<std::string, Value> settings);
  const Function *model = nullptr;
  std::string symbolPrefix; ///< of block functions
  bool dropsTerms = false;  ///< of the model: a prediction has no loss
  bool draws = false;       ///< random numbers: a step of training
  /// Terms that the model stated, those of its blocks added up.
  std::vector<Term> modelTerms;
  /// What a clause starts from: weight, grad, states, ..., and the dimensions
  /// that its pattern names.
  struct ClauseInputs {
    std::map<std::string, Value> names;
    std::map<std::string, Dim *> dims;
    std::map<std::string, Dims> rests; ///< "" for `..`
  };
  struct ClauseResults {
    std::map<std::string, Value> names; ///< every name's last value
    std::map<std::string, Place> places; ///< where it was assigned
  };
  /// Runs an optimizer's clause, then its projection.
  ClauseResults traceClause(const Function::Clause &clause,
                            ClauseInputs inputs);
  /// An expression of a clause by itself.
  Value traceInClause(const Expr &expr, ClauseInputs inputs);
  /// Dimensions as a clause spells them: `[batch.., rows]`.
  static Dims clauseDims(const std::vector<DimSpec> &specs,
                         const ClauseInputs &inputs);
  Value traceExpression(const Function &function,
                        std::map<std::string, Value> names);

  /// In order of first use.
  std::vector<Parameter> parameters;
  /// A block's parameters under the names of one of its calls.
  struct BlockCall {
    std::string symbol;
    std::vector<Parameter> own;     ///< as the block declares them
    std::vector<std::string> names; ///< as files know them
  };
  std::vector<BlockCall> calls;
  /// Emits the value as a node (numbers become constants).
  NodePtr node(const Value &value, const Place &place);
  Dim *dimNamed(const std::string &name, int64_t size);
  /// True if rows of a ragged dimension are dealt out over `dim` (experts).
  bool ownsRagged(const Dim *dim) const;

private:
  struct Scope {
    std::map<std::string, Value> names;
    std::map<std::string, Dim *> dims;
    std::map<std::string, Dims> rests; ///< of an optimizer's pattern
    bool clause = false;               ///< an optimizer's
    std::vector<const Stmt *> projections;
    std::map<std::string, Place> assigned; ///< last, in a clause
    Scope *parent = nullptr;        ///< lexical
    const Function *function = nullptr;
    std::map<std::string, std::shared_ptr<Function>> blocks;
    std::vector<Term> *terms = nullptr;
    std::set<std::string> loops; ///< indices of the loops around
    std::map<std::string, FileTensor> files;
    std::map<std::string, std::string> imports; ///< parameters: text's, name
  };
  struct BlockTrace {
    std::string symbol;
    std::vector<Parameter> parameters; ///< names with {i} in place
    /// Tensors read from outside: name and dimensions.
    std::vector<std::pair<std::string, Dims>> captures;
    std::map<std::string, std::string> known; ///< numbers and words, shown
    std::vector<std::string> hosts; ///< numbers that the host gives
    /// "parameter", "capture", "host" or "call" (its number), as read.
    std::vector<std::string> order;
    std::vector<Dims> results;
    std::vector<Type> types;
    std::vector<Term> terms; ///< their sums are further results
  };

  static Scope scopeOf(ClauseInputs inputs);

  // Statements.
  std::optional<Value> run(const Body &body, Scope &scope);
  std::optional<Value> run(const Stmt &stmt, Scope &scope);
  void assign(const Stmt &stmt, Scope &scope);
  void assignTo(const Stmt::Target &target, Value value, Scope &scope);
  const Expr *elementOf(const Stmt::Target &target, Scope &scope, Expr &index);
  void collect(const Stmt::Target &target, const Expr &element, Value value,
               Scope &scope);
  Value collectedValue(const Expr &expr, const Collected &items, Scope &scope);
  int64_t elementNumber(const Expr &expr, Scope &scope);
  std::string valuesIn(const Expr &expr, Scope &scope);
  void declareParam(const Stmt &stmt, Scope &scope);
  void declareDim(const Stmt &stmt, Scope &scope);
  void declareInput(const Stmt &stmt, Scope &scope);
  void declareTerm(const Stmt &stmt, Scope &scope);
  void addTerm(std::vector<Term> &terms, Term term, const Place &place);
  void readRanges(Parameter &parameter, const Stmt &stmt);
  void declareFile(const Stmt &stmt, Scope &scope);
  void readImport(Parameter &parameter, const Stmt &stmt, Scope &scope);
  void checkExport(const Stmt &stmt, Scope &scope);
  void checkFiles(Scope &scope);
  /// What `expr` makes of the tensors `named`, by moves alone.
  struct Source {
    std::string name;
    Dims dims;
    Moved moved;
  };
  Moved movedBy(const Expr &expr, const Dims &order,
                const std::vector<Source> &named, Scope &scope);
  NodePtr arranged(NodePtr made, const Dims &order, const Place &place);
  NodePtr concatenated(const std::vector<Value> &parts, const Dims &order,
                       const Place &place);
  Parameter *declaredAs(const std::string &name);
  void nameFiles(Parameter &parameter, const std::string &prefix, Scope &scope);

  // Expressions.
  Value evaluate(const Expr &expr, Scope &scope);
  Value evaluateName(const Expr &expr, Scope &scope);
  Value evaluateBinary(const Expr &expr, Scope &scope);
  Value evaluateTernary(const Expr &expr, Scope &scope);
  NodePtr choice(const Value &value, const Place &place);
  Value evaluateReduce(const Expr &expr, Scope &scope);
  Value evaluateBracket(const Expr &expr, Scope &scope);
  Value evaluateCall(const Expr &expr, Scope &scope);
  Value evaluateMatmul(const Expr &expr, NodePtr h, NodePtr w, Scope &scope);
  Value builtin(const Expr &expr, Scope &scope, bool &known);
  Value dimBuiltin(const Expr &expr, Scope &scope, bool &known);
  Value elementwise(const Expr &expr, Scope &scope);
  Value exactCast(const Expr &expr, Scope &scope);
  Value split(const Expr &expr, Scope &scope);
  Value shift(const Expr &expr, Scope &scope);
  Value scan(const Expr &expr, Scope &scope);
  Value uniform(const Expr &expr, Scope &scope);
  std::optional<Value> isTraining(const Place &place);
  NodePtr hostNumber(const std::string &name);
  NodePtr callNumber();
  Value settingsDefault(const Function &text, const Expr &initial,
                        Scope &scope);
  void checkAssertion(const Stmt &stmt, Scope &scope);
  void boundScalars(const Expr &condition, Scope &scope);
  const Expr *scalarIn(const Expr &expr) const;
  NodePtr hidden(const std::string &kind, const std::string &name,
                 const NodePtr &outside);
  NodePtr documentAlong(Dim *along, Scope &scope);
  Value attention(const Expr &expr, Scope &scope);
  Value topK(const Expr &expr, Scope &scope);
  Value dispatch(const Expr &expr, Scope &scope);
  Value combine(const Expr &expr, Scope &scope);
  NodePtr meetOwner(NodePtr node, const Dims &other);
  void staysInBlock(const Dims &dims, const Place &place);
  NodePtr attentionKeep(const Argument &keep, struct AttentionUse &use,
                        Scope &scope);
  NodePtr attentionScore(const Argument &score, struct AttentionUse &use,
                         Scope &scope);
  NodePtr attentionSink(const Argument &sink, struct AttentionUse &use,
                        Scope &scope);
  NodePtr readByDistance(NodePtr table, const NodePtr &ids, Dim *over,
                         const Place &place);
  Value callFunction(const Function &function, const Expr &call, Scope &scope);
  Value blockArgument(Value value, const ParameterDecl &decl,
                      const Place &place);
  Value callBlock(const Function &block, const Expr &call, Scope &scope);
  void bindArgument(const ParameterDecl &decl, Value &value, Scope &callee,
                    const Place &place);
  BlockTrace &traceBlock(const Function &block, const std::string &key,
                         const std::vector<Value> &arguments, Scope &outer,
                         const Place &place);
  double number(const Expr &expr, Scope &scope, const std::string &what);
  Value apply(const std::string &op, const Value &a, const Value &b,
              const Place &place);

  // Dimensions.
  Dim *lookupDim(const std::string &name, Scope &scope);
  Dim *ownDim(const std::string &name, Scope &scope);
  const Dims &needRest(const std::string &name, Scope &scope,
                       const Place &place);
  NodePtr rename(NodePtr value, const BracketItem &item, Scope &scope);
  Dim *needDim(const std::string &name, Scope &scope, const Place &place);
  Dim *needDim(const Expr &expr, Scope &scope);
  Dims inner(const DimSpec &spec, Scope &scope, bool declare);
  Dim *declareConcat(const DimSpec &spec, Scope &scope);
  NodePtr openGroups(NodePtr node, const Dims &other);
  void settle(NodePtr &node, bool allowed);
  void refuseOuter(const NodePtr &node);

  Value *lookup(const std::string &name, Scope &scope, Scope **owner = nullptr);
  NodePtr import(const std::string &name, NodePtr node);
  bool isForeign(const NodePtr &node) const;
  void noteKnown(const std::string &name, const Value &value,
                 const Scope *owner);
  void checkKnown(const BlockTrace &trace, const std::string &block,
                  Scope &scope, const Place &place);
  NodePtr parameterArgument(const Parameter &parameter);
  /// Loop indices and settings for {names}, but for dimensions of `ranges`.
  std::string substitute(std::string text, Scope &scope,
                         const Dims &ranges = {});

  const Library &library;
  Emit &emit;
  mlir::ModuleOp module;
  std::map<std::string, std::unique_ptr<Dim>> dimTable;
  std::map<std::string, BlockTrace> blockTraces;
  /// Ragged dimensions by the choice (an address) and the owner.
  std::map<std::pair<const void *, Dim *>, std::unique_ptr<Dim>> raggedDims;
  BlockTrace *tracing = nullptr;     ///< the block under construction
  const Scope *aroundBlock = nullptr;
  FuncTrace *current = nullptr;
  FuncTrace *outermost = nullptr; ///< that calls the blocks
  std::map<std::string, NodePtr> imported; ///< of the block being traced
  std::optional<Value> applied;            ///< the model's value
  int depth = 0;
  int uses = 0; ///< random values of the function so far
};

/// A number, condition or word as it is written; "none".
std::string knownText(const Value &value);

/// The nearest of `names` to a misspelt one, or "".
std::string nearestName(const std::string &name,
                        const std::vector<std::string> &names);

} // namespace ltc::graph
