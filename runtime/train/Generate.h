// SPDX-License-Identifier: Apache-2.0
// Going on from a text with a program's weights, token by token.
#pragma once
#include "runtime/device/Program.h"
#include "runtime/train/Sample.h"
#include <functional>

namespace ltc {

struct GenerateOptions {
  SampleOptions sample;
  int64_t tokens = 256;   ///< how many to make
  bool recompute = false; ///< the window for each token, though caches exist
};

struct GenerateReport {
  int64_t promptTokens = 0, made = 0;
  double firstSeconds = 0; ///< until the logits after the prompt
  double seconds = 0;      ///< of all further ones
  int64_t moves = 0;       ///< how often the context was full
};

/// True if the program decodes with caches; else each token takes a window.
bool hasCaches(const Program &program);

/// Continues `prompt`; gives every new token to `onToken` until that returns
/// false.
///
/// The context is the program's length at most. With caches, a full one goes on
/// from its last half, which is computed anew; without, the window is the last
/// `length` tokens and moves by one for each.
Result<GenerateReport> generate(Program &program, std::vector<int32_t> prompt,
                                const GenerateOptions &options,
                                const std::function<bool(int32_t)> &onToken);

} // namespace ltc
