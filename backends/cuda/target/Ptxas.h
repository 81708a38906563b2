// SPDX-License-Identifier: Apache-2.0
// NVIDIA's assembler, a program of the CUDA toolkit.
#pragma once
#include "backends/Backend.h"
#include <optional>

namespace ltc::cuda {

/// $CUDA_PATH/bin/ptxas; without CUDA_PATH that in $PATH or in
/// /usr/local/cuda/bin. "", and `problem`: there is none.
std::string findPtxas(std::string &problem);

/// The cubin of `ptx`, and what ptxas says of each function; nothing, and
/// `problem`, where there is no ptxas or it refuses.
std::optional<std::vector<char>> runPtxas(const std::string &ptx,
                                          const std::string &chip,
                                          std::vector<KernelUse> &uses,
                                          std::string &problem);

/// Reads the lines of `ptxas -v`.
std::vector<KernelUse> parsePtxas(llvm::StringRef said);

} // namespace ltc::cuda
