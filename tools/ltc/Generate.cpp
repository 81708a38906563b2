// SPDX-License-Identifier: Apache-2.0
// ltc generate, ltc export: what a trained run is for.
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Generate.h"
#include "runtime/train/Options.h"
#include "runtime/train/Weights.h"
#include "tools/ltc/Commands.h"
#include <cstdio>

namespace ltc::tool {
namespace {

struct GenerateJob {
  std::string run, prompt;
  SampleOptions sample;
};

/// A run's program with its newest whole checkpoint.
struct Loaded {
  std::unique_ptr<ArtifactFile> file;
  std::unique_ptr<Device> device;
  std::unique_ptr<Program> program;
};

Loaded load(const std::string &run) {
  Loaded loaded;
  loaded.file = std::make_unique<ArtifactFile>(
      orLeave(ArtifactFile::open(artifactOf(run))));
  FoundCheckpoint found = findCheckpoint(run);
  for (const std::string &message : found.messages)
    std::fprintf(stderr, "%s\n", message.c_str());
  if (found.path.empty())
    leave(fail(run + " has no checkpoint yet; train it: ltc run " + run));
  loaded.device = orLeave(Device::open("cpu", 0));
  loaded.program = orLeave(Program::load(*loaded.file, *loaded.device));
  orLeave(restoreCheckpoint(*loaded.program, found.manifest, found.path));
  orLeave(restoreScalars(*loaded.program, found.manifest));
  return loaded;
}

void generateText(const GenerateJob &job) {
  Loaded loaded = load(job.run);
  // Byte tokens: 0 starts a document.
  std::vector<int32_t> prompt = {0};
  for (unsigned char c : job.prompt)
    prompt.push_back(c);
  std::fwrite(job.prompt.data(), 1, job.prompt.size(), stdout);
  orLeave(generate(*loaded.program, prompt, job.sample, [](int32_t token) {
    std::putchar(token);
    std::fflush(stdout);
    return token != 0;
  }));
  std::printf("\n");
}

} // namespace

void addGenerate(CLI::App &app) {
  auto job = std::make_shared<GenerateJob>();
  CLI::App *command = app.add_subcommand(
      "generate", "Writes on from a prompt with a run's newest checkpoint.\n\n"
                  "  ltc generate runs/x --prompt 'The ' --temperature 0.8");
  command->add_option("run", job->run, "a run folder")->required();
  command->add_option("--prompt", job->prompt, "the text to continue");
  command->add_option("--tokens", job->sample.tokens, "how many to make");
  command->add_option("--temperature", job->sample.temperature,
                      "0: always the most probable");
  command->add_option("--top-k", job->sample.topK, "0: all");
  command->add_option("--seed", job->sample.seed, "of the sampling");
  command->callback([job] { generateText(*job); });
}

void addExport(CLI::App &app) {
  auto run = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  CLI::App *command = app.add_subcommand(
      "export", "Writes a run's weights as a Hugging Face folder "
                "(model.safetensors, config.json).\n\n"
                "  ltc export runs/x -o model");
  command->add_option("run", *run, "a run folder")->required();
  command->add_option("-o,--output", *folder, "the folder to write")
      ->required();
  command->callback([=] {
    Loaded loaded = load(*run);
    orLeave(exportModelFolder(*loaded.program, *folder));
    std::printf("wrote %s\n", folder->c_str());
  });
}

} // namespace ltc::tool
