// SPDX-License-Identifier: Apache-2.0
// The next token from logits: a function of them, the options and one uniform
// number.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ltc {

struct SampleOptions {
  double temperature = 1; ///< 0: always the most probable token
  int64_t topK = 0;       ///< 0: all
  double topP = 1;        ///< the fewest tokens that are together so probable
  double repetition = 1;  ///< over 1: tokens of the context are less probable
  uint64_t seed = 1;
};

/// The index drawn from logits with a uniform number in [0, 1): of the topK
/// most probable, then of those that topP leaves. Ties go to the lower index.
int32_t sampleToken(std::span<const float> logits, const SampleOptions &options,
                    double uniform);

/// Logits of the context's tokens, each once, divided by `penalty` where
/// positive and multiplied where negative (Keskar et al. 2019, "CTRL").
void penaliseRepetition(std::span<float> logits,
                        std::span<const int32_t> context, double penalty);

/// Uniform in [0, 1), a function of the seed and the token's number only.
double uniformAt(uint64_t seed, uint64_t counter);

} // namespace ltc
