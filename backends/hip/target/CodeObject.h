// SPDX-License-Identifier: Apache-2.0
// What a code object's notes say of its kernels.
#pragma once
#include "backends/Backend.h"

namespace ltc::hip {

std::vector<KernelUse> readUses(llvm::StringRef codeObject);

} // namespace ltc::hip
