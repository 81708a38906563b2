// RUN: ltc-opt %s --ltc-differentiate --ltc-apply-precision | FileCheck %s
// %c is scaled and leaves, so its contraction is rounded. The backward that
// computes it again only adds it to %x, but must add what the forward added.

// CHECK-LABEL: func.func private @block.forward
// CHECK: %[[C:.*]] = ltc.contract
// CHECK: ltc.map(%[[C]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.truncf {{.*}} : f32 to bf16
// CHECK-LABEL: func.func private @block.recompute1.backward
// CHECK: %[[C:.*]] = ltc.contract {{.*}}ltc.contraction = 0
// CHECK: ltc.map(%[[C]])
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.truncf {{.*}} : f32 to bf16
module attributes {ltc.memory_budget = {bytes = 1000 : i64}, ltc.precision = "bf16",
                   ltc.terms = [{name = "t", count_input = "", weight_key = "w"}]} {
  func.func private @block(%x: tensor<64x16xf32>, %w: tensor<16x16xf32>) -> (tensor<64x16xf32>, tensor<64x16xf32>) {
    %c = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<64x16xf32>, tensor<16x16xf32> -> tensor<64x16xf32>
    %scaled = ltc.map(%c) maps [affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32):
      %two = arith.constant 2.0 : f32
      %r = arith.mulf %a, %two : f32
      ltc.yield %r : f32
    } : (tensor<64x16xf32>) -> tensor<64x16xf32>
    %sum = ltc.map(%x, %c) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32, %b: f32):
      %r = arith.addf %a, %b : f32
      ltc.yield %r : f32
    } : (tensor<64x16xf32>, tensor<64x16xf32>) -> tensor<64x16xf32>
    %y = ltc.map(%sum) maps [affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32):
      %r = math.sin %a : f32
      ltc.yield %r : f32
    } : (tensor<64x16xf32>) -> tensor<64x16xf32>
    return %y, %scaled : tensor<64x16xf32>, tensor<64x16xf32>
  }
  func.func @loss(%x: tensor<64x16xf32> {ltc.bind = {class = "input", name = "x"}},
                  %w: tensor<16x16xf32> {ltc.bind = {class = "parameter", name = "w"}}) -> tensor<f32> {
    %y, %s = func.call @block(%x, %w) : (tensor<64x16xf32>, tensor<16x16xf32>) -> (tensor<64x16xf32>, tensor<64x16xf32>)
    %p = ltc.map(%y, %s) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32, %b: f32):
      %r = arith.mulf %a, %b : f32
      ltc.yield %r : f32
    } : (tensor<64x16xf32>, tensor<64x16xf32>) -> tensor<64x16xf32>
    %l = ltc.reduce sum %p over [0, 1] : tensor<64x16xf32> -> tensor<f32>
    return %l : tensor<f32>
  }
}
