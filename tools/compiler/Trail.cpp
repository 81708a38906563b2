// SPDX-License-Identifier: Apache-2.0
#include "tools/compiler/Trail.h"
#include "ir/interfaces/Line.h"
#include "ir/interfaces/Working.h"
#include "ir/ops/Ops.h"
#include "passes/Pipelines.h"
#include "tools/compiler/Targets.h"
#include "llvm/Support/FileSystem.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassInstrumentation.h"

using namespace mlir;

namespace ltc {

class Trail::Watcher : public PassInstrumentation {
public:
  explicit Watcher(Trail &trail) : trail(trail) {}
  void runBeforePass(Pass *pass, Operation *op) override {
    if (!pass->getArgument().empty()) // else one that only holds others
      trail.enter(*pass, op);
  }

private:
  Trail &trail;
};

Trail::Trail(const LtcCompileRequest &request) : request(request) {
  if (follows())
    Working::listener = [this](Operation *op) { say(op, "in " + pass); };
}

Trail::~Trail() { Working::listener = nullptr; }

/// "@layer", or "ltc.map of @layer".
static std::string nameOf(Operation *op) {
  if (auto symbol = op->getAttrOfType<StringAttr>("sym_name"))
    return "@" + symbol.str();
  Operation *parent = op->getParentOp();
  return op->getName().getStringRef().str() +
         (parent ? " of " + nameOf(parent) : "");
}

void Trail::at(const std::string &what) {
  if (!follows() || !request.at || !request.atBytes)
    return;
  std::string text = what.substr(0, request.atBytes - 1);
  std::memcpy(request.at, text.c_str(), text.size() + 1);
}

/// "PLACE\nWHAT"; the place is empty where none is known.
void Trail::say(Operation *op, const std::string &what) {
  at(lineOf(op->getLoc()) + "\n" + what +
     (isa<ModuleOp>(op) ? "" : ", at " + nameOf(op)));
}

void Trail::enter(Pass &runs, Operation *op) {
  pass = "pass " + runs.getArgument().str();
  std::string pipeline;
  llvm::raw_string_ostream text(pipeline);
  text << op->getName() << "(";
  runs.printAsTextualPipeline(text);
  text << ")";
  write(op, pipeline);
  say(op, "in " + pass);
}

/// MLIR that says itself what is to be run on it, with every line of the spec.
void Trail::write(Operation *op, const std::string &pipeline) {
  std::error_code error;
  llvm::raw_fd_ostream file(request.reproducer, error);
  if (error)
    return;
  AsmState state(op, OpPrintingFlags().enableDebugInfo(true, false));
  state.attachResourcePrinter(
      "mlir_reproducer", [&](Operation *, AsmResourceBuilder &builder) {
        builder.buildString("pipeline", pipeline);
        builder.buildBool("disable_threading", true);
        builder.buildBool("verify_each", true);
      });
  op->print(file, state);
}

void Trail::watch(PassManager &passes) {
  if (follows())
    passes.addInstrumentation(std::make_unique<Watcher>(*this));
}

LogicalResult Trail::tryKernels(ModuleOp module,
                                const std::string &target) {
  for (KernelOp kernel : module.getOps<KernelOp>()) {
    OwningOpRef<ModuleOp> alone = ModuleOp::create(module.getLoc());
    OpBuilder(alone->getBodyRegion()).clone(*kernel);
    PassManager passes(module.getContext());
    passes.addPass(createCompileKernelsPass(target));
    watch(passes);
    if (failed(passes.run(*alone)))
      return failure();
  }
  return success();
}

} // namespace ltc
