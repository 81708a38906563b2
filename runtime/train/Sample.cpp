// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/Sample.h"
#include <algorithm>
#include <cmath>

namespace ltc {

double uniformAt(uint64_t seed, uint64_t counter) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + counter; // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return double((x ^ x >> 31) >> 11) * 0x1p-53;
}

void penaliseRepetition(std::span<float> logits,
                        std::span<const int32_t> context, double penalty) {
  if (penalty == 1)
    return;
  std::vector<bool> seen(logits.size(), false);
  for (int32_t token : context) {
    if (token < 0 || size_t(token) >= logits.size() || seen[token])
      continue;
    seen[token] = true;
    float &logit = logits[token];
    logit = float(logit > 0 ? logit / penalty : logit * penalty);
  }
}

namespace {

/// Tokens from the most probable on, found as they are asked for: most draws
/// want the first few of a large vocabulary.
class Ranking {
public:
  explicit Ranking(std::span<const float> logits)
      : logits(logits), heap(logits.size()) {
    for (size_t i = 0; i < heap.size(); ++i)
      heap[i] = int32_t(i);
    std::make_heap(heap.begin(), heap.end(), Less{logits});
  }
  int32_t at(size_t rank) {
    while (found.size() <= rank) {
      std::pop_heap(heap.begin(), heap.end(), Less{logits});
      found.push_back(heap.back());
      heap.pop_back();
    }
    return found[rank];
  }

private:
  struct Less {
    std::span<const float> logits;
    bool operator()(int32_t a, int32_t b) const {
      return logits[a] != logits[b] ? logits[a] < logits[b] : a > b;
    }
  };
  std::span<const float> logits;
  std::vector<int32_t> heap, found;
};

} // namespace

int32_t sampleToken(std::span<const float> logits, const SampleOptions &options,
                    double uniform) {
  if (options.temperature <= 0)
    return int32_t(std::max_element(logits.begin(), logits.end()) -
                   logits.begin());
  Ranking ranking(logits);
  float most = logits[ranking.at(0)];
  auto weight = [&](int32_t token) {
    return std::exp((logits[token] - most) / options.temperature);
  };
  size_t kept = logits.size();
  if (options.topK > 0)
    kept = std::min<size_t>(options.topK, kept);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) // all: in any order
    sum += weight(kept < logits.size() ? ranking.at(i) : int32_t(i));
  if (options.topP < 1) {
    double enough = options.topP * sum, nucleus = 0;
    size_t count = 0;
    while (count < kept && nucleus < enough)
      nucleus += weight(ranking.at(count++));
    kept = count;
    sum = nucleus;
  }
  double target = uniform * sum;
  for (size_t i = 0; i + 1 < kept; ++i)
    if ((target -= weight(ranking.at(i))) < 0)
      return ranking.at(i);
  return ranking.at(kept ? kept - 1 : 0);
}

} // namespace ltc
