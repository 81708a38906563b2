// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Generate.h"
#include "runtime/train/Weights.h"
#include <algorithm>
#include <chrono>

namespace ltc {
using namespace artifact;

namespace {

/// The logits after a text that grows.
class Context {
public:
  Context(Program &program, bool caches)
      : program(program), known(*program.table().wellknown), caches(caches),
        length(program.phase("predict") ? program.phase("predict")->length
                                        : program.table().length) {}

  Result<void> next(std::span<const int32_t> text, std::span<float> logits) {
    LTC_TRY(caches ? decode(text) : predict(text));
    return program.read(known.predict_logits, logits.data(),
                        logits.size_bytes());
  }
  int64_t moves = 0;

private:
  Result<void> predict(std::span<const int32_t> text) {
    size_t used = std::min(text.size(), length);
    LTC_TRY(feed("predict", text.last(used), 0));
    LTC_TRY(program.set<int32_t>(known.predict_position, int32_t(used) - 1));
    return program.runPhase("predict");
  }

  /// Whole chunks go through prefill, what is left and the last token, whose
  /// logits are wanted, one by one.
  Result<void> decode(std::span<const int32_t> text) {
    if (text.size() - first > length) {
      first = text.size() - std::max<size_t>(1, length / 2);
      done = 0;
      ++moves;
    }
    std::span<const int32_t> window = text.subspan(first);
    if (done == 0)
      LTC_TRY(begin());
    const PhaseT *chunks = program.phase("prefill");
    size_t chunk = chunks ? size_t(chunks->length) : 0;
    while (chunk && done + chunk < window.size())
      LTC_TRY(step("prefill", window, chunk));
    while (done < window.size())
      LTC_TRY(step("decode", window, 1));
    return {};
  }

  Result<void> begin() {
    LTC_TRY(program.runPhase("clear_caches"));
    if (program.phase("prepare"))
      return program.runPhase("prepare");
    return {};
  }

  Result<void> step(const char *phase, std::span<const int32_t> window,
                    size_t count) {
    LTC_TRY(feed(phase, window.subspan(done, count), done));
    LTC_TRY(program.set<int32_t>(known.past, int32_t(done)));
    done += count;
    LTC_TRY(program.set<int32_t>(known.predict_position, int32_t(done) - 1));
    return program.runPhase(phase);
  }

  Result<void> feed(const char *phase, std::span<const int32_t> tokens,
                    size_t position) {
    for (const auto &input : program.phase(phase)->inputs)
      LTC_TRY(feedInput(*input, tokens, position));
    return {};
  }

  /// One input for `tokens`, the first of which stands at `position`.
  Result<void> feedInput(const InputT &input, std::span<const int32_t> tokens,
                         size_t position) {
    const BufferT &buffer = *program.table().buffers[input.buffer];
    size_t count = buffer.bytes / 4;
    if (tokens.size() > count)
      return fail("input '" + input.name + "' is too short to generate");
    if (buffer.dtype == DType::f32) {
      std::vector<float> ones(count, 0.0f);
      std::fill_n(ones.begin(), tokens.size(), 1.0f);
      return program.write(input.buffer, ones.data(), buffer.bytes);
    }
    std::vector<int32_t> values(count, 0); // document 0; tokens to come: 0
    if (input.kind == "token" || input.name == "tokens")
      std::copy(tokens.begin(), tokens.end(), values.begin());
    if (input.kind == "position" || input.name == "position")
      for (size_t i = 0; i < count; ++i)
        values[i] = int32_t(position + i);
    return program.write(input.buffer, values.data(), buffer.bytes);
  }

  Program &program;
  const WellknownT &known;
  bool caches;
  size_t length;
  size_t first = 0; ///< of the text: where the context begins
  size_t done = 0;  ///< tokens of the context that the caches hold
};

Result<void> sample(Context &context, std::vector<int32_t> text, int64_t vocab,
                    const GenerateOptions &options, GenerateReport &report,
                    const std::function<bool(int32_t)> &onToken) {
  using Clock = std::chrono::steady_clock;
  std::vector<float> logits(vocab);
  for (; report.made < options.tokens; ++report.made) {
    auto before = Clock::now();
    LTC_TRY(context.next(text, logits));
    penaliseRepetition(logits, text, options.sample.repetition);
    int32_t token =
        sampleToken(logits, options.sample,
                    uniformAt(options.sample.seed, uint64_t(report.made)));
    double seconds =
        std::chrono::duration<double>(Clock::now() - before).count();
    (report.made ? report.seconds : report.firstSeconds) += seconds;
    text.push_back(token);
    if (!onToken(token)) {
      ++report.made;
      break;
    }
  }
  report.moves = context.moves;
  return {};
}

} // namespace

bool hasCaches(const Program &program) {
  return program.phase("decode") && program.table().wellknown->past >= 0;
}

Result<GenerateReport> generate(Program &program, std::vector<int32_t> text,
                                const GenerateOptions &options,
                                const std::function<bool(int32_t)> &onToken) {
  const ArtifactT &table = program.table();
  if (!program.phase("predict") || !table.wellknown ||
      table.wellknown->predict_logits < 0 ||
      table.wellknown->predict_position < 0)
    return fail("the program cannot predict; compile a language model");
  if (text.empty())
    return fail("the prompt is empty; give at least one token");
  for (int32_t token : text)
    if (token < 0 || token >= table.vocab)
      return fail("the prompt has token " + std::to_string(token) +
                  "; the model knows 0 to " + std::to_string(table.vocab - 1));
  GenerateReport report;
  report.promptTokens = int64_t(text.size());
  Context context(program, hasCaches(program) && !options.recompute);
  LTC_TRY(withEvaluationWeights(program, [&] {
    return sample(context, text, table.vocab, options, report, onToken);
  }));
  return report;
}

} // namespace ltc
