// SPDX-License-Identifier: Apache-2.0
// A module of stage "kernels" becomes an artifact: flat commands over buffers
// with fixed offsets, and native kernels.
#pragma once
#include "backends/Backend.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/artifact/Artifact_generated.h"
#include <memory>
#include <string>

namespace ltc {

/// Functions of a module that become phases, where they are there.
inline constexpr const char *kPhases[] = {
    "init",    "accumulate", "apply",   "evaluate",        "predict",
    "prepare", "prefill",    "decode",  "enter_evaluation"};
/// Whether a phase reads the weights that evaluation uses.
bool readsEvaluationWeights(mlir::func::FuncOp phase);

mlir::FailureOr<std::unique_ptr<artifact::ArtifactT>>
buildProgram(mlir::ModuleOp module, Target &target, mlir::TimingScope &timing);

/// The kernels' native code as text, for --emit=llvm and asm, and the program
/// without that code.
struct Listed {
  std::string text;
  std::unique_ptr<artifact::ArtifactT> program;
};
mlir::FailureOr<Listed> listKernels(mlir::ModuleOp module, Target &target,
                                    Target::Listing listing);

/// The program as text, for --emit=program.
std::string printProgram(const artifact::ArtifactT &artifact);

} // namespace ltc
