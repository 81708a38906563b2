// RUN: ltc-opt %s --ltc-differentiate | FileCheck %s
// @predict multiplies one row with the head, not all of them.

// CHECK-LABEL: @predict
// CHECK-SAME: %[[H:arg0]]: tensor<1x4x8xf32>, %[[W:arg1]]: tensor<16x8xf32>, %[[P:arg2]]
// CHECK: %[[MASKED:.*]] = ltc.map(%[[H]], %[[P]])
// CHECK: ltc.index 1
// CHECK: %[[ROW:.*]] = ltc.reduce sum %[[MASKED]] over [0, 1] : tensor<1x4x8xf32> -> tensor<8xf32>
// CHECK: ltc.contract %[[ROW]] [2], %[[W]] [3, 2] -> [3] : tensor<8xf32>, tensor<16x8xf32> -> tensor<16xf32>
func.func @predict(%h: tensor<1x4x8xf32>, %w: tensor<16x8xf32>, %p: tensor<i32>) -> tensor<16xf32> {
  %l = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<1x4x8xf32>, tensor<16x8xf32> -> tensor<1x4x16xf32>
  %s = ltc.map(%l, %p) maps [affine_map<(b, t, v) -> (b, t, v)>, affine_map<(b, t, v) -> ()>] {
  ^bb0(%x: f32, %i: i32):
    %t = ltc.index 1 : i32
    %c = arith.cmpi eq, %t, %i : i32
    %z = arith.constant 0.0 : f32
    %r = arith.select %c, %x, %z : f32
    ltc.yield %r : f32
  } : (tensor<1x4x16xf32>, tensor<i32>) -> tensor<1x4x16xf32>
  %y = ltc.reduce sum %s over [0, 1] : tensor<1x4x16xf32> -> tensor<16xf32>
  return %y : tensor<16xf32>
}

// A choice that looks at the product itself stays behind it.
// CHECK-LABEL: @keeps_choice_by_the_product
// CHECK-NEXT: ltc.contract %arg0
func.func @keeps_choice_by_the_product(%h: tensor<1x4x8xf32>, %w: tensor<16x8xf32>) -> tensor<16xf32> {
  %l = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<1x4x8xf32>, tensor<16x8xf32> -> tensor<1x4x16xf32>
  %s = ltc.map(%l) maps [affine_map<(b, t, v) -> (b, t, v)>] {
  ^bb0(%x: f32):
    %z = arith.constant 0.0 : f32
    %c = arith.cmpf ogt, %x, %z : f32
    %r = arith.select %c, %x, %z : f32
    ltc.yield %r : f32
  } : (tensor<1x4x16xf32>) -> tensor<1x4x16xf32>
  %y = ltc.reduce sum %s over [0, 1] : tensor<1x4x16xf32> -> tensor<16xf32>
  return %y : tensor<16xf32>
}
