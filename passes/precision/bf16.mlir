// RUN: ltc-opt %s --ltc-apply-precision --canonicalize --split-input-file | FileCheck %s

// A weight is cast once, by the caller; what a block carries stays f32; what is
// kept of a weight's contraction is bf16; its gradient is f32.

// CHECK-LABEL: func.func private @layer.forward
// CHECK-SAME: (%[[X:.*]]: tensor<8x4xf32>, %[[W:.*]]: tensor<6x4xbf16>, %[[D:.*]]: tensor<4x6xbf16>) -> (tensor<8x4xf32>, tensor<8x6xbf16>)
// CHECK: %[[XB:.*]] = ltc.map(%[[X]])
// CHECK: arith.truncf
// CHECK: %[[H:.*]] = ltc.contract %[[XB]] [0, 2], %[[W]]
// CHECK-SAME: tensor<8x4xbf16>, tensor<6x4xbf16> -> tensor<8x6xf32>
// CHECK: %[[HB:.*]] = ltc.map(%[[H]])
// CHECK: -> tensor<8x6xbf16>
// CHECK: ltc.map(%[[HB]])
// CHECK: arith.extf
// CHECK: math.tanh
// CHECK: %[[Y:.*]] = ltc.contract
// CHECK-NOT: truncf
// CHECK: ltc.map(%[[X]], %[[Y]])
// CHECK-LABEL: func.func private @layer.backward
// CHECK-SAME: tensor<8x6xbf16>
// CHECK-SAME: -> tensor<6x4xf32>
// CHECK-LABEL: func.func @accumulate
// CHECK: ltc.map(%arg1)
// CHECK: call @layer.forward
#m = affine_map<(i, j) -> (i, j)>
module attributes {ltc.precision = "bf16"} {
  func.func private @layer.forward(%x: tensor<8x4xf32>, %w: tensor<6x4xf32>, %d: tensor<4x6xf32>) -> (tensor<8x4xf32>, tensor<8x6xf32>) {
    %h = ltc.contract %x [0, 2], %w [1, 2] -> [0, 1] : tensor<8x4xf32>, tensor<6x4xf32> -> tensor<8x6xf32>
    %a = ltc.map (%h) maps [#m] {
    ^bb0(%0: f32):
      %1 = math.tanh %0 : f32
      ltc.yield %1 : f32
    } : (tensor<8x6xf32>) -> tensor<8x6xf32>
    %y = ltc.contract %a [0, 2], %d [1, 2] -> [0, 1] : tensor<8x6xf32>, tensor<4x6xf32> -> tensor<8x4xf32>
    %z = ltc.map (%x, %y) maps [#m, #m] {
    ^bb0(%0: f32, %1: f32):
      %2 = arith.addf %0, %1 : f32
      ltc.yield %2 : f32
    } : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
    return %z, %h : tensor<8x4xf32>, tensor<8x6xf32>
  }
  func.func private @layer.backward(%h: tensor<8x6xf32>, %x: tensor<8x4xf32>) -> tensor<6x4xf32> {
    %a = ltc.map (%h) maps [#m] {
    ^bb0(%0: f32):
      %1 = math.tanh %0 : f32
      ltc.yield %1 : f32
    } : (tensor<8x6xf32>) -> tensor<8x6xf32>
    %g = ltc.contract %a [2, 0], %x [2, 1] -> [0, 1] : tensor<8x6xf32>, tensor<8x4xf32> -> tensor<6x4xf32>
    return %g : tensor<6x4xf32>
  }
  func.func @accumulate(%x: tensor<8x4xf32> {ltc.bind = {class = "input", name = "x"}},
                        %w: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                        %d: tensor<4x6xf32> {ltc.bind = {class = "parameter", name = "d"}})
      -> (tensor<8x4xf32> {ltc.bind = {class = "output", name = "y"}}, tensor<6x4xf32> {ltc.bind = {class = "output", name = "g"}}) {
    %y:2 = call @layer.forward(%x, %w, %d) : (tensor<8x4xf32>, tensor<6x4xf32>, tensor<4x6xf32>) -> (tensor<8x4xf32>, tensor<8x6xf32>)
    %g = call @layer.backward(%y#1, %x) : (tensor<8x6xf32>, tensor<8x4xf32>) -> tensor<6x4xf32>
    return %y#0, %g : tensor<8x4xf32>, tensor<6x4xf32>
  }
}

// -----

// A contraction of f32(..) and all of the optimizer keep f32.
// CHECK-LABEL: func.func @accumulate
// CHECK-NOT: bf16
module attributes {ltc.precision = "bf16"} {
  func.func @accumulate(%x: tensor<8x4xf32>, %w: tensor<6x4xf32>) -> tensor<8x6xf32> {
    %h = ltc.contract %x [0, 2], %w [1, 2] -> [0, 1] f32 : tensor<8x4xf32>, tensor<6x4xf32> -> tensor<8x6xf32>
    return %h : tensor<8x6xf32>
  }
  func.func @apply(%x: tensor<8x4xf32>, %w: tensor<6x4xf32>) -> tensor<8x6xf32> {
    %h = ltc.contract %x [0, 2], %w [1, 2] -> [0, 1] : tensor<8x4xf32>, tensor<6x4xf32> -> tensor<8x6xf32>
    return %h : tensor<8x6xf32>
  }
}
