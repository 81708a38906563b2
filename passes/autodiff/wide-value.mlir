// RUN: ltc-opt %s --split-input-file --ltc-differentiate="wide-bytes=64 chunk-bytes=64" --verify-diagnostics | FileCheck %s
// What is chunked, and what is stored with its reason.

// One term from the wide value, one from elsewhere: chunks for the first only.
// CHECK-LABEL: func.func private @head.chunk(%arg0: tensor<1x2x4xf32>
// CHECK: ltc.contract %arg0 [0, 1, 2], %arg1 [3, 2] -> [0, 1, 3] : tensor<1x2x4xf32>, tensor<8x4xf32> -> tensor<1x2x8xf32>
// CHECK: return %{{.*}} : tensor<1x2x4xf32>, tensor<f32>, tensor<8x4xf32>
// CHECK-LABEL: func.func @accumulate
// CHECK-COUNT-4: call @head.chunk
module attributes {ltc.terms = [{name = "a", count_input = "", weight_key = "w"}, {name = "b", count_input = "", weight_key = ""}]} {
  func.func @loss(%x: tensor<2x4x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}}) -> (tensor<f32>, tensor<f32>) {
    %h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
    %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
    %m = ltc.reduce max %y over [2] : tensor<2x4x8xf32> -> tensor<2x4xf32>
    %top = ltc.stop_gradient %m : tensor<2x4xf32>
    %both = ltc.map(%m, %top) maps [affine_map<(b, t) -> (b, t)>, affine_map<(b, t) -> (b, t)>] {
    ^bb0(%i: f32, %j: f32):
      %r = arith.mulf %i, %j : f32
      ltc.yield %r : f32
    } : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
    %a = ltc.reduce sum %both over [0, 1] : tensor<2x4xf32> -> tensor<f32>
    %b = ltc.reduce sum %x over [0, 1, 2] : tensor<2x4x4xf32> -> tensor<f32>
    return %a, %b : tensor<f32>, tensor<f32>
  }
}
// -----
// CHECK-LABEL: func.func @accumulate
// CHECK: ltc.contract {{.*}} -> tensor<2x4x8xf32>
module attributes {ltc.terms = [{name = "a", count_input = "", weight_key = "w"}]} {
  func.func @loss(%x: tensor<2x4x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}}) -> tensor<f32> {
    %h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
    // expected-remark@+1 {{a value of 256 bytes is stored whole: a sum over tokens is read by arithmetic}}
    %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
    %s = ltc.reduce sum %y over [1] : tensor<2x4x8xf32> -> tensor<2x8xf32>
    %q = ltc.map(%s) maps [affine_map<(b, v) -> (b, v)>] {
    ^bb0(%i: f32):
      %r = math.tanh %i : f32
      ltc.yield %r : f32
    } : (tensor<2x8xf32>) -> tensor<2x8xf32>
    %a = ltc.reduce sum %q over [0, 1] : tensor<2x8xf32> -> tensor<f32>
    return %a : tensor<f32>
  }
}
// -----
// CHECK-LABEL: func.func @accumulate
module attributes {ltc.terms = [{name = "a", count_input = "", weight_key = "w"}]} {
  func.func @loss(%x: tensor<2x4x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}}) -> tensor<f32> {
    %h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
    // expected-remark@+1 {{an op that mixes tokens reads it}}
    %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
    %s = ltc.contract %y [0, 1, 2], %y [0, 3, 2] -> [1, 3] : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<4x4xf32>
    %a = ltc.reduce sum %s over [0, 1] : tensor<4x4xf32> -> tensor<f32>
    return %a : tensor<f32>
  }
}
// -----
// The bias of a row varies along b only: its gradient adds over chunks of t.
// CHECK-LABEL: func.func private @head.chunk(
// CHECK-LABEL: func.func @accumulate
module attributes {ltc.terms = [{name = "a", count_input = "", weight_key = "w"}]} {
  func.func @loss(%x: tensor<2x4x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                  %r: tensor<2xf32> {ltc.bind = {class = "parameter", name = "r"}}) -> tensor<f32> {
    %h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
    %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
    %q = ltc.map(%y, %r) maps [affine_map<(b, t, v) -> (b, t, v)>, affine_map<(b, t, v) -> (b)>] {
    ^bb0(%i: f32, %j: f32):
      %k = arith.mulf %i, %j : f32
      ltc.yield %k : f32
    } : (tensor<2x4x8xf32>, tensor<2xf32>) -> tensor<2x4x8xf32>
    %a = ltc.reduce sum %q over [0, 1, 2] : tensor<2x4x8xf32> -> tensor<f32>
    return %a : tensor<f32>
  }
}
// -----
// A maximum taken out of log(sum of exp) as a constant stays in the chunk.
// CHECK-LABEL: func.func private @head.chunk(
// CHECK-LABEL: func.func @accumulate
module attributes {ltc.terms = [{name = "a", count_input = "", weight_key = "w"}]} {
  func.func @loss(%x: tensor<2x4x4xf32> {ltc.bind = {class = "parameter", name = "x"}},
                  %w: tensor<8x4xf32> {ltc.bind = {class = "parameter", name = "w"}}) -> tensor<f32> {
    %h = ltc.map(%x) maps [affine_map<(b, t, d) -> (b, t, d)>] {
    ^bb0(%hi: f32):
      %hr = math.sin %hi : f32
      ltc.yield %hr : f32
    } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
    %y = ltc.contract %h [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<8x4xf32> -> tensor<2x4x8xf32>
    %m = ltc.reduce max %y over [2] : tensor<2x4x8xf32> -> tensor<2x4xf32>
    %top = ltc.stop_gradient %m : tensor<2x4xf32>
    %e = ltc.map(%y, %top) maps [affine_map<(b, t, v) -> (b, t, v)>, affine_map<(b, t, v) -> (b, t)>] {
    ^bb0(%yi: f32, %ti: f32):
      %d = arith.subf %yi, %ti : f32
      %ei = math.exp %d : f32
      ltc.yield %ei : f32
    } : (tensor<2x4x8xf32>, tensor<2x4xf32>) -> tensor<2x4x8xf32>
    %s = ltc.reduce sum %e over [0, 1, 2] : tensor<2x4x8xf32> -> tensor<f32>
    return %s : tensor<f32>
  }
}
