// SPDX-License-Identifier: Apache-2.0
// ltc compile: spec to artifact.
#include "tools/ltc/Commands.h"
#include <cstdio>

namespace ltc::tool {

void addCompile(CLI::App &app) {
  auto job = std::make_shared<CompileJob>();
  CLI::App *command = app.add_subcommand(
      "compile", "Compiles a spec into one artifact.");
  command->footer(
      "  ltc compile spec.yaml -o model.ltca\n"
      "  ltc compile spec.yaml --emit=kernels   prints that stage\n"
      "  ltc compile spec.yaml -o model.ltca --debug-dir=D   a file per pass\n"
      "  ltc compile spec.yaml -o model.ltca --fusion-report -\n"
      "  ltc compile spec.yaml -o model.ltca --target cuda:sm_90\n"
      "\n"
      "The artifact has the whole training step as machine code, the memory\n"
      "plan and the resolved spec; it never has weights. The keys of a spec:\n"
      "frontend/spec/README.md. Stages, in order: model (the texts as ops),\n"
      "grad, shard, kernels (fused), program (buffers and launches), llvm and\n"
      "asm (native code).\n"
      "\n"
      "Next: ltc inspect FILE shows what is in it, ltc run FILE trains it");
  command->add_option("spec", job->spec, "the spec, YAML or JSON")->required();
  command->add_option("-o,--output", job->output, "the artifact to write");
  command->add_option("--emit", job->emit,
                      "print a stage and stop; the stages stand below");
  command->add_option("--debug-dir", job->debugDir,
                      "a folder for the IR after each pass");
  command->add_option("--fusion-report", job->report,
                      "kernels by line, what did not fuse and why; JSON if\n"
                      "FILE ends in .json; - for the terminal");
  command->add_option("--target", job->target,
                      "instead of the spec's: cpu, cuda:CHIP, hip:CHIP");
  command->add_flag("--timing", job->timing,
                    "print the time by stage and pass");
  command->callback([job] {
    if (job->output.empty() && job->emit.empty())
      leave(fail("say where the artifact goes: -o FILE (or --emit=STAGE)"));
    if (!job->output.empty() && !job->emit.empty())
      leave(fail("--emit prints a stage and writes no artifact: leave out -o"));
    if (!compile(*job))
      std::exit(1);
    if (!job->output.empty())
      std::printf("wrote %s\n", job->output.c_str());
  });
}

} // namespace ltc::tool
