// RUN: ltc-opt %s --ltc-differentiate | FileCheck %s
// The backward computes cheap maps again; a contraction's result is kept.

// Kept beside y: the contraction of 3x8, not its sin, its square or their sum.
// CHECK-LABEL: func.func private @block.forward
// CHECK-SAME: -> (tensor<3x4xf32>, tensor<3x8xf32>) {
// CHECK-LABEL: func.func private @block.backward
// CHECK-SAME: (%arg0: tensor<3x4xf32>, %arg1: tensor<4x8xf32>, %arg2: tensor<3x8xf32>,
// CHECK-NOT: ltc.contract %arg0 [0, 1]
// CHECK: math.sin
module attributes {ltc.terms = [{name = "t", count_input = "", weight_key = "w"}]} {
  func.func private @block(%x: tensor<3x4xf32>, %w: tensor<8x4xf32>, %u: tensor<4x8xf32>) -> tensor<3x4xf32> {
    %h = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<3x4xf32>, tensor<8x4xf32> -> tensor<3x8xf32>
    %s = ltc.map(%h) maps [affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32):
      %r = math.sin %a : f32
      ltc.yield %r : f32
    } : (tensor<3x8xf32>) -> tensor<3x8xf32>
    %q = ltc.map(%s, %h) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32, %b: f32):
      %r = arith.mulf %a, %b : f32
      ltc.yield %r : f32
    } : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<3x8xf32>
    %y = ltc.contract %q [0, 1], %u [2, 1] -> [0, 2] : tensor<3x8xf32>, tensor<4x8xf32> -> tensor<3x4xf32>
    return %y : tensor<3x4xf32>
  }
  func.func @loss(%x: tensor<3x4xf32> {ltc.bind = {class = "input", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                  %u: tensor<4x8xf32> {ltc.bind = {class = "parameter", name = "u"}}) -> tensor<f32> {
    %y = func.call @block(%x, %w, %u) : (tensor<3x4xf32>, tensor<8x4xf32>, tensor<4x8xf32>) -> tensor<3x4xf32>
    %l = ltc.reduce sum %y over [0, 1] : tensor<3x4xf32> -> tensor<f32>
    return %l : tensor<f32>
  }
}
