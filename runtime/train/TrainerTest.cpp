// SPDX-License-Identifier: Apache-2.0
// A toy program trained end to end: what the loop promises, without a compiler.
#include "runtime/train/Generate.h"
#include "runtime/train/ToyProgram.h"
#include "runtime/train/Trainer.h"
#include "runtime/train/Weights.h"
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ltc;
namespace fs = std::filesystem;

namespace {
struct Recorder : RunListener {
  std::vector<StepReport> steps;
  std::vector<EvalReport> evals;
  std::string messages;
  std::function<void(const StepReport &)> each;
  void onStep(const StepReport &report) override {
    steps.push_back(report);
    if (each)
      each(report);
  }
  void onEval(const EvalReport &report) override { evals.push_back(report); }
  void onMessage(const std::string &text) override { messages += text + "\n"; }
};

/// An evaluation set that says when it is read.
struct HeldOut : toy::Data {
  using Data::Data;
  std::function<void()> each;
  Result<const GlobalBatch *> next() override {
    if (each)
      each();
    return Data::next();
  }
};

/// One run of the toy in a folder; `weights` afterwards, padding included.
struct ToyRun {
  ArtifactFile file;
  Recorder listener;
  RunOptions options;
  std::vector<std::string> settings;
  bool fresh = false;
  std::function<void(artifact::ArtifactT &)> change; ///< of the toy
  HeldOut held{2};
  std::vector<float> weights;
  Outcome outcome;
  std::string error;

  bool run(const fs::path &folder, int threads = 1) {
    auto result = tryRun(folder, threads);
    error = result ? "" : result.error().message;
    return bool(result);
  }
  Result<void> tryRun(const fs::path &folder, int threads) {
    fs::path path = folder.string() + ".ltca";
    artifact::ArtifactT table = toy::program();
    if (change)
      change(table);
    LTC_TRY(writeArtifact(table, path));
    LTC_ASSIGN(file, ArtifactFile::open(path));
    fs::remove(path);
    for (const std::string &setting : settings)
      LTC_TRY(applySetting(file.program, setting));
    LTC_ASSIGN(options, readOptions(file.program));
    options.folder = folder;
    LTC_ASSIGN(auto device, Device::open("cpu", threads));
    LTC_ASSIGN(auto program, Program::load(file, *device));
    toy::Data data;
    TrainerInputs inputs{&data, {{"held_out", &held}}, &listener, fresh};
    LTC_ASSIGN(auto trainer, Trainer::create(*program, options, inputs));
    LTC_ASSIGN(outcome, trainer->run());
    weights.resize(48);
    LTC_TRY(program->read(0, weights.data(), 48 * 4));
    return exportModelFolder(*program, folder / "export");
  }
};

struct Train : testing::Test {
  fs::path folder = fs::temp_directory_path() /
                    ("ltc-train-" + std::to_string(::getpid()));
  void SetUp() override { fs::remove_all(folder); }
  void TearDown() override { fs::remove_all(folder); }
  /// The weights of a run that nothing disturbed.
  std::vector<float> reference() {
    ToyRun run;
    EXPECT_TRUE(run.run(folder.string() + "-reference")) << run.error;
    fs::remove_all(folder.string() + "-reference");
    return run.weights;
  }
};
} // namespace

static void flipByte(const fs::path &path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  char byte = char(file.get());
  file.seekp(at);
  file.put(char(byte ^ 1));
}

TEST_F(Train, theLossFallsAndReportsAreComplete) {
  ToyRun run;
  ASSERT_TRUE(run.run(folder)) << run.error;
  ASSERT_EQ(run.listener.steps.size(), 40u);
  const StepReport &first = run.listener.steps[0];
  const StepReport &last = run.listener.steps[39];
  EXPECT_LT(last.loss, first.loss / 2);
  EXPECT_EQ(last.progress.step, 40);
  EXPECT_DOUBLE_EQ(last.progress.epochs, 4.0);
  EXPECT_EQ(last.terms[0].first, "square");
  EXPECT_EQ(last.terms[0].second, last.loss);
  EXPECT_DOUBLE_EQ(last.lr, 0.5);
  ASSERT_EQ(run.listener.evals.size(), 2u); // steps 20 and 40, once each
  EXPECT_LT(run.listener.evals[1].loss, run.listener.evals[0].loss);
  EXPECT_TRUE(run.outcome.finished);
  EXPECT_EQ(listCheckpoints(folder).size(), 3u);
}

TEST_F(Train, anEvaluationReportsTheTermsThatItMakes) {
  ToyRun run;
  run.change = [](artifact::ArtifactT &table) {
    auto term = std::make_unique<artifact::TermT>();
    term->name = "balance"; // no command of @evaluate adds to it
    term->sum = toy::addBuffer(table, "balance", artifact::BufferClass::output,
                               artifact::DType::f32, {});
    term->inverse_count =
        toy::addBuffer(table, "1/rows", artifact::BufferClass::scalar,
                       artifact::DType::f64, {});
    table.terms.push_back(std::move(term));
  };
  ASSERT_TRUE(run.run(folder)) << run.error;
  ASSERT_EQ(run.listener.steps.at(0).terms.size(), 2u);
  ASSERT_EQ(run.listener.evals.at(0).terms.size(), 1u);
  EXPECT_EQ(run.listener.evals[0].terms[0].first, "square");
}

TEST_F(Train, bitsDoNotDependOnThreads) {
  std::vector<float> expected = reference();
  ToyRun run;
  ASSERT_TRUE(run.run(folder, 2)) << run.error;
  EXPECT_EQ(run.weights, expected);
}

TEST_F(Train, paddingStaysZero) {
  std::vector<float> weights = reference();
  for (int i = 37; i < 48; ++i)
    EXPECT_EQ(weights[i], 0.0f);
}

TEST_F(Train, killedAndResumedGivesTheSameBits) {
  std::vector<float> expected = reference();
  pid_t child = ::fork();
  if (child == 0) {
    ToyRun run;
    run.listener.each = [](const StepReport &report) {
      if (report.progress.step == 27)
        ::kill(::getpid(), SIGKILL);
    };
    run.run(folder, 2);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  ToyRun run;
  ASSERT_TRUE(run.run(folder)) << run.error;
  EXPECT_EQ(run.listener.steps[0].progress.step, 21);
  EXPECT_NE(run.listener.messages.find("resumed at step 20"),
            std::string::npos);
  EXPECT_EQ(run.weights, expected);
}

TEST_F(Train, aSignalSavesAndTheNextRunGoesOn) {
  std::vector<float> expected = reference();
  ToyRun first;
  first.listener.each = [](const StepReport &report) {
    if (report.progress.step == 13)
      ::raise(SIGTERM);
  };
  ASSERT_TRUE(first.run(folder)) << first.error;
  EXPECT_FALSE(first.outcome.finished);
  EXPECT_EQ(first.outcome.progress.step, 13);
  EXPECT_NE(first.listener.messages.find("stopped at step 13"),
            std::string::npos);
  ToyRun second;
  ASSERT_TRUE(second.run(folder)) << second.error;
  EXPECT_EQ(second.listener.steps[0].progress.step, 14);
  EXPECT_EQ(second.weights, expected);
}

TEST_F(Train, anEvaluationThatASignalCameBeforeIsMadeUp) {
  ToyRun first;
  first.listener.each = [](const StepReport &report) {
    if (report.progress.step == 20)
      ::raise(SIGINT);
  };
  ASSERT_TRUE(first.run(folder)) << first.error;
  EXPECT_EQ(first.outcome.progress.step, 20);
  EXPECT_EQ(first.listener.evals.size(), 0u);
  ToyRun second;
  ASSERT_TRUE(second.run(folder)) << second.error;
  ASSERT_EQ(second.listener.evals.size(), 2u);
  EXPECT_EQ(second.listener.evals[0].progress.step, 20);
  ToyRun third; // finished: nothing is evaluated or said again
  ASSERT_TRUE(third.run(folder)) << third.error;
  EXPECT_EQ(third.listener.evals.size(), 0u);
}

TEST_F(Train, aSignalEndsAnEvaluationAndTheNextRunMakesItWhole) {
  std::vector<float> expected = reference();
  ToyRun first;
  int read = 0;
  first.held.each = [&] {
    if (++read == 2) // of three: two batches and the end
      ::raise(SIGTERM);
  };
  ASSERT_TRUE(first.run(folder)) << first.error;
  EXPECT_FALSE(first.outcome.finished);
  EXPECT_EQ(read, 2);
  EXPECT_EQ(first.outcome.progress.step, 20);
  EXPECT_EQ(first.listener.evals.size(), 0u);
  ToyRun second; // stopped again, in the last evaluation
  read = 0;
  second.held.each = [&] {
    if (++read == 4)
      ::raise(SIGINT);
  };
  ASSERT_TRUE(second.run(folder)) << second.error;
  EXPECT_FALSE(second.outcome.finished);
  EXPECT_EQ(second.outcome.progress.step, 40);
  ASSERT_EQ(second.listener.evals.size(), 1u);
  EXPECT_EQ(second.listener.evals[0].progress.step, 20);
  ToyRun third;
  ASSERT_TRUE(third.run(folder)) << third.error;
  EXPECT_TRUE(third.outcome.finished);
  EXPECT_EQ(third.listener.steps.size(), 0u);
  ASSERT_EQ(third.listener.evals.size(), 1u);
  EXPECT_EQ(third.listener.evals[0].progress.step, 40);
  EXPECT_EQ(third.weights, expected);
  ToyRun fourth; // what was made up is known
  ASSERT_TRUE(fourth.run(folder)) << fourth.error;
  EXPECT_EQ(fourth.listener.evals.size(), 0u);
}

TEST_F(Train, aRunFolderIsTrainedByOneProcess) {
  ToyRun first, second;
  bool refused = false;
  first.listener.each = [&](const StepReport &report) {
    if (report.progress.step == 3)
      refused = !second.run(folder);
  };
  ASSERT_TRUE(first.run(folder)) << first.error;
  EXPECT_TRUE(refused);
  std::string pid = std::to_string(::getpid());
  EXPECT_EQ(second.error,
            "the run in " + folder.string() + " is being trained by process " +
                pid + "; wait for its end, stop it (kill " + pid +
                "), or choose another run.folder");
  ToyRun third; // it is free again
  EXPECT_TRUE(third.run(folder)) << third.error;
}

static void limitFiles(rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = {bytes, RLIM_INFINITY};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST_F(Train, aFailedSaveIsAWarningWhileAnOlderCheckpointStands) {
  ToyRun run;
  run.listener.each = [](const StepReport &report) {
    if (report.progress.step == 15)
      limitFiles(64);
    if (report.progress.step == 25)
      limitFiles(RLIM_INFINITY);
  };
  ASSERT_TRUE(run.run(folder)) << run.error;
  EXPECT_NE(run.listener.messages.find("warning: step 20 is not saved: "),
            std::string::npos);
  EXPECT_NE(run.listener.messages.find(
                "step-000000010 stands, to go on from; the run goes on, and "
                "tries again when it saves next"),
            std::string::npos)
      << run.listener.messages;
  std::vector<std::string> names;
  for (const fs::path &path : listCheckpoints(folder))
    names.push_back(path.filename());
  EXPECT_EQ(names, (std::vector<std::string>{"step-000000010", "step-000000030",
                                             "step-000000040"}));
}

TEST_F(Train, aFailedSaveEndsTheRunWhereNothingWasEverSaved) {
  ToyRun run;
  run.listener.each = [](const StepReport &report) {
    if (report.progress.step == 5)
      limitFiles(64);
  };
  EXPECT_FALSE(run.run(folder));
  limitFiles(RLIM_INFINITY);
  EXPECT_NE(run.error.find("step 10 is not saved"), std::string::npos);
  EXPECT_NE(run.error.find("there is no older checkpoint"), std::string::npos);
}

TEST_F(Train, changedArithmeticIsListed) {
  ToyRun first;
  first.change = [](artifact::ArtifactT &table) {
    table.spec_json = R"({"train": {"micro_batch": 3}})";
  };
  ASSERT_TRUE(first.run(folder)) << first.error;
  ToyRun second;
  second.settings = {"train.duration=41 steps"};
  second.change = [](artifact::ArtifactT &table) {
    table.spec_json = R"({"train": {"micro_batch": 2}})";
  };
  ASSERT_TRUE(second.run(folder)) << second.error;
  EXPECT_NE(second.listener.messages.find(
                "changed since: train.micro_batch: 3 -> 2"),
            std::string::npos)
      << second.listener.messages;
}

TEST_F(Train, aCheckpointOfTheSameStepIsReplaced) {
  ToyRun run;
  ASSERT_TRUE(run.run(folder)) << run.error;
  auto device = Device::open("cpu", 1);
  auto program = Program::load(run.file, **device);
  ASSERT_TRUE(program);
  Manifest manifest;
  manifest.progress.step = 40;
  manifest.seed = 77;
  ASSERT_TRUE(saveCheckpoint(snapshot(**program), manifest, folder, 1));
  ASSERT_EQ(listCheckpoints(folder).size(), 1u);
  FoundCheckpoint found = findCheckpoint(folder);
  EXPECT_EQ(found.manifest.seed, 77);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "checkpoints"), {}),
            1);
}

TEST_F(Train, aDamagedCheckpointIsPassedOver) {
  std::vector<float> expected = reference();
  ToyRun first;
  ASSERT_TRUE(first.run(folder)) << first.error;
  std::vector<fs::path> all = listCheckpoints(folder);
  flipByte(all[2] / "model.safetensors", 200);
  flipByte(all[1] / "manifest.json", 30);
  ToyRun second;
  ASSERT_TRUE(second.run(folder)) << second.error;
  EXPECT_EQ(second.listener.steps[0].progress.step, 21);
  EXPECT_NE(second.listener.messages.find("passed over"), std::string::npos);
  EXPECT_EQ(second.weights, expected);
}

TEST_F(Train, noWholeCheckpointIsAnError) {
  ToyRun first;
  ASSERT_TRUE(first.run(folder)) << first.error;
  for (const fs::path &path : listCheckpoints(folder))
    fs::resize_file(path / "state.m.safetensors", 20);
  ToyRun second;
  EXPECT_FALSE(second.run(folder));
  EXPECT_NE(second.error.find("--fresh"), std::string::npos);
}

TEST_F(Train, anotherModelsFolderIsRefusedAndFreshPutsItAside) {
  ToyRun first;
  ASSERT_TRUE(first.run(folder)) << first.error;
  std::ofstream(folder / "run.json") << R"({"structure_hash": "other"})";
  ToyRun second;
  EXPECT_FALSE(second.run(folder));
  EXPECT_NE(second.error.find("another model"), std::string::npos);
  EXPECT_NE(second.error.find("--fresh"), std::string::npos);
  ToyRun third;
  third.fresh = true;
  ASSERT_TRUE(third.run(folder)) << third.error;
  EXPECT_EQ(third.listener.steps[0].progress.step, 1);
  EXPECT_TRUE(fs::exists(folder / "checkpoints.before-1"));
}

TEST_F(Train, changedScalarsAreListed) {
  ToyRun first;
  ASSERT_TRUE(first.run(folder)) << first.error;
  ToyRun second;
  second.settings = {"train.optimizer.lr=0.25", "train.duration=50 steps"};
  ASSERT_TRUE(second.run(folder)) << second.error;
  EXPECT_EQ(second.listener.steps.size(), 10u);
  EXPECT_DOUBLE_EQ(second.listener.steps[0].lr, 0.25);
  EXPECT_NE(second.listener.messages.find("train.optimizer.lr: 0.5 -> 0.25"),
            std::string::npos);
}

TEST_F(Train, aRefusedUpdateChangesNothingAndEndsTheRunAtLast) {
  ToyRun run;
  run.settings = {"train.optimizer.lr=1e30"};
  EXPECT_FALSE(run.run(folder));
  const auto &steps = run.listener.steps;
  ASSERT_EQ(steps.size(), 51u); // one taken, then 50 refused
  EXPECT_FALSE(steps[1].ok);
  EXPECT_EQ(steps[50].progress.step, 1);
  EXPECT_EQ(steps[50].progress.attempt, 51);
  EXPECT_NE(run.error.find("refused 50 updates"), std::string::npos);
}

TEST_F(Train, durationsInOtherUnits) {
  ToyRun epochs;
  epochs.settings = {"train.duration=2 epochs"};
  ASSERT_TRUE(epochs.run(folder)) << epochs.error;
  EXPECT_EQ(epochs.listener.steps.size(), 20u);
  fs::remove_all(folder);
  ToyRun tokens;
  tokens.settings = {"train.duration=0.1k tokens"};
  ASSERT_TRUE(tokens.run(folder)) << tokens.error;
  EXPECT_EQ(tokens.listener.steps.size(), 5u); // 20 or 21 tokens each
}

TEST_F(Train, exportedWeightsStartAnotherRun) {
  ToyRun first;
  ASSERT_TRUE(first.run(folder)) << first.error;
  EXPECT_TRUE(fs::exists(folder / "export/config.json"));
  ToyRun second;
  artifact::ArtifactT table = toy::program();
  toy::addHost(table, "model.init.from",
               "\"" + (folder / "export").string() + "\"");
  auto options = readOptions(table);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->initFrom, (folder / "export").string());
  auto device = Device::open("cpu", 1);
  fs::path path = folder / "toy.ltca";
  ASSERT_TRUE(writeArtifact(table, path));
  auto file = ArtifactFile::open(path);
  ASSERT_TRUE(file);
  auto program = Program::load(*file, **device);
  ASSERT_TRUE(program);
  ASSERT_TRUE(loadModelFolder(**program, options->initFrom));
  std::vector<float> weights(48);
  ASSERT_TRUE((*program)->read(0, weights.data(), 48 * 4));
  EXPECT_EQ(weights, first.weights);
  std::vector<int32_t> made;
  GenerateOptions sampling;
  sampling.sample.temperature = 0;
  sampling.tokens = 6;
  ASSERT_TRUE(generate(**program, {34}, sampling, [&](int32_t token) {
    made.push_back(token);
    return true;
  }));
  EXPECT_EQ(made, (std::vector<int32_t>{35, 36, 0, 1, 2, 3}));
}

TEST(Settings, structureAndUnknownKeysAreRefusedByName) {
  artifact::ArtifactT table = toy::program();
  auto structure = applySetting(table, "model.layers=5");
  ASSERT_FALSE(structure);
  EXPECT_NE(structure.error().message.find("model.layers is part of"),
            std::string::npos);
  auto typo = applySetting(table, "train.optimiser.lr=5");
  ASSERT_FALSE(typo);
  EXPECT_NE(typo.error().message.find("mean 'train.optimizer.lr'?"),
            std::string::npos);
  EXPECT_FALSE(applySetting(table, "train.optimizer.lr=fast"));
  EXPECT_FALSE(applySetting(table, "train.optimizer.lr"));
}

TEST(Settings, durations) {
  EXPECT_EQ(Duration::parse("1.5B tokens")->amount, 1.5e9);
  EXPECT_EQ(Duration::parse("20 min")->amount, 1200);
  EXPECT_EQ(Duration::parse("0")->amount, 0);
  EXPECT_FALSE(Duration::parse("300"));
  EXPECT_FALSE(Duration::parse("soon"));
  EXPECT_FALSE(Duration::parse("-3 steps"));
  EXPECT_FALSE(Duration::parse("3 stepps"));
}
