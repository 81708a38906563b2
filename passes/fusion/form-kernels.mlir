// RUN: ltc-opt %s --ltc-form-kernels --split-input-file | FileCheck %s

#row = affine_map<(t, d) -> (t, d)>
#left = affine_map<(t, d) -> (t)>
#vec = affine_map<(d) -> (d)>

// The addition is the contraction's epilogue.
// CHECK-LABEL: func.func @epilogue
// CHECK: ltc.launch @epilogue.0.contract
// CHECK-NOT: ltc.launch
// CHECK: ltc.kernel @epilogue.0.contract
// CHECK: ltc.contract
// CHECK: arith.addf
func.func @epilogue(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>, %r: tensor<4x6xf32>) -> tensor<4x6xf32> {
  %c = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  %y = ltc.map(%c, %r) maps [#row, #row] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    ltc.yield %s : f32
  } : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// -----

#row = affine_map<(t, d) -> (t, d)>
#left = affine_map<(t, d) -> (t)>

// A row reduction, what feeds and what follows it are one kernel.
// CHECK-LABEL: func.func @norm
// CHECK-COUNT-1: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK: ltc.kernel @norm.0.pointwise
// CHECK: ltc.reduce sum
// CHECK: arith.divf
func.func @norm(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %q = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %s = arith.mulf %a, %a : f32
    ltc.yield %s : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = ltc.reduce sum %q over [1] : tensor<4x8xf32> -> tensor<4xf32>
  %y = ltc.map(%x, %s) maps [#row, #left] {
  ^bb0(%a: f32, %b: f32):
    %d = arith.divf %a, %b : f32
    ltc.yield %d : f32
  } : (tensor<4x8xf32>, tensor<4xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

#row = affine_map<(t, d) -> (t, d)>
#left = affine_map<(t, d) -> (t)>
#vec = affine_map<(d) -> (d)>

// Both results of a norm's backward, and the addition into the gradient so
// far, which is stored in place.
// CHECK-LABEL: func.func @backward
// CHECK-COUNT-1: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK: ltc.kernel @backward.0.pointwise
// CHECK-SAME: inplace [-1, 3]
func.func @backward(%x: tensor<4x8xf32>, %dy: tensor<4x8xf32>, %g: tensor<8xf32>,
                    %dg: tensor<8xf32> {ltc.bind = {class = "gradient", name = "g"}})
    -> (tensor<4x8xf32>, tensor<8xf32> {ltc.bind = {class = "gradient", name = "g"}}) {
  %p = ltc.map(%x, %dy) maps [#row, #row] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.mulf %a, %b : f32
    ltc.yield %s : f32
  } : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = ltc.reduce sum %p over [1] : tensor<4x8xf32> -> tensor<4xf32>
  %dx = ltc.map(%dy, %s, %g) maps [#row, #left, affine_map<(t, d) -> (d)>] {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %d = arith.mulf %a, %b : f32
    %e = arith.mulf %d, %c : f32
    ltc.yield %e : f32
  } : (tensor<4x8xf32>, tensor<4xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %w = ltc.reduce sum %p over [0] : tensor<4x8xf32> -> tensor<8xf32>
  %new = ltc.map(%dg, %w) maps [#vec, #vec] {
  ^bb0(%a: f32, %b: f32):
    %s2 = arith.addf %a, %b : f32
    ltc.yield %s2 : f32
  } : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return %dx, %new : tensor<4x8xf32>, tensor<8xf32>
}

// -----

#row = affine_map<(t, d) -> (t, d)>

// Costly work on the smaller space is not repeated at every point.
// CHECK-LABEL: func.func @table
// CHECK-COUNT-2: ltc.launch
func.func @table(%x: tensor<4x8xf32>, %f: tensor<8xf32>) -> tensor<4x8xf32> {
  %c = ltc.map(%f) maps [affine_map<(d) -> (d)>] {
  ^bb0(%a: f32):
    %s = math.cos %a : f32
    ltc.yield %s : f32
  } : (tensor<8xf32>) -> tensor<8xf32>
  %y = ltc.map(%x, %c) maps [#row, affine_map<(t, d) -> (d)>] {
  ^bb0(%a: f32, %b: f32):
    %d = arith.mulf %a, %b : f32
    ltc.yield %d : f32
  } : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

// Equal but for names: one kernel, launched twice.
// CHECK-LABEL: func.func @first
// CHECK: ltc.launch @first.0.contract
// CHECK-LABEL: func.func @second
// CHECK: ltc.launch @first.0.contract
// CHECK-COUNT-1: ltc.kernel @
// CHECK-NOT: ltc.kernel
func.func @first(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %c = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}
func.func @second(%a: tensor<4x8xf32>, %b: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %c = ltc.contract %a [0, 1], %b [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}

// -----

// The backward of a recurrence: the decay shifted, the scan, the decay's
// gradient.
// CHECK-LABEL: func.func @recurrence
// CHECK: ltc.launch @recurrence.0.scan
// CHECK-NOT: ltc.launch
// CHECK: ltc.kernel @recurrence.0.scan
func.func @recurrence(%dy: tensor<2x8x4xf32>, %y: tensor<2x8x4xf32>, %a: tensor<2x8x4xf32>, %doc: tensor<2x8xi32>) -> (tensor<2x8x4xf32>, tensor<2x8x4xf32>) {
  %n = ltc.shift %a by -1 along 1 within %doc : tensor<2x8x4xf32>, tensor<2x8xi32> -> tensor<2x8x4xf32>
  %dx = ltc.scan %dy decay %n reverse along 1 within %doc : tensor<2x8x4xf32> decay tensor<2x8x4xf32> within tensor<2x8xi32>
  %o = ltc.shift %y by 1 along 1 within %doc : tensor<2x8x4xf32>, tensor<2x8xi32> -> tensor<2x8x4xf32>
  %da = ltc.map(%dx, %o) maps [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> (b, t, d)>] {
  ^bb0(%p: f32, %q: f32):
    %m = arith.mulf %p, %q : f32
    ltc.yield %m : f32
  } : (tensor<2x8x4xf32>, tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  return %dx, %da : tensor<2x8x4xf32>, tensor<2x8x4xf32>
}
