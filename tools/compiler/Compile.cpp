// SPDX-License-Identifier: Apache-2.0
// Spec to artifact: what `ltc` calls when it compiles.
#include "frontend/lower/Lower.h"
#include "frontend/spec/Spec.h"
#include "ir/interfaces/Line.h"
#include "passes/Pipelines.h"
#include "passes/program/Program.h"
#include "runtime/artifact/File.h"
#include "runtime/base/Compiler.h"
#include "runtime/data/Ahead.h"
#include "runtime/data/Streams.h"
#include "runtime/device/Roofline.h"
#include "runtime/formats/Safetensors.h"
#include "tools/compiler/Reserve.h"
#include "tools/compiler/Targets.h"
#include "tools/compiler/Trail.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

using namespace mlir;

namespace ltc {
namespace {

uint64_t threadsOf(const spec::Spec &spec) {
  for (const spec::Spec::Host &entry : spec.host)
    if (entry.key->name == "run.threads")
      return threadsOr(entry.value.get<int64_t>());
  return threadsOr(0);
}

/// What a run allocates that is no part of its program, the index of its
/// documents apart.
uint64_t bytesBeside(const spec::Spec &spec) {
  auto batch = [&](int64_t rows) {
    DataOptions options;
    options.length = spec.length;
    options.rows = rows;
    return batchBytes(options);
  };
  return kLtcItself + kCodeReserve + kWriteBuffer +
         Ahead::kBatches * batch(spec.batch) +
         spec.eval.size() * batch(spec.microBatch);
}

/// `ltc.memory_budget`: no part of the structure, since no bit depends on it.
void setBudget(const spec::Spec &spec, ModuleOp module) {
  if (!spec.memoryBudget)
    return;
  Builder b(module.getContext());
  const spec::Place &place = spec.memoryBudgetPlace;
  auto number = [&](StringRef name, uint64_t value) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(int64_t(value)));
  };
  module->setAttr(
      "ltc.memory_budget",
      b.getDictionaryAttr(
          {number("bytes", *spec.memoryBudget),
           number("beside", bytesBeside(spec)),
           number("before",
                  kLtcItself + kCodeReserve + Roofline::kMeasureBytes),
           number("threads", threadsOf(spec)),
           b.getNamedAttr("at", FileLineColLoc::get(b.getContext(), place.file,
                                                    place.line,
                                                    place.column))}));
}

class Compilation {
public:
  explicit Compilation(const LtcCompileRequest &request)
      : request(request), trail(request) {
    if (trail.follows())
      context.disableMultithreading();
    context.printOpOnDiagnostic(false);
    context.getDiagEngine().registerHandler(
        [this](Diagnostic &diagnostic) { show(diagnostic); });
  }

  /// As ltcCompile returns it.
  int run() {
    if (succeeded(runTimed()))
      return 0;
    return refused ? 1 : 2;
  }

private:
  LogicalResult runTimed() {
    if (!request.timing)
      return compile(TimingScope());
    std::string text;
    llvm::raw_string_ostream stream(text);
    DefaultTimingManager manager;
    manager.setEnabled(true);
    manager.setDisplayMode(DefaultTimingManager::DisplayMode::Tree);
    manager.setOutput(createOutputStrategy(
        DefaultTimingManager::OutputFormat::Text, stream));
    LogicalResult done = compile(manager.getRootScope());
    manager.print();
    say(text, false);
    return done;
  }

  LogicalResult compile(TimingScope timing) {
    TimingScope reading = timing.nest("spec and graph");
    trail.at("\nreading the spec and its texts");
    std::vector<spec::Problem> problems;
    spec::Spec spec = spec::readSpec(request.spec, problems);
    if (!problems.empty())
      return refuse(problems);
    graph::Request program = makeRequest(spec, problems);
    if (!problems.empty())
      return refuse(problems);
    auto target = targetOf(spec);
    if (!target)
      return failure();
    OwningOpRef<ModuleOp> module = graph::buildProgram(program, context);
    if (!module)
      return failure();
    std::string structure = structureText(program, context);
    if (structure.empty())
      return failure();
    reading.stop();
    CompileOptions options;
    options.watch = [&](PassManager &passes) { trail.watch(passes); };
    options.timing = &timing;
    options.debugDir = request.debugDir ? request.debugDir : "";
    options.report = request.report ? request.report : "";
    setBudget(spec, *module);
    options.target = target.get();
    if (request.emit)
      return emitStage(*module, *target, options);
    if (trail.follows() && failed(followKernels(*module, spec.target, options)))
      return failure();
    auto artifact = compileModule(*module, *target, options);
    if (failed(artifact))
      return failure();
    describe(spec, structure, **artifact);
    sayWhatIsMissing(**artifact);
    if (!request.output)
      return success();
    TimingScope writing = timing.nest("write");
    auto written = writeArtifact(**artifact, request.output);
    if (written)
      return success();
    say(written.error().message + "\n", true);
    return failure();
  }

  /// That of --target, or the spec's; null: refused.
  std::unique_ptr<Target> targetOf(spec::Spec &spec) {
    if (request.target)
      spec.target = request.target;
    std::string problem;
    auto target = createTarget(spec.target, problem);
    if (!target && request.target)
      (void)refuse({{{"", 0, 0}, "--target " + spec.target + ": " + problem}});
    else if (!target)
      (void)refuse({{spec.targetPlace, problem}});
    if (target && spec.memoryBudget && spec.target != "cpu") {
      (void)refuse({{spec.memoryBudgetPlace,
                     "train.memory_budget bounds the memory of a process on "
                     "cpu; for " + spec.target + " it is not supported yet"}});
      return nullptr;
    }
    return target;
  }

  /// Kernels one by one, on a copy, before all of them.
  LogicalResult followKernels(ModuleOp module, const std::string &target,
                              const CompileOptions &options) {
    OwningOpRef<ModuleOp> copy = module.clone();
    if (failed(runToStage(*copy, "kernels", options)) ||
        failed(trail.tryKernels(*copy, target)))
      return failure();
    trail.at("\nputting the program together");
    return success();
  }

  LogicalResult emitStage(ModuleOp module, Target &target,
                          const CompileOptions &options) {
    StringRef stage = request.emit;
    std::string text;
    if (llvm::is_contained(kStages, stage)) {
      if (failed(runToStage(module, stage, options)))
        return failure();
      llvm::raw_string_ostream(text) << module;
    } else if (stage == "program") {
      auto artifact = compileModule(module, target, options);
      if (failed(artifact))
        return failure();
      sayWhatIsMissing(**artifact);
      text = printProgram(**artifact);
    } else if (stage == "llvm" || stage == "asm") {
      if (failed(runToStage(module, "kernels", options)))
        return failure();
      auto listed = listKernels(module, target,
                                stage == "asm" ? Target::Listing::assembly
                                               : Target::Listing::llvm);
      if (failed(listed))
        return failure();
      sayWhatIsMissing(*listed->program);
      text = std::move(listed->text);
    } else {
      std::string names;
      for (const char *known : kStages)
        names += std::string(known) + ", ";
      say("no stage is named '" + stage.str() + "'; there are: " + names +
              "program, llvm, asm\n",
          true);
      return failure();
    }
    say(text, false);
    return success();
  }

  /// Of a program that no device can run yet: what kernels it lacks.
  void sayWhatIsMissing(const artifact::ArtifactT &table) {
    std::map<std::string, std::pair<size_t, std::string>> missing;
    size_t count = 0;
    for (const auto &kernel : table.kernels) {
      if (kernel->missing.empty())
        continue;
      auto &[kernels, first] = missing[kernel->missing];
      if (++count; kernels++ == 0)
        first = kernel->line;
    }
    if (!count)
      return;
    std::string text = "warning: " + std::to_string(count) + " of " +
                       std::to_string(table.kernels.size()) +
                       " kernels have no code, so this program cannot be "
                       "run:\n";
    for (const auto &[why, kernels] : missing)
      text += "  " + std::to_string(kernels.first) + ": " + why +
              "; the first is of " + kernels.second + "\n";
    say(text, true);
  }

  LogicalResult refuse(const std::vector<spec::Problem> &problems) {
    say(spec::show(problems), true);
    return failure();
  }

  void show(Diagnostic &diagnostic) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    auto line = [&](Location location, const char *kind,
                    const std::string &message) {
      if (std::string place = lineOf(location); !place.empty())
        stream << place << ": ";
      stream << kind << ": " << message << "\n";
    };
    DiagnosticSeverity severity = diagnostic.getSeverity();
    if (severity == DiagnosticSeverity::Remark)
      return;
    line(diagnostic.getLocation(),
         severity == DiagnosticSeverity::Error ? "error" : "warning",
         diagnostic.str());
    for (Diagnostic &note : diagnostic.getNotes())
      line(note.getLocation(), "note", note.str());
    say(text, true);
  }

  void say(const std::string &text, bool isError) {
    refused |= isError;
    request.print(request.user, text.data(), text.size(), isError);
  }

  const LtcCompileRequest &request;
  Trail trail;
  MLIRContext context;
  bool refused = false; ///< errors were printed
};

} // namespace
} // namespace ltc

extern "C" int ltcCompile(const LtcCompileRequest *request) {
  if (!request || request->size < sizeof(LtcCompileRequest) || !request->spec ||
      !request->print)
    return 1;
  return ltc::Compilation(*request).run();
}
