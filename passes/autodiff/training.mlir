// RUN: ltc-opt %s --ltc-differentiate | FileCheck %s
// Training draws, forward and backward, the same numbers; evaluation draws none
// and calls a copy of the block.

// CHECK-LABEL: func.func private @block.forward
// CHECK: ltc.random [[L:%.*]], [[H:%.*]] key [[H]]
// CHECK: arith.constant true
// CHECK-LABEL: func.func private @block.backward
// CHECK: ltc.random {{.*}} key
// CHECK-LABEL: func.func private @block.evaluate
// CHECK-NOT: ltc.random
// CHECK: arith.constant -2147483648 : i32
// CHECK: arith.constant false
// CHECK-LABEL: func.func @evaluate
// CHECK: call @block.evaluate
// CHECK-NOT: ltc.training
module attributes {ltc.terms = [{name = "t", count_input = "", weight_key = "w"}]} {
  func.func private @block(%x: tensor<3x4xf32>, %seed: tensor<i64>) -> tensor<3x4xf32> {
    %y = ltc.map(%x, %seed) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>] {
    ^bb0(%a: f32, %key: i64):
      %i = ltc.index 1 : i32
      %low = arith.extui %i : i32 to i64
      %bits = ltc.random %low, %key key %key : i64 -> i32
      %zero = arith.constant 0 : i32
      %none = arith.constant 0.0 : f32
      %is = arith.cmpi slt, %bits, %zero : i32
      %kept = arith.select %is, %none, %a : f32
      %training = ltc.training : i1
      %r = arith.select %training, %kept, %a : f32
      %s = arith.mulf %r, %r : f32
      ltc.yield %s : f32
    } : (tensor<3x4xf32>, tensor<i64>) -> tensor<3x4xf32>
    return %y : tensor<3x4xf32>
  }
  func.func @loss(%x: tensor<3x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %seed: tensor<i64> {ltc.bind = {class = "seed"}}) -> tensor<f32> {
    %y = func.call @block(%x, %seed) : (tensor<3x4xf32>, tensor<i64>) -> tensor<3x4xf32>
    %l = ltc.reduce sum %y over [0, 1] : tensor<3x4xf32> -> tensor<f32>
    return %l : tensor<f32>
  }
}
