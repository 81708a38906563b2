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
  /// Parameters that the optimizer treats alike, laid out one after another.
  struct Group {
    const Function::Clause *clause;
    bool decays;
    std::vector<const Parameter *> members;
    int64_t elements = 0; ///< each member padded to 16
  };

  void buildAll();
  void checkUses(); ///< all names and settings of the spec; throws Refusals
  void addText(const std::string &content, const std::string &path);
  void buildLoss();
  void enterTerm(const Term &term, const LossUse *use, const Place &place);
  void buildPredict();
  void buildApply();
  void buildInit();
  void formGroups();
  void setAttributes();
  std::string configJson();

  const Function &text(const std::map<std::string, std::shared_ptr<Function>> &,
                       const TextUse &use, const std::string &kind);
  Tracer::Given given(const TextUse &use, const Function &text);
  std::map<std::string, Value> scalarSettings(const TextUse &use,
                                              const Function &text);
  NodePtr scalar(const ScalarSetting &setting);
  NodePtr argument(std::initializer_list<std::pair<const char *, std::string>>,
                   Type type, Dims dims = {}, int64_t group = -1);
  mlir::DictionaryAttr
  bind(std::initializer_list<std::pair<const char *, std::string>> entries,
       int64_t group = -1);
  void applyGroup(size_t index, NodePtr scale, NodePtr ok,
                  const std::map<std::string, Value> &shared,
                  std::vector<NodePtr> &results,
                  std::vector<mlir::DictionaryAttr> &binds);
  NodePtr hashed(NodePtr position, uint32_t key, NodePtr seed);
  mlir::func::FuncOp initOfBlock(const Tracer::BlockCall &call);
  NodePtr initial(const Parameter &parameter, NodePtr seed);
  std::vector<std::string> statesOf(const Function::Clause &clause);

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
