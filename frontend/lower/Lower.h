// SPDX-License-Identifier: Apache-2.0
// A checked spec to what the compiler takes, and to what only the spec knows
// of the artifact.
#pragma once
#include "frontend/graph/Request.h"
#include "frontend/spec/Spec.h"
#include "runtime/artifact/Artifact_generated.h"

namespace ltc {

/// Collects the texts (library and paths) and their settings. Errors, e.g. a
/// missing file, go to `problems`.
graph::Request makeRequest(const spec::Spec &spec,
                           std::vector<spec::Problem> &problems);

/// The text of the request's module of stage "model" without what may change
/// between two runs that go on from each other: values of scalars, lines, and
/// how it is computed (micro batch, precision). "" after a diagnostic.
std::string structureText(graph::Request request, mlir::MLIRContext &context);

/// Fills spec_json, host keys and hashes.
void describe(const spec::Spec &spec, const std::string &structure,
              artifact::ArtifactT &artifact);

} // namespace ltc
