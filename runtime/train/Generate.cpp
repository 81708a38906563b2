// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Generate.h"
#include "runtime/train/Weights.h"
#include <algorithm>
#include <cmath>

namespace ltc {
using namespace artifact;

/// Uniform in [0, 1), a function of the seed and the token's number only.
static double uniformAt(uint64_t seed, uint64_t counter) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + counter; // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return double((x ^ x >> 31) >> 11) * 0x1p-53;
}

int32_t sampleToken(std::span<const float> logits, const SampleOptions &options,
                    double uniform) {
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = int32_t(i);
  // Ties by index, so that the draw is a function of the logits.
  auto more = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::sort(order.begin(), order.end(), more);
  if (options.temperature <= 0)
    return order[0];
  size_t kept = options.topK > 0
                    ? std::min<size_t>(options.topK, order.size())
                    : order.size();
  std::vector<double> weights(kept);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i)
    sum += weights[i] = std::exp((logits[order[i]] - logits[order[0]]) /
                                 options.temperature);
  double target = uniform * sum;
  for (size_t i = 0; i + 1 < kept; ++i)
    if ((target -= weights[i]) < 0)
      return order[i];
  return order[kept - 1];
}

/// Fills one input of the predict phase for a window of `used` tokens.
static Result<void> feedWindow(Program &program, const InputT &input,
                               std::span<const int32_t> window) {
  const BufferT &buffer = *program.table().buffers[input.buffer];
  size_t length = buffer.bytes / 4;
  if (window.size() > length)
    return fail("input '" + input.name + "' of predict is too short");
  if (buffer.dtype == DType::f32) {
    std::vector<float> ones(length, 0.0f);
    std::fill_n(ones.begin(), window.size(), 1.0f);
    return program.write(input.buffer, ones.data(), buffer.bytes);
  }
  std::vector<int32_t> values(length, 0); // document 0; tokens to come: 0
  if (input.kind == "token" || input.name == "tokens")
    std::copy(window.begin(), window.end(), values.begin());
  if (input.kind == "position" || input.name == "position")
    for (size_t i = 0; i < length; ++i)
      values[i] = int32_t(i);
  return program.write(input.buffer, values.data(), buffer.bytes);
}

/// Token by token; the window is computed anew for each.
static Result<void> sample(Program &program, const PhaseT &phase,
                           std::vector<int32_t> text,
                           const SampleOptions &options,
                           const std::function<bool(int32_t)> &onToken) {
  const ArtifactT &table = program.table();
  std::vector<float> logits(table.vocab);
  for (int64_t made = 0; made < options.tokens; ++made) {
    size_t used = std::min<size_t>(text.size(), phase.length);
    std::span<const int32_t> window(text.data() + text.size() - used, used);
    for (const auto &input : phase.inputs)
      LTC_TRY(feedWindow(program, *input, window));
    LTC_TRY(program.set<int32_t>(table.wellknown->predict_position,
                                 int32_t(used) - 1));
    LTC_TRY(program.runPhase("predict"));
    LTC_TRY(program.read(table.wellknown->predict_logits, logits.data(),
                         logits.size() * sizeof(float)));
    int32_t token = sampleToken(logits, options,
                                uniformAt(options.seed, uint64_t(made)));
    text.push_back(token);
    if (!onToken(token))
      return {};
  }
  return {};
}

Result<void> generate(Program &program, std::vector<int32_t> text,
                      const SampleOptions &options,
                      const std::function<bool(int32_t)> &onToken) {
  const ArtifactT &table = program.table();
  const PhaseT *phase = program.phase("predict");
  if (!phase || !table.wellknown || table.wellknown->predict_logits < 0 ||
      table.wellknown->predict_position < 0)
    return fail("the program cannot predict; compile a language model");
  if (text.empty())
    return fail("the prompt is empty; give at least one token");
  for (int32_t token : text)
    if (token < 0 || token >= table.vocab)
      return fail("the prompt has token " + std::to_string(token) +
                  "; the model knows 0 to " + std::to_string(table.vocab - 1));
  return withEvaluationWeights(program, [&] {
    return sample(program, *phase, text, options, onToken);
  });
}

} // namespace ltc
