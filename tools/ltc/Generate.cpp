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
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(run, ignored))
    leave(fail(run + (fs::exists(run, ignored)
                          ? " is no run's folder"
                          : ": there is no such run") +
               "; train one: ltc run SPEC (its run.folder is the run)"));
  if (!fs::exists(artifactOf(run), ignored))
    leave(fail(run + " has no artifact.ltca, so it is not a run's folder, or "
                     "its run has not begun; train it: ltc run SPEC"));
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
      "generate", "Writes on from a prompt with a run's newest checkpoint.");
  command->footer(
      "  ltc generate runs/x --prompt 'The ' --temperature 0.8\n"
      "  ltc generate runs/x --prompt 'The ' --top-k 40 --seed 2 --tokens 500\n"
      "\n"
      "The text appears as it is made, and ends early where the model ends a\n"
      "document. The same seed gives the same text. A run may be training\n"
      "meanwhile: its newest whole checkpoint is taken.\n"
      "\n"
      "Next: ltc run RUN --set train.duration='N steps' trains on;\n"
      "ltc export RUN -o FOLDER takes the weights elsewhere");
  command->add_option("run", job->run, "a run's folder")->required();
  command->add_option("--prompt", job->prompt, "the text to continue");
  command
      ->add_option("--tokens", job->sample.tokens, "how many to make at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--temperature", job->sample.temperature,
                   "0: always the most probable")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--top-k", job->sample.topK,
                   "draw from the k most probable; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--seed", job->sample.seed, "of the drawing")
      ->capture_default_str();
  command->callback([job] { generateText(*job); });
}

void addExport(CLI::App &app) {
  auto run = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  CLI::App *command = app.add_subcommand(
      "export", "Writes a run's weights as a Hugging Face folder.");
  command->footer(
      "  ltc export runs/x -o model\n"
      "\n"
      "model.safetensors has the newest checkpoint's weights by the names\n"
      "that the architecture's text gives; config.json stands beside it.\n"
      "\n"
      "Next: in a spec, model.init: {from: model} starts from these weights");
  command->add_option("run", *run, "a run's folder")->required();
  command->add_option("-o,--output", *folder, "the folder to write")
      ->required();
  command->callback([=] {
    Loaded loaded = load(*run);
    orLeave(exportModelFolder(*loaded.program, *folder));
    std::printf("wrote %s\n", folder->c_str());
  });
}

} // namespace ltc::tool
