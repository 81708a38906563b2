// SPDX-License-Identifier: Apache-2.0
// Groups of ops become ltc.kernel symbols; a launch stands in their place.
#include "ir/interfaces/Working.h"
#include "ir/ops/Attention.h"
#include "passes/fusion/Passes.h"
#include "passes/fusion/Report.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace ltc {
#define GEN_PASS_DEF_FORMKERNELSPASS
#include "passes/fusion/Passes.h.inc"

namespace {

/// The kernels of a module by their text without names and locations.
class KernelTable {
public:
  explicit KernelTable(ModuleOp module) : symbols(module) {}

  /// The kernel's name: its own, or that of an equal one (then it is erased).
  StringRef enter(KernelOp kernel) {
    std::string name = kernel.getSymName().str(), text;
    kernel.setSymName("kernel");
    llvm::raw_string_ostream(text) << textOf(kernel);
    auto [found, fresh] = byText.try_emplace(text, name);
    if (!fresh) {
      kernel.erase();
      return found->second;
    }
    kernel.setSymName(name);
    symbols.insert(kernel);
    found->second = kernel.getSymName().str();
    return found->second;
  }

private:
  static std::string textOf(KernelOp kernel) {
    std::string text;
    llvm::raw_string_ostream out(text);
    OpPrintingFlags flags;
    kernel->print(out, flags.useLocalScope());
    return text;
  }

  SymbolTable symbols;
  llvm::StringMap<std::string> byText;
};

/// Names the spec's lines of the ops in one location, first that of the op that
/// the rest is made for.
Location fusedLocation(ArrayRef<Operation *> ops) {
  llvm::SetVector<Location> all;
  for (Operation *op : ops)
    if (isa<ContractOp, GroupedContractOp, AttentionOp, AttentionGradOp>(op))
      all.insert(op->getLoc());
  for (Operation *op : ops)
    all.insert(op->getLoc());
  if (all.size() == 1)
    return all[0];
  return FusedLoc::get(ops[0]->getContext(), all.getArrayRef());
}

class Outliner {
public:
  Outliner(func::FuncOp function, const InPlace &inPlace, KernelTable &table,
           FusionReport &report)
      : function(function), inPlace(inPlace), table(table), report(report) {}

  void run(ArrayRef<Group> order) {
    Operation *end = function.getBody().front().getTerminator();
    SmallVector<Operation *> replaced;
    for (const Group &group : order) {
      if (group.fixed) {
        if (group.ops[0] != end)
          group.ops[0]->moveBefore(end);
        continue;
      }
      outline(group, end);
      llvm::append_range(replaced, group.ops);
    }
    for (Operation *op : replaced)
      op->dropAllReferences();
    for (Operation *op : replaced)
      op->erase();
  }

private:
  void outline(const Group &group, Operation *end) {
    SmallVector<Value> results = resultsOf(group.ops);
    if (results.empty())
      return;
    llvm::SetVector<Value> inputs;
    for (Operation *op : group.ops)
      for (Value operand : op->getOperands())
        if (!llvm::is_contained(group.ops, operand.getDefiningOp()))
          inputs.insert(operand);
    StringRef name = table.enter(kernelOf(group, inputs, results));
    report.add(name, function.getSymName(), group);
    OpBuilder b(end);
    auto launch = LaunchOp::create(b, fusedLocation(group.ops),
                                   TypeRange(ValueRange(results)), name,
                                   inputs.getArrayRef());
    for (auto [old, value] : llvm::zip(results, launch.getResults())) {
      renamed[old] = value;
      old.replaceUsesWithIf(value, [&](OpOperand &use) {
        return !llvm::is_contained(group.ops, use.getOwner());
      });
    }
  }

  KernelOp kernelOf(const Group &group, const llvm::SetVector<Value> &inputs,
                    ArrayRef<Value> results) {
    SmallVector<int64_t> inplace;
    for (Value result : results) {
      Value base = baseInput(result, group.ops, inPlace);
      // Bases were named before earlier groups became launches.
      Value now = base ? current(base) : Value();
      auto found = llvm::find(inputs, now);
      inplace.push_back(now && found != inputs.end() ? found - inputs.begin()
                                                     : -1);
    }
    OpBuilder b(function.getContext());
    Location loc = fusedLocation(group.ops);
    std::string name = function.getSymName().str() + "." +
                       std::to_string(count++) + "." +
                       kernelKindName(group.form.kind).str();
    auto type = b.getFunctionType(TypeRange(ValueRange(inputs.getArrayRef())),
                                  TypeRange(ValueRange(results)));
    auto kernel = KernelOp::create(b, loc, name, type, inplace);
    Block *body = b.createBlock(&kernel.getBody());
    IRMapping mapping;
    for (Value input : inputs)
      mapping.map(input, body->addArgument(input.getType(), input.getLoc()));
    for (Operation *op : group.ops)
      b.clone(*op, mapping);
    SmallVector<Value> yielded;
    for (Value result : results)
      yielded.push_back(mapping.lookup(result));
    YieldOp::create(b, loc, yielded);
    return kernel;
  }

  Value current(Value base) {
    Value now = renamed.lookup(base);
    return now ? now : base;
  }

  func::FuncOp function;
  const InPlace &inPlace;
  KernelTable &table;
  FusionReport &report;
  llvm::DenseMap<Value, Value> renamed; ///< op's result -> launch's
  int count = 0;
};

class FormKernels : public impl::FormKernelsPassBase<FormKernels> {
  using FormKernelsPassBase::FormKernelsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    InPlace inPlace = findInPlace(module);
    KernelTable table(module);
    FusionReport fusion;
    SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      if (function.isExternal())
        continue;
      Working::on(function);
      Groups groups(function.getBody().front(), inPlace);
      if (failed(groups.form(fuse)))
        return signalPassFailure();
      auto order = groups.sorted();
      if (failed(order))
        return signalPassFailure();
      for (const Refusal &refusal : groups.refusals)
        fusion.add(refusal, function.getSymName());
      Outliner(function, inPlace, table, fusion).run(*order);
    }
    if (!report.empty() && failed(fusion.write(report, module.getLoc())))
      signalPassFailure();
  }
};

} // namespace
} // namespace ltc
