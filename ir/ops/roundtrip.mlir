// RUN: ltc-opt %s | ltc-opt | FileCheck %s
// Every op prints what it parses.

// CHECK-LABEL: @ops
func.func @ops(%x: tensor<2x8x4xf32>, %w: tensor<6x4xf32>, %g: tensor<4xf32>,
               %ids: tensor<2x8xi32>) -> tensor<f32> {
  // CHECK: ltc.map(%{{.*}}, %{{.*}}) maps [
  %y = ltc.map(%x, %g) maps [affine_map<(b, t, d) -> (b, t, d)>,
                             affine_map<(b, t, d) -> (d)>] {
  ^bb0(%a: f32, %b: f32):
    %i = ltc.index 1 : i32
    %f = arith.sitofp %i : i32 to f32
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %m, %f : f32
    %word = arith.extui %i : i32 to i64
    // CHECK: ltc.random %[[L:.*]], %[[L]] key %[[L]] : i64 -> i32
    %bits = ltc.random %word, %word key %word : i64 -> i32
    // CHECK: ltc.training : i1
    %is = ltc.training : i1
    ltc.yield %s : f32
  } : (tensor<2x8x4xf32>, tensor<4xf32>) -> tensor<2x8x4xf32>
  // CHECK: ltc.contract %{{.*}}[0, 1, 2], %{{.*}}[3, 2] -> [0, 1, 3]
  %c = ltc.contract %y [0, 1, 2], %w [3, 2] -> [0, 1, 3]
    : tensor<2x8x4xf32>, tensor<6x4xf32> -> tensor<2x8x6xf32>
  // CHECK: ltc.gather
  %e = ltc.gather %w at %ids : tensor<6x4xf32>, tensor<2x8xi32> -> tensor<2x8x4xf32>
  // CHECK: ltc.scatter_add
  %dw = ltc.scatter_add %e at %ids : tensor<2x8x4xf32>, tensor<2x8xi32> -> tensor<6x4xf32>
  // CHECK: ltc.shift %{{.*}} by 1 along 1 within
  %sh = ltc.shift %e by 1 along 1 within %ids : tensor<2x8x4xf32>, tensor<2x8xi32> -> tensor<2x8x4xf32>
  // CHECK: ltc.append %{{.*}}, %{{.*}} at %{{.*}} along 1
  %at = ltc.map() maps [] {
    %three = arith.constant 3 : i32
    ltc.yield %three : i32
  } : () -> tensor<i32>
  %row = ltc.slice %sh along 1 from 0 : tensor<2x8x4xf32> -> tensor<2x2x4xf32>
  %ap = ltc.append %sh, %row at %at along 1 : tensor<2x8x4xf32>, tensor<2x2x4xf32>, tensor<i32>
  // CHECK: ltc.shift
  %sh2 = ltc.shift %sh by -1 along 1 : tensor<2x8x4xf32> -> tensor<2x8x4xf32>
  // CHECK: ltc.scan %{{.*}} decay %{{.*}} along 1 within
  %sc = ltc.scan %sh decay %sh2 along 1 within %ids : tensor<2x8x4xf32> decay tensor<2x8x4xf32> within tensor<2x8xi32>
  // CHECK: ltc.scan %{{.*}} reverse along 2 : tensor<2x8x4xf32>
  %sc2 = ltc.scan %sc reverse along 2 : tensor<2x8x4xf32>
  // CHECK: ltc.slice
  %sl = ltc.slice %sc2 along 2 from 1 : tensor<2x8x4xf32> -> tensor<2x8x3xf32>
  // CHECK: ltc.join
  %j = ltc.join %sl, %c along 2 : tensor<2x8x3xf32>, tensor<2x8x6xf32> -> tensor<2x8x9xf32>
  // CHECK: ltc.reshape
  %r = ltc.reshape %j : tensor<2x8x9xf32> -> tensor<16x9xf32>
  // CHECK: ltc.stop_gradient
  %st = ltc.stop_gradient %r : tensor<16x9xf32>
  // CHECK: ltc.reduce sum %{{.*}} over [0, 1]
  %sum = ltc.reduce sum %st over [0, 1] : tensor<16x9xf32> -> tensor<f32>
  // CHECK: ltc.launch @k
  %l = ltc.launch @k(%sum, %sum) : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK: ltc.kernel @k (tensor<f32>, tensor<f32>) -> tensor<f32> inplace [1]
ltc.kernel @k (tensor<f32>, tensor<f32>) -> tensor<f32> inplace [1] {
^bb0(%x: tensor<f32>, %acc: tensor<f32>):
  %y = ltc.map(%x, %acc) maps [affine_map<() -> ()>, affine_map<() -> ()>] {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    ltc.yield %s : f32
  } : (tensor<f32>, tensor<f32>) -> tensor<f32>
  ltc.yield %y : tensor<f32>
}

// CHECK-LABEL: @attention
func.func @attention(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %v: tensor<1x4x2x5xf32>,
                     %doc: tensor<1x4xi32>) -> tensor<1x4x2x3x8xf32> {
  // CHECK: ltc.attention %{{.*}} reads %{{.*}} scale 5.0{{.*}} keep {
  // CHECK: } score {
  %o, %lse = ltc.attention %q, %k, %v reads %doc, %doc
      [affine_map<(b, g, r, t, u) -> (b, t)>, affine_map<(b, g, r, t, u) -> (b, u)>]
      scale 0.5 keep {
  ^bb0(%t: i32, %u: i32, %dt: i32, %du: i32):
    %c = arith.cmpi sle, %u, %t : i32
    %d = arith.cmpi eq, %dt, %du : i32
    %e = arith.andi %c, %d : i1
    ltc.yield %e : i1
  } score {} : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>, tensor<1x4xi32>, tensor<1x4xi32>)
      -> (tensor<1x4x2x3x5xf32>, tensor<1x4x2x3xf32>)
  // CHECK: ltc.attention_grad
  %dq, %dk, %dv = ltc.attention_grad %q, %k, %v, %o, %lse, %o [] scale 0.5 keep {} score {
  ^bb0(%s: f32, %t: i32, %u: i32):
    ltc.yield %s : f32
  } : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>, tensor<1x4x2x3x5xf32>,
       tensor<1x4x2x3xf32>, tensor<1x4x2x3x5xf32>)
      -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>)
  return %dq : tensor<1x4x2x3x8xf32>
}

// CHECK-LABEL: @attention_reads_by_distance
func.func @attention_reads_by_distance(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %v: tensor<1x4x2x5xf32>,
                                       %w: tensor<2x3xf32>, %d: tensor<2x7xf32>) -> tensor<1x2x7xf32> {
  // CHECK: ltc.attention %{{.*}} sink %{{.*}} reads %{{.*}} scale 5.0
  %o, %lse = ltc.attention %q, %k, %v sink %w reads %d
      [affine_map<(b, g, r, t, u) -> (g, t - u + 3)>] scale 0.5 keep {} score {
  ^bb0(%s: f32, %t: i32, %u: i32, %x: f32):
    %y = arith.addf %s, %x : f32
    ltc.yield %y : f32
  } : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>, tensor<2x3xf32>, tensor<2x7xf32>)
      -> (tensor<1x4x2x3x5xf32>, tensor<1x4x2x3xf32>)
  // CHECK: ltc.attention_grad
  // CHECK: extraGrads = array<i64: 0>
  %dq, %dk, %dv, %dd = ltc.attention_grad %q, %k, %v, %o, %lse, %o reads %d
      [affine_map<(b, g, r, t, u) -> (g, t - u + 3)>] scale 0.5 keep {} score {
  ^bb0(%s: f32, %t: i32, %u: i32, %x: f32):
    %y = arith.addf %s, %x : f32
    ltc.yield %y : f32
  } {extraGrads = array<i64: 0>} : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>,
       tensor<1x4x2x3x5xf32>, tensor<1x4x2x3xf32>, tensor<1x4x2x3x5xf32>, tensor<2x7xf32>)
      -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x5xf32>, tensor<1x2x7xf32>)
  return %dd : tensor<1x2x7xf32>
}
