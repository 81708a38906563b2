// SPDX-License-Identifier: Apache-2.0
// Parameters that lie otherwise in weight files (`import` in a text): numbers
// are moved between them and the files' tensors, both ways exactly.
#pragma once
#include "runtime/artifact/Artifact_generated.h"
#include "runtime/formats/Safetensors.h"

namespace ltc {

/// Puts what a file's tensor gives into the parameter's elements.
void putIn(const artifact::FileTensorT &file, std::span<const float> from,
           std::span<float> parameter);

/// The tensors to write: parameters that lie otherwise in files are replaced by
/// the files' tensors, each made when it is first asked for.
std::vector<TensorSource> asInFiles(const artifact::ArtifactT &table,
                                    std::vector<TensorSource> parameters);

} // namespace ltc
