// SPDX-License-Identifier: Apache-2.0
// ltc batches: the batches that a run would see, for comparing elsewhere.
#include "runtime/formats/Safetensors.h"
#include "tools/ltc/Commands.h"
#include "tools/ltc/Data.h"
#include <cstdio>
#include <deque>

namespace ltc::tool {

struct BatchesJob {
  std::string artifact, output;
  int count = 1;
};

static void dump(const BatchesJob &job) {
  ArtifactFile file = orLeave(ArtifactFile::open(artifactOf(job.artifact)));
  RunOptions options = orLeave(readOptions(file.program));
  if (options.batch == 0)
    options.batch = file.program.micro_batch;
  auto stream = orLeave(openTraining(trainingData(file.program, options)));
  std::deque<GlobalBatch> kept;
  std::vector<TensorData> tensors;
  for (int i = 0; i < job.count; ++i) {
    kept.push_back(*orLeave(stream->next()));
    const GlobalBatch &batch = kept.back();
    for (const Column &column : batch.columns) {
      TensorData tensor;
      tensor.name = std::to_string(i) + "." + column.name;
      tensor.dtype = column.ints.empty() ? "F32" : "I32";
      tensor.shape = {batch.rows, batch.length};
      tensor.data = column.ints.empty()
                         ? std::span<const char>(
                               reinterpret_cast<const char *>(
                                   column.floats.data()),
                               column.floats.size() * sizeof(float))
                         : std::span<const char>(
                               reinterpret_cast<const char *>(
                                   column.ints.data()),
                               column.ints.size() * sizeof(int32_t));
      tensors.push_back(tensor);
    }
  }
  orLeave(writeSafetensors(job.output, tensors));
  std::printf("wrote %d batches to %s\n", job.count, job.output.c_str());
}

void addBatches(CLI::App &app) {
  auto job = std::make_shared<BatchesJob>();
  CLI::App *command = app.add_subcommand(
      "batches", "Writes the first batches of a run, to train elsewhere on "
                 "the same data.");
  command->footer(
      "  ltc batches model.ltca -n 100 -o batches.safetensors\n"
      "\n"
      "The file has tensors 0.tokens, 0.labels, 0.mask ... of the first step,\n"
      "1.tokens ... of the second: rows of a global batch x tokens of a row.\n"
      "\n"
      "Next: ltc run FILE trains on exactly these");
  command->add_option("artifact", job->artifact, "an artifact or a run folder")
      ->required();
  command->add_option("-n,--count", job->count, "how many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("-o,--output", job->output, "the file")->required();
  command->callback([job] { dump(*job); });
}

} // namespace ltc::tool
