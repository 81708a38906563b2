// SPDX-License-Identifier: Apache-2.0
// Maps, row and column reductions, views: a target's code beside the reference.
#pragma once
#include "backends/emit/Cases.h"
#include <gtest/gtest.h>
#include <random>

namespace ltc {

template <typename Runner> class Pointwise : public testing::Test {};
TYPED_TEST_SUITE_P(Pointwise);

inline constexpr const char *kNorm = R"(
ltc.kernel @norm (tensor<$Bx$Txf32>, tensor<$Txf32>) -> tensor<$Bx$Txf32>
    inplace [-1] {
^bb0(%x: tensor<$Bx$Txf32>, %g: tensor<$Txf32>):
  %sq = ltc.map(%x) maps [affine_map<(b, t) -> (b, t)>] {
  ^bb0(%a: f32):
    %p = arith.mulf %a, %a : f32
    ltc.yield %p : f32
  } : (tensor<$Bx$Txf32>) -> tensor<$Bx$Txf32>
  %s = ltc.reduce sum %sq over [1] : tensor<$Bx$Txf32> -> tensor<$Bxf32>
  %y = ltc.map(%x, %s, %g) maps [affine_map<(b, t) -> (b, t)>,
      affine_map<(b, t) -> (b)>, affine_map<(b, t) -> (t)>] {
  ^bb0(%a: f32, %n: f32, %w: f32):
    %e = arith.constant 1.0e-5 : f32
    %m = arith.addf %n, %e : f32
    %r = math.sqrt %m : f32
    %q = arith.divf %a, %r : f32
    %z = arith.mulf %q, %w : f32
    ltc.yield %z : f32
  } : (tensor<$Bx$Txf32>, tensor<$Bxf32>, tensor<$Txf32>) -> tensor<$Bx$Txf32>
  ltc.yield %y : tensor<$Bx$Txf32>
})";

TYPED_TEST_P(Pointwise, normalisesRowsOfAnyLength) {
  TypeParam runner;
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i)
    runner.check(with(kNorm, {{'B', 1 + random() % 40}, {'T', 1 + random() % 300}}),
                 i);
}

inline constexpr const char *kSoftmax = R"(
ltc.kernel @softmax (tensor<$Bx3x$Txf32>) -> (tensor<$Bx3x$Txf32>, tensor<$Bx3xf32>)
    inplace [0, -1] {
^bb0(%x: tensor<$Bx3x$Txf32>):
  %m = ltc.reduce max %x over [2] : tensor<$Bx3x$Txf32> -> tensor<$Bx3xf32>
  %e = ltc.map(%x, %m) maps [affine_map<(b, h, t) -> (b, h, t)>,
      affine_map<(b, h, t) -> (b, h)>] {
  ^bb0(%a: f32, %n: f32):
    %d = arith.subf %a, %n : f32
    %p = math.exp %d : f32
    ltc.yield %p : f32
  } : (tensor<$Bx3x$Txf32>, tensor<$Bx3xf32>) -> tensor<$Bx3x$Txf32>
  %s = ltc.reduce sum %e over [2] : tensor<$Bx3x$Txf32> -> tensor<$Bx3xf32>
  %y = ltc.map(%e, %s) maps [affine_map<(b, h, t) -> (b, h, t)>,
      affine_map<(b, h, t) -> (b, h)>] {
  ^bb0(%a: f32, %n: f32):
    %d = arith.divf %a, %n : f32
    ltc.yield %d : f32
  } : (tensor<$Bx3x$Txf32>, tensor<$Bx3xf32>) -> tensor<$Bx3x$Txf32>
  %l = ltc.map(%m, %s) maps [affine_map<(b, h) -> (b, h)>,
      affine_map<(b, h) -> (b, h)>] {
  ^bb0(%a: f32, %n: f32):
    %d = math.log %n : f32
    %z = arith.addf %a, %d : f32
    ltc.yield %z : f32
  } : (tensor<$Bx3xf32>, tensor<$Bx3xf32>) -> tensor<$Bx3xf32>
  ltc.yield %y, %l : tensor<$Bx3x$Txf32>, tensor<$Bx3xf32>
})";

TYPED_TEST_P(Pointwise, chainsRowReductionsInPlace) {
  TypeParam runner;
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i)
    runner.check(
        with(kSoftmax, {{'B', 1 + random() % 9}, {'T', 1 + random() % 200}}), i);
}

inline constexpr const char *kColumns = R"(
ltc.kernel @columns (tensor<$Bx$Txf32>, tensor<$Txf32>) -> (tensor<$Txf32>, tensor<f32>, tensor<$Bx$Txf32>)
    inplace [1, -1, -1] {
^bb0(%x: tensor<$Bx$Txf32>, %old: tensor<$Txf32>):
  %sq = ltc.map(%x) maps [affine_map<(b, t) -> (b, t)>] {
  ^bb0(%a: f32):
    %p = arith.mulf %a, %a : f32
    ltc.yield %p : f32
  } : (tensor<$Bx$Txf32>) -> tensor<$Bx$Txf32>
  %c = ltc.reduce sum %sq over [0] : tensor<$Bx$Txf32> -> tensor<$Txf32>
  %new = ltc.map(%old, %c) maps [affine_map<(t) -> (t)>, affine_map<(t) -> (t)>] {
  ^bb0(%a: f32, %b: f32):
    %p = arith.addf %a, %b : f32
    ltc.yield %p : f32
  } : (tensor<$Txf32>, tensor<$Txf32>) -> tensor<$Txf32>
  %all = ltc.reduce sum %sq over [0, 1] : tensor<$Bx$Txf32> -> tensor<f32>
  %root = ltc.map(%all, %all) maps [affine_map<() -> ()>, affine_map<() -> ()>] {
  ^bb0(%a: f32, %b: f32):
    %p = arith.addf %a, %b : f32
    ltc.yield %p : f32
  } : (tensor<f32>, tensor<f32>) -> tensor<f32>
  ltc.yield %new, %root, %sq : tensor<$Txf32>, tensor<f32>, tensor<$Bx$Txf32>
})";

TYPED_TEST_P(Pointwise, sumsOverRowsThroughPartials) {
  TypeParam runner;
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i)
    runner.check(
        with(kColumns, {{'B', 1 + random() % 700}, {'T', 1 + random() % 90}}), i);
}

inline constexpr const char *kFlat = R"(
ltc.kernel @flat (tensor<$Nxf32>, tensor<$Nxf32>, tensor<f64>) -> (tensor<$Nxf32>, tensor<f32>)
    inplace [0, -1] {
^bb0(%w: tensor<$Nxf32>, %g: tensor<$Nxf32>, %lr: tensor<f64>):
  %y = ltc.map(%w, %g, %lr) maps [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>,
      affine_map<(n) -> ()>] {
  ^bb0(%a: f32, %b: f32, %l: f64):
    %s = arith.truncf %l : f64 to f32
    %p = arith.mulf %b, %s : f32
    %q = arith.subf %a, %p : f32
    ltc.yield %q : f32
  } : (tensor<$Nxf32>, tensor<$Nxf32>, tensor<f64>) -> tensor<$Nxf32>
  %sq = ltc.map(%g) maps [affine_map<(n) -> (n)>] {
  ^bb0(%a: f32):
    %p = arith.mulf %a, %a : f32
    ltc.yield %p : f32
  } : (tensor<$Nxf32>) -> tensor<$Nxf32>
  %n = ltc.reduce sum %sq over [0] : tensor<$Nxf32> -> tensor<f32>
  ltc.yield %y, %n : tensor<$Nxf32>, tensor<f32>
})";

TYPED_TEST_P(Pointwise, runsFlatKernelsOverChunks) {
  TypeParam runner;
  std::mt19937 random(4);
  for (int64_t n : {1, 15, 16, 17, 100, 32768, 70001})
    runner.check(with(kFlat, {{'N', n}}), int(n), 3e-6);
  for (int i = 0; i < 20; ++i)
    runner.check(with(kFlat, {{'N', 1 + random() % 3000}}), i, 3e-6);
}

inline constexpr const char *kRotary = R"(
ltc.kernel @rotary (tensor<2x$Tx3x$Kxf32>, tensor<$Tx$Hxf32>) -> tensor<2x$Tx3x$Kxf32>
    inplace [-1] {
^bb0(%x: tensor<2x$Tx3x$Kxf32>, %angle: tensor<$Tx$Hxf32>):
  %lo = ltc.slice %x along 3 from 0 : tensor<2x$Tx3x$Kxf32> -> tensor<2x$Tx3x$Hxf32>
  %hi = ltc.slice %x along 3 from $H : tensor<2x$Tx3x$Kxf32> -> tensor<2x$Tx3x$Hxf32>
  %a = ltc.map(%lo, %hi, %angle) maps [affine_map<(b, t, h, k) -> (b, t, h, k)>,
      affine_map<(b, t, h, k) -> (b, t, h, k)>, affine_map<(b, t, h, k) -> (t, k)>] {
  ^bb0(%l: f32, %h: f32, %r: f32):
    %c = math.cos %r : f32
    %s = math.sin %r : f32
    %p = arith.mulf %l, %c : f32
    %q = arith.mulf %h, %s : f32
    %z = arith.subf %p, %q : f32
    ltc.yield %z : f32
  } : (tensor<2x$Tx3x$Hxf32>, tensor<2x$Tx3x$Hxf32>, tensor<$Tx$Hxf32>) -> tensor<2x$Tx3x$Hxf32>
  %y = ltc.join %a, %hi along 3 : tensor<2x$Tx3x$Hxf32>, tensor<2x$Tx3x$Hxf32> -> tensor<2x$Tx3x$Kxf32>
  ltc.yield %y : tensor<2x$Tx3x$Kxf32>
})";

TYPED_TEST_P(Pointwise, slicesAndJoinsWithoutCopies) {
  TypeParam runner;
  for (int64_t half : {1, 3, 8, 16, 20, 24, 32, 33, 40, 64})
    for (int64_t t : {1, 5})
      runner.check(with(kRotary, {{'T', t}, {'H', half}, {'K', 2 * half}}), t);
}

inline constexpr const char *kPermuted = R"(
ltc.kernel @permuted (tensor<$Ax$Bx$Cxf32>, tensor<$Cx$Axf32>, tensor<f32>) -> (tensor<$Cx$Ax$Bxf32>, tensor<$Cx$Axf32>)
    inplace [-1, -1] {
^bb0(%x: tensor<$Ax$Bx$Cxf32>, %y: tensor<$Cx$Axf32>, %s: tensor<f32>):
  %z = ltc.map(%x, %y, %s) maps [affine_map<(c, a, b) -> (a, b, c)>,
      affine_map<(c, a, b) -> (c, a)>, affine_map<(c, a, b) -> ()>] {
  ^bb0(%p: f32, %q: f32, %r: f32):
    %i = ltc.index 2 : i32
    %f = arith.sitofp %i : i32 to f32
    %u = arith.mulf %p, %q : f32
    %v = arith.mulf %f, %r : f32
    %w = arith.addf %u, %v : f32
    ltc.yield %w : f32
  } : (tensor<$Ax$Bx$Cxf32>, tensor<$Cx$Axf32>, tensor<f32>) -> tensor<$Cx$Ax$Bxf32>
  %t = ltc.map(%y) maps [affine_map<(c, a) -> (c, a)>] {
  ^bb0(%p: f32):
    %q = arith.negf %p : f32
    ltc.yield %q : f32
  } : (tensor<$Cx$Axf32>) -> tensor<$Cx$Axf32>
  ltc.yield %z, %t : tensor<$Cx$Ax$Bxf32>, tensor<$Cx$Axf32>
})";

inline constexpr const char *kPermutedSum = R"(
ltc.kernel @permuted (tensor<$Ax$Bx$Cxf32>) -> tensor<$Cx$Axf32>
    inplace [-1] {
^bb0(%x: tensor<$Ax$Bx$Cxf32>):
  %z = ltc.map(%x) maps [affine_map<(c, a, b) -> (a, b, c)>] {
  ^bb0(%p: f32):
    %q = arith.mulf %p, %p : f32
    ltc.yield %q : f32
  } : (tensor<$Ax$Bx$Cxf32>) -> tensor<$Cx$Ax$Bxf32>
  %s = ltc.reduce sum %z over [2] : tensor<$Cx$Ax$Bxf32> -> tensor<$Cx$Axf32>
  ltc.yield %s : tensor<$Cx$Axf32>
})";

TYPED_TEST_P(Pointwise, readsPermutedAndBroadcastOperands) {
  TypeParam runner;
  std::mt19937 random(5);
  for (int i = 0; i < 40; ++i)
    runner.check(with(i % 2 ? kPermuted : kPermutedSum,
                      {{'A', 1 + random() % 9},
                       {'B', 1 + random() % 50},
                       {'C', 1 + random() % 50}}),
                 i);
}

inline constexpr const char *kExtremes = R"(
ltc.kernel @extremes (tensor<$Bx$Cx$Txf32>) -> (tensor<$Bxf32>, tensor<$Bxf32>, tensor<$Bx$Cx$Txf32>)
    inplace [-1, -1, -1] {
^bb0(%x: tensor<$Bx$Cx$Txf32>):
  %low = ltc.reduce min %x over [1, 2] : tensor<$Bx$Cx$Txf32> -> tensor<$Bxf32>
  %high = ltc.reduce max %x over [1, 2] : tensor<$Bx$Cx$Txf32> -> tensor<$Bxf32>
  %y = ltc.map(%x, %low, %high) maps [affine_map<(b, c, t) -> (b, c, t)>,
      affine_map<(b, c, t) -> (b)>, affine_map<(b, c, t) -> (b)>] {
  ^bb0(%a: f32, %l: f32, %h: f32):
    %c = arith.cmpf oeq, %a, %h : f32
    %d = arith.subf %a, %l : f32
    %e = arith.select %c, %h, %d : f32
    ltc.yield %e : f32
  } : (tensor<$Bx$Cx$Txf32>, tensor<$Bxf32>, tensor<$Bxf32>) -> tensor<$Bx$Cx$Txf32>
  ltc.yield %low, %high, %y : tensor<$Bxf32>, tensor<$Bxf32>, tensor<$Bx$Cx$Txf32>
})";

TYPED_TEST_P(Pointwise, findsExtremesOfRows) {
  TypeParam runner;
  std::mt19937 random(6);
  for (int i = 0; i < 20; ++i)
    runner.check(with(kExtremes, {{'B', 1 + random() % 9},
                                  {'C', 1 + random() % 5},
                                  {'T', 1 + random() % 70}}),
                 i);
}

inline constexpr const char *kShift = R"(
ltc.kernel @shift (tensor<2x$Tx$Dxf32>, tensor<2x$Txi32>) -> tensor<2x$Tx$Dxf32>
    inplace [-1] {
^bb0(%x: tensor<2x$Tx$Dxf32>, %d: tensor<2x$Txi32>):
  %y = ltc.shift %x by $O along 1 within %d : tensor<2x$Tx$Dxf32>, tensor<2x$Txi32> -> tensor<2x$Tx$Dxf32>
  %z = ltc.shift %x by $P along 2 : tensor<2x$Tx$Dxf32> -> tensor<2x$Tx$Dxf32>
  %s = ltc.map(%y, %z) maps [affine_map<(b, t, d) -> (b, t, d)>,
      affine_map<(b, t, d) -> (b, t, d)>] {
  ^bb0(%p: f32, %q: f32):
    %r = arith.subf %p, %q : f32
    ltc.yield %r : f32
  } : (tensor<2x$Tx$Dxf32>, tensor<2x$Tx$Dxf32>) -> tensor<2x$Tx$Dxf32>
  ltc.yield %s : tensor<2x$Tx$Dxf32>
})";

TYPED_TEST_P(Pointwise, shiftsWithinSequencesAndDocuments) {
  TypeParam runner;
  std::mt19937 random(7);
  for (int i = 0; i < 24; ++i)
    runner.check(with(kShift, {{'T', 1 + random() % 40},
                               {'D', 1 + random() % 70},
                               {'O', i % 6 - 3},
                               {'P', i % 4 - 2}}),
                 i, 2e-6, 2);
}

inline constexpr const char *kParts = R"(
ltc.kernel @parts (tensor<$Bx$Mxf32>, tensor<$Bx$Nxf32>, tensor<$Bx$Oxf32>) -> tensor<$Bx$Sxf32>
    inplace [-1] {
^bb0(%x: tensor<$Bx$Mxf32>, %y: tensor<$Bx$Nxf32>, %z: tensor<$Bx$Oxf32>):
  %j = ltc.join %x, %y, %z along 1 : tensor<$Bx$Mxf32>, tensor<$Bx$Nxf32>, tensor<$Bx$Oxf32> -> tensor<$Bx$Sxf32>
  %s = ltc.map(%j) maps [affine_map<(b, c) -> (b, c)>] {
  ^bb0(%p: f32):
    %r = arith.negf %p : f32
    ltc.yield %r : f32
  } : (tensor<$Bx$Sxf32>) -> tensor<$Bx$Sxf32>
  ltc.yield %s : tensor<$Bx$Sxf32>
})";

TYPED_TEST_P(Pointwise, joinsPartsOfAnyWidth) {
  TypeParam runner;
  std::mt19937 random(9);
  for (int i = 0; i < 20; ++i) {
    int64_t m = 1 + random() % 40, n = 1 + random() % 40, o = 1 + random() % 40;
    runner.check(with(kParts, {{'B', 1 + random() % 20},
                               {'M', m},
                               {'N', n},
                               {'O', o},
                               {'S', m + n + o}}),
                 i, 0);
  }
}

inline constexpr const char *kRounded = R"(
ltc.kernel @rounded (tensor<$Bx$Txbf16>, tensor<$Bx$Txf32>)
    -> (tensor<$Bx$Txbf16>, tensor<$Txf32>) inplace [-1, -1] {
^bb0(%x: tensor<$Bx$Txbf16>, %g: tensor<$Bx$Txf32>):
  %y, %z = ltc.map(%x, %g) maps [affine_map<(b, t) -> (b, t)>,
      affine_map<(b, t) -> (b, t)>] {
  ^bb0(%a: bf16, %w: f32):
    %e = arith.extf %a : bf16 to f32
    %r = arith.truncf %w : f32 to bf16
    %q = arith.extf %r : bf16 to f32
    %p = arith.mulf %e, %q : f32
    %s = arith.truncf %p : f32 to bf16
    ltc.yield %s, %q : bf16, f32
  } : (tensor<$Bx$Txbf16>, tensor<$Bx$Txf32>)
      -> (tensor<$Bx$Txbf16>, tensor<$Bx$Txf32>)
  %n = ltc.reduce sum %z over [0] : tensor<$Bx$Txf32> -> tensor<$Txf32>
  ltc.yield %y, %n : tensor<$Bx$Txbf16>, tensor<$Txf32>
})";

TYPED_TEST_P(Pointwise, honoursEveryCastToBf16) {
  TypeParam runner;
  std::mt19937 random(12);
  for (int i = 0; i < 20; ++i)
    runner.check(with(kRounded, {{'B', 1 + random() % 40},
                                 {'T', 1 + random() % 300}}),
                 i); // products are exact: every bf16 agrees
}

REGISTER_TYPED_TEST_SUITE_P(Pointwise, normalisesRowsOfAnyLength,
                            chainsRowReductionsInPlace,
                            sumsOverRowsThroughPartials,
                            runsFlatKernelsOverChunks,
                            slicesAndJoinsWithoutCopies,
                            readsPermutedAndBroadcastOperands,
                            findsExtremesOfRows,
                            shiftsWithinSequencesAndDocuments,
                            joinsPartsOfAnyWidth, honoursEveryCastToBf16);

} // namespace ltc
