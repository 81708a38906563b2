// SPDX-License-Identifier: Apache-2.0
// Sampling from a trained model by the `predict` phase: the window is computed
// anew for each token (no cache yet).
#pragma once
#include "runtime/device/Program.h"
#include <functional>

namespace ltc {

struct SampleOptions {
  double temperature = 1; ///< 0: always the most probable token
  int64_t topK = 0;       ///< 0: all
  uint64_t seed = 1;
  int64_t tokens = 256; ///< how many to make
};

/// The index drawn from logits with a uniform number in [0, 1).
int32_t sampleToken(std::span<const float> logits, const SampleOptions &options,
                    double uniform);

/// Continues `prompt`; gives every new token to `onToken` until that returns
/// false. The last `length` tokens are the window.
Result<void> generate(Program &program, std::vector<int32_t> prompt,
                      const SampleOptions &options,
                      const std::function<bool(int32_t)> &onToken);

} // namespace ltc
