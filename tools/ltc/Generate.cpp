// SPDX-License-Identifier: Apache-2.0
// ltc generate, ltc export: what a trained run is for.
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Generate.h"
#include "runtime/train/Options.h"
#include "runtime/train/Utf8.h"
#include "runtime/train/Weights.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Prompts.h"
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ltc::tool {
namespace {

struct GenerateJob {
  std::string run, prompt, file;
  GenerateOptions options;
  int threads = 0;
  bool asJson = false, stats = false;
};

/// A run's program with its newest whole checkpoint.
struct Loaded {
  std::unique_ptr<ArtifactFile> file;
  std::unique_ptr<Device> device;
  std::unique_ptr<Program> program;
};

Loaded load(const std::string &run, int threads = 0, bool caches = false) {
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
  loaded.device =
      orLeave(Device::open(deviceOf(loaded.file->program), threads));
  loaded.program =
      orLeave(Program::load(*loaded.file, *loaded.device, caches));
  orLeave(restoreCheckpoint(*loaded.program, found.manifest, found.path));
  orLeave(restoreScalars(*loaded.program, found.manifest));
  return loaded;
}

/// Why a program without caches has none, in the user's words.
void sayHow(const Program &program, const GenerateJob &job) {
  const std::string &why = program.table().no_cache_why;
  if (!hasCaches(program) && !why.empty())
    std::fprintf(stderr,
                 "%s: each token takes the whole window: %s\n",
                 job.run.c_str(), why.c_str());
}

void sayStats(const GenerateReport &report, const Program &program,
              const GenerateJob &job) {
  double rate = report.seconds > 0 ? double(report.made - 1) / report.seconds
                                   : 0;
  bool caches = hasCaches(program) && !job.options.recompute;
  std::fprintf(stderr,
               "prompt: %lld tokens in %.1f ms; then %lld tokens, %.1f a "
               "second, %s\n",
               (long long)report.promptTokens, report.firstSeconds * 1e3,
               (long long)(report.made - 1), rate,
               caches ? "with caches" : "a window for each");
}

/// Byte tokens: 0 starts and ends a document, the others are bytes.
void continueText(Program &program, const std::string &prompt,
                  const GenerateJob &job) {
  std::vector<int32_t> tokens = {0};
  for (unsigned char c : prompt)
    tokens.push_back(c);
  Utf8Stream stream;
  std::string text;
  bool ended = false;
  auto write = [&](const std::string &piece) {
    text += piece;
    if (job.asJson)
      return;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  };
  for (size_t i = 1; i < tokens.size(); ++i)
    write(stream.add(uint8_t(tokens[i])));
  std::string shown = std::move(text);
  text.clear();
  GenerateReport report =
      orLeave(generate(program, tokens, job.options, [&](int32_t token) {
        ended = token == 0;
        if (!ended)
          write(stream.add(uint8_t(token)));
        return !ended;
      }));
  write(stream.finish());
  if (job.asJson) {
    nlohmann::ordered_json line = {{"prompt", shown},
                                   {"text", text},
                                   {"tokens", report.made},
                                   {"ended", ended}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("\n");
  }
  std::fflush(stdout);
  if (report.moves)
    std::fprintf(stderr,
                 "the context of %lld tokens was full %lld times: went on from "
                 "its last half\n",
                 (long long)program.table().length, (long long)report.moves);
  if (job.stats)
    sayStats(report, program, job);
}

void generateTexts(const GenerateJob &job) {
  std::vector<std::string> prompts = {job.prompt};
  if (!job.file.empty())
    prompts = orLeave(readPrompts(job.file));
  Loaded loaded = load(job.run, job.threads, true);
  sayHow(*loaded.program, job);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (i && !job.asJson)
      std::printf("\n");
    continueText(*loaded.program, prompts[i], job);
  }
}

void addSampling(CLI::App &command, SampleOptions &sample) {
  command
      .add_option("--temperature", sample.temperature,
                  "below 1: more of the probable; 0: always the most probable")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      .add_option("--top-k", sample.topK,
                  "draw from the k most probable; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      .add_option("--top-p", sample.topP,
                  "draw from the fewest tokens that are together so probable; "
                  "1: all")
      ->check([](const std::string &text) {
        char *end = nullptr;
        double value = std::strtod(text.c_str(), &end);
        return *end == '\0' && value > 0 && value <= 1
                   ? std::string()
                   : "top-p is above 0 and at most 1, found " + text;
      })
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", sample.repetition,
                  "over 1: tokens that the text has already become less "
                  "probable")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--seed", sample.seed, "of the drawing")
      ->capture_default_str();
}

} // namespace

void addGenerate(CLI::App &app) {
  auto job = std::make_shared<GenerateJob>();
  CLI::App *command = app.add_subcommand(
      "generate", "Writes on from a prompt with a run's newest checkpoint.");
  command->footer(
      "  ltc generate runs/x --prompt 'The ' --temperature 0.8\n"
      "  ltc generate runs/x --prompt 'The ' --top-p 0.9 --seed 2 "
      "--max-tokens 500\n"
      "  ltc generate runs/x --prompts prompts.txt --temperature 0\n"
      "\n"
      "The text appears as it is made, and ends early where the model ends a\n"
      "document. The same seed gives the same text, whatever other prompts\n"
      "the file has. A run may be training meanwhile: its newest whole\n"
      "checkpoint is taken.\n"
      "\n"
      "What attention and its like need of earlier tokens is kept in caches.\n"
      "Where a model's text does not allow that, its line is named and each\n"
      "token takes the whole window. A text longer than the model's length\n"
      "goes on from the last half of it (without caches: from the last\n"
      "`length` tokens, each time).\n"
      "\n"
      "Next: ltc run RUN --set train.duration='N steps' trains on;\n"
      "ltc export RUN -o FOLDER takes the weights elsewhere");
  command->add_option("run", job->run, "a run's folder")->required();
  auto *prompt =
      command->add_option("--prompt", job->prompt, "the text to continue");
  command
      ->add_option("--prompts", job->file,
                   "a file of texts to continue, one a line; *.jsonl: each "
                   "line's \"prompt\"")
      ->excludes(prompt);
  command
      ->add_option("--max-tokens,--tokens", job->options.tokens,
                   "how many to make at most, for each prompt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  addSampling(*command, job->options.sample);
  command->add_flag("--json", job->asJson,
                    "a line for each prompt: {\"prompt\", \"text\", "
                    "\"tokens\", \"ended\"}");
  command->add_flag("--stats", job->stats,
                    "say to stderr how long the prompt and the tokens took");
  command->add_flag("--recompute", job->options.recompute,
                    "without caches: the whole window for each token");
  command
      ->add_option("--threads", job->threads, "how many work; 0: all there are")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->callback([job] { generateTexts(*job); });
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
