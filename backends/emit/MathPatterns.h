// SPDX-License-Identifier: Apache-2.0
// Elementary functions and random numbers as arithmetic: no libm, the same bits
// on every host.
#pragma once
#include "mlir/IR/PatternMatch.h"

namespace ltc {

/// f64 exp, exp2, log, log2, powf, sin, cos, tanh; f32 exp, exp2, powf, sin,
/// cos: scalars and vectors, within 2 ulp. To be joined with MLIR's
/// polynomials, which have the rest of f32. And random numbers.
void populateMathPatterns(mlir::RewritePatternSet &patterns);
/// ltc.random.
void populateRandomPatterns(mlir::RewritePatternSet &patterns);

} // namespace ltc
