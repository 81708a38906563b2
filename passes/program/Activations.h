// SPDX-License-Identifier: Apache-2.0
// Which values of a flat phase live when, and where the arena holds them.
#pragma once
#include "passes/memory/Plan.h"
#include "passes/program/Flatten.h"

namespace ltc {

struct Activations {
  std::vector<size_t> storages; ///< of the phase: those without a buffer
  std::vector<Lifetime> lives;  ///< of each, in commands
  MemoryPlan plan;              ///< offset of each
};
Activations planActivations(const FlatPhase &flat);

} // namespace ltc
