// SPDX-License-Identifier: Apache-2.0
// Builds the functions of a program, one method each.
#pragma once
#include "frontend/graph/Request.h"
#include "frontend/graph/Tracer.h"

namespace ltc::graph {

class Program {
public:
  Program(const Request &request, mlir::MLIRContext &context);
  mlir::OwningOpRef<mlir::ModuleOp> build(); ///< throws Refusal

private:
  /// How a clause's pattern takes a parameter: a size per entry of the
  /// pattern, the rest's dimensions as one.
  struct Fit {
    std::vector<int64_t> sizes;
    std::vector<int64_t> rest; ///< the rest's own sizes
  };
  struct State {
    std::string name;
    const std::vector<DimSpec> *dims; ///< null: the weight's
    bool fromWeight;
    Place place;
  };
  /// Parameters that a clause treats alike, laid out one after another. A
  /// pointwise clause updates them all as one flat tensor; any other is one
  /// function, called for each.
  struct Group {
    const Function::Clause *clause;
    bool decays;
    std::string role; ///< "" where the clause does not read it
    Fit fit;          ///< empty where pointwise
    bool pointwise;
    std::vector<State> states;
    std::vector<const Parameter *> members;
    int64_t elements = 0; ///< each member padded to 16
  };
  /// What every clause reads beside its parameter.
  struct Shared {
    NodePtr scale, ok;  ///< scale: null without clipping
    NodePtr first;      ///< no step was applied yet
    std::map<std::string, Value> names;
  };
  /// A weight, its gradient and states: arguments of the function that
  /// updates them.
  struct Stored {
    NodePtr weight, gradient;
    std::vector<NodePtr> states;
  };

  void buildAll();
  void checkUses(); ///< all names and settings of the spec; throws Refusals
  void addText(const std::string &content, const std::string &path);
  void buildLoss();
  void enterTerm(const Term &term, const LossUse *use, const Place &place);
  void buildPredict();
  void buildApply();
  void buildInit();
  void buildEvaluation();
  void formGroups();
  Group groupOf(const Function &optimizer, const Parameter &parameter);
  static const Expr *evaluateOf(const Function::Clause &clause);
  std::optional<Fit> fit(const Function::Clause &clause,
                         const Parameter &parameter);
  bool holds(const Function::Clause &clause, const Function &optimizer,
             const Group &group, const Parameter &parameter);
  bool isPointwise(const Group &group, const Function &optimizer);
  std::vector<State> statesOf(const Function::Clause &clause);
  std::set<std::string> roles() const;
  void setAttributes();
  std::string configJson();

  const Function &text(const std::map<std::string, std::shared_ptr<Function>> &,
                       const TextUse &use, const std::string &kind);
  Tracer::Given given(const TextUse &use, const Function &text);
  std::map<std::string, Value> scalarSettings(const TextUse &use,
                                              const Function &text);
  std::map<std::string, Value> modelSettings();
  NodePtr scalar(const ScalarSetting &setting);
  NodePtr argument(std::initializer_list<std::pair<const char *, std::string>>,
                   Type type, Dims dims = {}, int64_t group = -1);
  mlir::DictionaryAttr
  bind(std::initializer_list<std::pair<const char *, std::string>> entries,
       int64_t group = -1);
  /// Dimensions and compile-time names of a group's clause.
  Tracer::ClauseInputs clauseInputs(const Group &group, Dims &weight);
  Dims stateDims(const Group &group, const State &state);
  std::vector<int64_t> stateShape(const Group &group, const State &state,
                                  const Parameter &parameter);
  Stored storedGroup(size_t index, bool gradient);
  Stored storedMember(size_t index, const Parameter &parameter, bool gradient);
  Tracer::ClauseInputs inputsFor(const Group &group, const Shared &shared,
                                 const Stored &old);
  /// The new weight and states, each where the step is ok.
  std::vector<NodePtr> update(const Group &group, const Shared &shared,
                              const Stored &old);
  NodePtr evaluated(const Group &group, const Shared &shared,
                    const Stored &old);
  using Make = std::function<std::vector<NodePtr>(const Shared &,
                                                  const Stored &)>;
  /// What `make` makes, in a function of its own, made at the first call.
  std::vector<NodePtr> call(const std::string &symbol, const Group &group,
                            const Shared &shared, const Stored &old,
                            const Make &make);
  void applyGroup(size_t index, const Shared &shared,
                  std::vector<NodePtr> &results,
                  std::vector<mlir::DictionaryAttr> &binds);
  NodePtr hashed(NodePtr position, uint32_t key, NodePtr seed);
  mlir::func::FuncOp initOfBlock(const Tracer::BlockCall &call);
  NodePtr initial(const Parameter &parameter, NodePtr seed);

  const Request &request;
  mlir::OpBuilder builder;
  Emit emit;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  Library library;
  std::set<std::string> texts; ///< paths that were added
  const TextUse *busy = nullptr; ///< whose text is being compiled
  Tracer tracer;                    ///< of everything but @predict
  FuncTrace *function = nullptr;
  const Function *model = nullptr;
  std::vector<Term> terms;
  std::vector<std::string> termWeights; ///< scalar key per term
  std::vector<Group> groups;
  std::vector<ScalarSetting> scalars;
  int64_t vocab = 0;
};

} // namespace ltc::graph
