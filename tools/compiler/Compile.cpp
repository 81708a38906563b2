// SPDX-License-Identifier: Apache-2.0
// Spec to artifact: what `ltc` calls when it compiles.
#include "frontend/lower/Lower.h"
#include "frontend/spec/Spec.h"
#include "passes/Pipelines.h"
#include "runtime/artifact/File.h"
#include "runtime/base/Compiler.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

using namespace mlir;

namespace ltc {
namespace {

class Compilation {
public:
  explicit Compilation(const LtcCompileRequest &request) : request(request) {
    context.printOpOnDiagnostic(false);
    context.getDiagEngine().registerHandler(
        [this](Diagnostic &diagnostic) { show(diagnostic); });
  }

  LogicalResult run() {
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

private:
  LogicalResult compile(TimingScope timing) {
    TimingScope reading = timing.nest("spec and graph");
    std::vector<spec::Problem> problems;
    spec::Spec spec = spec::readSpec(request.spec, problems);
    if (!problems.empty())
      return refuse(problems);
    graph::Request program = makeRequest(spec, problems);
    if (!problems.empty())
      return refuse(problems);
    OwningOpRef<ModuleOp> module = graph::buildProgram(program, context);
    if (!module)
      return failure();
    reading.stop();
    CompileOptions options;
    options.timing = &timing;
    options.debugDir = request.debugDir ? request.debugDir : "";
    options.report = request.report ? request.report : "";
    if (request.emit)
      return emitStage(*module, options);
    std::string structure = structureText(*module);
    auto target = createCpuTarget();
    auto artifact = compileModule(*module, *target, options);
    if (failed(artifact))
      return failure();
    describe(spec, structure, **artifact);
    if (!request.output)
      return success();
    TimingScope writing = timing.nest("write");
    auto written = writeArtifact(**artifact, request.output);
    if (written)
      return success();
    say(written.error().message + "\n", true);
    return failure();
  }

  LogicalResult emitStage(ModuleOp module, const CompileOptions &options) {
    if (!llvm::is_contained(kStages, StringRef(request.emit))) {
      std::string names;
      for (const char *stage : kStages)
        names += std::string(names.empty() ? "" : ", ") + stage;
      say("no stage is named '" + std::string(request.emit) +
              "'; there are: " + names + "\n",
          true);
      return failure();
    }
    if (failed(runToStage(module, request.emit, options)))
      return failure();
    std::string text;
    llvm::raw_string_ostream(text) << module;
    say(text, false);
    return success();
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
      auto place = location->findInstanceOf<FileLineColLoc>();
      if (place)
        stream << place.getFilename().getValue() << ":" << place.getLine()
               << ":" << place.getColumn() << ": ";
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
    request.print(request.user, text.data(), text.size(), isError);
  }

  const LtcCompileRequest &request;
  MLIRContext context;
};

} // namespace
} // namespace ltc

extern "C" int ltcCompile(const LtcCompileRequest *request) {
  if (!request || request->size < sizeof(LtcCompileRequest) || !request->spec ||
      !request->print)
    return 1;
  return mlir::succeeded(ltc::Compilation(*request).run()) ? 0 : 1;
}
