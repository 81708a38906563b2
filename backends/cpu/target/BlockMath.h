// SPDX-License-Identifier: Apache-2.0
// Products of small blocks that lie in caches, and the exponential of lanes:
// what the attention kernels are made of. All f32.
#pragma once
#include "backends/emit/Emitter.h"
#include "mlir/IR/PatternMatch.h"

namespace ltc::cpu {

/// Hands out 64-byte aligned pieces of a kernel's scratch; sizes are static.
class Scratch {
public:
  Scratch(Emitter &emit, mlir::Value base) : emit(emit), base(base) {}
  /// Room for `elements` of 4 bytes.
  mlir::Value take(int64_t elements);
  int64_t bytes() const { return used; }

private:
  Emitter &emit;
  mlir::Value base;
  int64_t used = 0;
};

/// out[i, n] = sum over e < depth of a[i, e] * b[e, n], i < rows, n in
/// `vectors` whole vectors; one running sum in ascending order of e.
/// a[i, e] is at a + i * aRow + e * aStep, b[e, n] at b + e * bRow + n.
struct BlockProduct {
  int64_t rows, vectors;
  mlir::Value a;
  int64_t aRow, aStep;
  mlir::Value lastRow; ///< i64: a's rows beyond read this one; null: none are
  mlir::Value b;
  int64_t bRow;
  mlir::Value depth; ///< i64
};
/// Called for each row (i64) and vector of the product, rows ascending.
using FinishLanes =
    std::function<void(mlir::Value row, int64_t vector, mlir::Value sum)>;
void emitProduct(Emitter &emit, const BlockProduct &product,
                 const FinishLanes &finish);

/// exp and 2^x of 16 lanes, within 2 ulp; NaN stays NaN.
mlir::Value emitExp(Emitter &emit, mlir::Value x);
mlir::Value emitExp2(Emitter &emit, mlir::Value x);
/// f32 exp and exp2 of 16 lanes or of one number as above: AVX-512 scales by
/// 2^n in one instruction. Before those of MathPatterns.h, with their bits.
void populateExpPatterns(mlir::RewritePatternSet &patterns);

/// 16 elements (those of `mask`; null: all) of f32 or bf16, as f32.
mlir::Value loadWide(Emitter &emit, mlir::Type element, mlir::Value pointer,
                     mlir::Value mask);
/// f32 lanes as lanes of `element`, rounded once.
mlir::Value narrowTo(Emitter &emit, mlir::Type element, mlir::Value lanes);

mlir::Value lanesOf(Emitter &emit, float value);
mlir::Value fma(Emitter &emit, mlir::Value a, mlir::Value b, mlir::Value c);

/// The scalar op `op` on `operands`: on lanes if one of them is.
mlir::Value inlineScalar(Emitter &emit, mlir::Operation *op,
                         llvm::ArrayRef<mlir::Value> operands);

} // namespace ltc::cpu
