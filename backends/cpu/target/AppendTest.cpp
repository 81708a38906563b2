// SPDX-License-Identifier: Apache-2.0
// Appending to a cache beside the reference, in place and not.
#include "backends/cpu/target/KernelRunner.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

std::string append(std::vector<int64_t> cache, int64_t dim, int64_t added,
                   const std::string &element, bool inPlace) {
  auto tensor = [&](std::vector<int64_t> sizes) {
    std::string text = "tensor<";
    for (int64_t size : sizes)
      text += std::to_string(size) + "x";
    return text + element + ">";
  };
  std::string whole = tensor(cache);
  cache[dim] = added;
  std::string rows = tensor(cache), types = whole + ", " + rows;
  return "ltc.kernel @append (" + types + ", tensor<i32>) -> " + whole +
         " inplace [" + (inPlace ? "0" : "-1") + "] {\n^bb0(%c: " + whole +
         ", %r: " + rows + ", %p: tensor<i32>):\n  %y = ltc.append %c, %r at "
         "%p along " + std::to_string(dim) + " : " + types +
         ", tensor<i32>\n  ltc.yield %y : " + whole + "\n}";
}

TEST(Append, agreesWithTheReferenceOnRaggedShapes) {
  KernelRunner runner;
  std::mt19937 random(1);
  auto pick = [&](int64_t most) { return int64_t(1 + random() % most); };
  const char *elements[] = {"f32", "bf16", "i32"};
  for (int i = 0; i < 30; ++i) {
    std::vector<int64_t> cache;
    for (int64_t rank = pick(4); rank > 0; --rank)
      cache.push_back(pick(20));
    int64_t dim = int64_t(random() % cache.size()), added = pick(cache[dim]);
    std::string text = append(cache, dim, added, elements[i % 3], i % 2);
    auto inputs = runner.randomInputs(text, i);
    // Also behind the last place, and before the first.
    inputs[2].data[0] = double(random() % uint64_t(cache[dim] + 3)) - 1;
    runner.checkOn(text, inputs, 0);
  }
}

} // namespace
