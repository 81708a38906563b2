// SPDX-License-Identifier: Apache-2.0
#include "tools/compiler/Targets.h"

namespace ltc {

std::unique_ptr<Target> createTarget(const std::string &name,
                                     std::string &problem) {
  auto [kind, chip] = llvm::StringRef(name).split(':');
  if (name == "cpu")
    return createCpuTarget();
  if (kind == "cuda" && !chip.empty())
    return createCudaTarget(chip.str(), problem);
  if (kind == "hip" && !chip.empty())
    return createHipTarget(chip.str(), problem);
  problem = "there is no target '" + name +
            "'; there are cpu, cuda:CHIP (cuda:sm_90) and hip:CHIP "
            "(hip:gfx942)";
  return nullptr;
}

} // namespace ltc
