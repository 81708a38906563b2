// RUN: ltc-opt %s --ltc-differentiate | FileCheck %s
// Under a memory budget a block has variants that keep less: here the last one
// keeps its arguments alone and runs the contraction again.

// CHECK-LABEL: func.func private @block.forward
// CHECK-SAME: -> (tensor<3x4xf32>, tensor<3x8xf32>)
// CHECK-SAME: level = 0
// CHECK-LABEL: func.func private @block.backward
// CHECK-NOT: ltc.contract %arg0 [0, 1]
// CHECK-LABEL: func.func private @block.recompute1.forward
// CHECK-SAME: -> tensor<3x4xf32>
// CHECK-SAME: level = 1
// CHECK-LABEL: func.func private @block.recompute1.backward
// CHECK: ltc.contract %arg0 [0, 1]{{.*}}ltc.contraction = 0
// CHECK: math.sin

// CHECK-LABEL: func.func @accumulate(
// CHECK: call @block.forward({{.*}}ltc.call = 0
// CHECK: call @block.backward({{.*}}ltc.call = 0
// The phase is there with every block at that level, its calls numbered alike.
// CHECK-LABEL: func.func @accumulate.recompute1
// CHECK: call @block.recompute1.forward({{.*}}ltc.call = 0
// CHECK: call @block.recompute1.forward({{.*}}ltc.call = 1
// CHECK: call @block.recompute1.backward({{.*}}ltc.call = 1
// CHECK: call @block.recompute1.backward({{.*}}ltc.call = 0
module attributes {ltc.memory_budget = {bytes = 1000 : i64},
                   ltc.terms = [{name = "t", count_input = "", weight_key = "w"}]} {
  func.func private @block(%x: tensor<3x4xf32>, %w: tensor<8x4xf32>, %u: tensor<4x8xf32>) -> tensor<3x4xf32> {
    %h = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<3x4xf32>, tensor<8x4xf32> -> tensor<3x8xf32>
    %s = ltc.map(%h) maps [affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32):
      %r = math.sin %a : f32
      ltc.yield %r : f32
    } : (tensor<3x8xf32>) -> tensor<3x8xf32>
    %y = ltc.contract %s [0, 1], %u [2, 1] -> [0, 2] : tensor<3x8xf32>, tensor<4x8xf32> -> tensor<3x4xf32>
    return %y : tensor<3x4xf32>
  }
  func.func @loss(%x: tensor<3x4xf32> {ltc.bind = {class = "input", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                  %u: tensor<4x8xf32> {ltc.bind = {class = "parameter", name = "u"}}) -> tensor<f32> {
    %y = func.call @block(%x, %w, %u) : (tensor<3x4xf32>, tensor<8x4xf32>, tensor<4x8xf32>) -> tensor<3x4xf32>
    %z = func.call @block(%y, %w, %u) : (tensor<3x4xf32>, tensor<8x4xf32>, tensor<4x8xf32>) -> tensor<3x4xf32>
    %l = ltc.reduce sum %z over [0, 1] : tensor<3x4xf32> -> tensor<f32>
    return %l : tensor<f32>
  }
}
