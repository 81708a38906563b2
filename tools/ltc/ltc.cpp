// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Commands.h"
#include <cstdio>

int main(int argc, char **argv) {
  CLI::App app{"ltc compiles the training of a language model, and runs it.",
               "ltc"};
  app.footer("  ltc plan frontend/examples/quickstart.yaml\n"
             "  ltc run frontend/examples/quickstart.yaml\n"
             "  ltc generate RUN --prompt 'The '\n"
             "\n"
             "Each command explains itself: ltc run --help");
  app.require_subcommand(1);
  app.set_version_flag("--version", "ltc 0.1");
  using namespace ltc::tool;
  addCompile(app);
  addRun(app);
  addPlan(app);
  addSweep(app);
  addInspect(app);
  addGenerate(app);
  addExport(app);
  addBatches(app);
  addDoctor(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error);
  } catch (const std::exception &error) { // of the file system, of memory
    leave(ltc::fail(error.what()));
  }
  return 0;
}
