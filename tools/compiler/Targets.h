// SPDX-License-Identifier: Apache-2.0
// The targets of this build, by the word in a spec's `target`.
#pragma once
#include "backends/Backend.h"

namespace ltc {

/// Of "cpu", "cuda:sm_90", "hip:gfx942"; null, and `problem`.
std::unique_ptr<Target> createTarget(const std::string &name,
                                     std::string &problem);

} // namespace ltc
