// SPDX-License-Identifier: Apache-2.0
// The data section of a resolved spec as streams' options.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/data/Streams.h"
#include "runtime/train/Options.h"

namespace ltc::tool {

DataOptions trainingData(const artifact::ArtifactT &table,
                         const RunOptions &options);
/// By name, rows of the program's evaluation batch.
std::vector<std::pair<std::string, DataOptions>>
evaluationData(const artifact::ArtifactT &table);

/// Bytes of each of the optimizer's states ("m 2.0 MiB, v 2.0 MiB"); what
/// parameters share counts once.
std::string statesText(const artifact::ArtifactT &table);
/// Parameters, FLOPs, micro batch, for a person.
void printSummary(const artifact::ArtifactT &table);

} // namespace ltc::tool
