// SPDX-License-Identifier: Apache-2.0
// What a program saves for its backward, and what it computes again.
#pragma once
#include "runtime/artifact/File.h"
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ltc::tool {

/// Values of one line of a text that live from a forward to a backward.
struct Residual {
  std::string block; ///< whose forward makes them; accumulate: none's
  std::vector<int64_t> calls; ///< which of the block's, ascending
  std::string type, line;     ///< "f32[8,128,256]"; file:line:column
  uint64_t bytes = 0;         ///< of one
};
/// In the order in which a step makes them.
std::vector<Residual> residualsOf(const artifact::ArtifactT &table);

/// The budget and which calls compute again; nothing without a budget.
void printRecompute(const artifact::ArtifactT &table);
void printResiduals(const artifact::ArtifactT &table);
nlohmann::ordered_json recomputeJson(const artifact::ArtifactT &table);
nlohmann::ordered_json residualsJson(const artifact::ArtifactT &table);

} // namespace ltc::tool
