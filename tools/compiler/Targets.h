// SPDX-License-Identifier: Apache-2.0
// The targets of this build, by the word in a spec's `target`.
#pragma once
#include "backends/Backend.h"
#include "mlir/Pass/Pass.h"

namespace ltc {

/// Of "cpu", "cuda:sm_90", "hip:gfx942"; null, and `problem`.
std::unique_ptr<Target> createTarget(const std::string &name,
                                     std::string &problem);

/// Compiles each ltc.kernel of a module to machine code, which it drops: what a
/// crash there is replayed with.
std::unique_ptr<mlir::Pass> createCompileKernelsPass(const std::string &target);
void registerCompileKernelsPass();

} // namespace ltc
