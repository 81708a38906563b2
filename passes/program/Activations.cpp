// SPDX-License-Identifier: Apache-2.0
#include "passes/program/Activations.h"
#include "llvm/ADT/STLExtras.h"

namespace ltc {

Activations planActivations(const FlatPhase &flat) {
  std::vector<Lifetime> lives(flat.storages.size());
  std::vector<bool> used(flat.storages.size(), false);
  for (auto [n, command] : llvm::enumerate(flat.commands))
    for (Place place : command.places) {
      int64_t at = flat.resolve(place).storage;
      if (!used[at])
        lives[at] = {flat.storages[at].bytes, int64_t(n), int64_t(n)};
      used[at] = true;
      lives[at].last = int64_t(n);
    }
  Activations result;
  for (size_t i = 0; i < lives.size(); ++i)
    if (used[i] && flat.storages[i].buffer < 0) {
      result.lives.push_back(lives[i]);
      result.storages.push_back(i);
    }
  result.plan = planMemory(result.lives);
  return result;
}

} // namespace ltc
