// RUN: ltc-opt %s --ltc-differentiate | FileCheck %s
// RUN: ltc-opt %s --ltc-differentiate="wide-bytes=64 chunk-bytes=56" | FileCheck %s --check-prefix=CHUNK
// A llama of two layers: b = 2, t = 4, d = 4, heads 1 x 2 of k = 2, ffn 6, vocab 7.

// CHECK-LABEL: func.func private @layer.forward
// CHECK-LABEL: func.func private @layer.backward
// CHECK: ltc.attention_grad
// CHECK-NOT: ltc.attention %
// CHECK-LABEL: func.func private @layer(
// CHECK-LABEL: func.func @accumulate
// CHECK-SAME: %{{.*}} {ltc.bind = {class = "inverse_count", name = "ce"}}
// CHECK-COUNT-2: call @layer.forward
// CHECK-COUNT-2: call @layer.backward
// CHECK-LABEL: func.func @evaluate
// CHECK-COUNT-2: call @layer(

// CHUNK-LABEL: func.func private @head.chunk(
// CHUNK-SAME: tensor<1x2x4xf32>
// CHUNK-NOT: tensor<2x4x7xf32>
// CHUNK-LABEL: func.func @accumulate
// CHUNK-COUNT-4: call @head.chunk
// CHUNK-COUNT-2: call @layer.backward
// CHUNK-LABEL: func.func @evaluate
// CHUNK-COUNT-4: call @head.value

module attributes {ltc.terms = [{name = "ce", count_input = "mask", weight_key = "loss.cross_entropy"},
                                {name = "z", count_input = "mask", weight_key = "loss.z_loss"}]} {
func.func private @layer(%x: tensor<2x4x4xf32>, %document: tensor<2x4xi32>, %g1: tensor<4xf32>, %wq: tensor<1x2x2x4xf32>, %wk: tensor<1x2x4xf32>, %wv: tensor<1x2x4xf32>, %wo: tensor<4x1x2x2xf32>, %g2: tensor<4xf32>, %wg: tensor<6x4xf32>, %wu: tensor<6x4xf32>, %wd: tensor<4x6xf32>) -> tensor<2x4x4xf32> {
  %hsq = ltc.map(%x) maps [affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32):
    %i_r = arith.mulf %a0, %a0 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %hs = ltc.reduce sum %hsq over [2] : tensor<2x4x4xf32> -> tensor<2x4xf32>
  %h = ltc.map(%x, %hs, %g1) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>, affine_map<(i, j, k) -> (k)>] {
  ^bb0(%a0: f32, %a1: f32, %a2: f32):
    %i_n = arith.constant 0.25 : f32
    %i_e = arith.constant 1.0e-5 : f32
    %i_m = arith.mulf %a1, %i_n : f32
    %i_p = arith.addf %i_m, %i_e : f32
    %i_q = math.sqrt %i_p : f32
    %i_d = arith.divf %a0, %i_q : f32
    %i_r = arith.mulf %i_d, %a2 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4x4xf32>
  %q0 = ltc.contract %h [0, 1, 2], %wq [3, 4, 5, 2] -> [0, 1, 3, 4, 5] : tensor<2x4x4xf32>, tensor<1x2x2x4xf32> -> tensor<2x4x1x2x2xf32>
  %k0 = ltc.contract %h [0, 1, 2], %wk [3, 4, 2] -> [0, 1, 3, 4] : tensor<2x4x4xf32>, tensor<1x2x4xf32> -> tensor<2x4x1x2xf32>
  %v = ltc.contract %h [0, 1, 2], %wv [3, 4, 2] -> [0, 1, 3, 4] : tensor<2x4x4xf32>, tensor<1x2x4xf32> -> tensor<2x4x1x2xf32>
  %qlo = ltc.slice %q0 along 4 from 0 : tensor<2x4x1x2x2xf32> -> tensor<2x4x1x2x1xf32>
  %qhi = ltc.slice %q0 along 4 from 1 : tensor<2x4x1x2x2xf32> -> tensor<2x4x1x2x1xf32>
  %qp = ltc.map(%qlo, %qhi) maps [affine_map<(i, j, k, l, m) -> (i, j, k, l, m)>, affine_map<(i, j, k, l, m) -> (i, j, k, l, m)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_t = ltc.index 1 : i32
    %i_f = arith.sitofp %i_t : i32 to f32
    %i_c = math.cos %i_f : f32
    %i_s = math.sin %i_f : f32
    %i_u = arith.mulf %a0, %i_c : f32
    %i_v = arith.mulf %a1, %i_s : f32
    %i_r = arith.subf %i_u, %i_v : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x1x2x1xf32>, tensor<2x4x1x2x1xf32>) -> tensor<2x4x1x2x1xf32>
  %qq = ltc.map(%qhi, %qlo) maps [affine_map<(i, j, k, l, m) -> (i, j, k, l, m)>, affine_map<(i, j, k, l, m) -> (i, j, k, l, m)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_t = ltc.index 1 : i32
    %i_f = arith.sitofp %i_t : i32 to f32
    %i_c = math.cos %i_f : f32
    %i_s = math.sin %i_f : f32
    %i_u = arith.mulf %a0, %i_c : f32
    %i_v = arith.mulf %a1, %i_s : f32
    %i_r = arith.addf %i_u, %i_v : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x1x2x1xf32>, tensor<2x4x1x2x1xf32>) -> tensor<2x4x1x2x1xf32>
  %q = ltc.join %qp, %qq along 4 : tensor<2x4x1x2x1xf32>, tensor<2x4x1x2x1xf32> -> tensor<2x4x1x2x2xf32>
  %klo = ltc.slice %k0 along 3 from 0 : tensor<2x4x1x2xf32> -> tensor<2x4x1x1xf32>
  %khi = ltc.slice %k0 along 3 from 1 : tensor<2x4x1x2xf32> -> tensor<2x4x1x1xf32>
  %kp = ltc.map(%klo, %khi) maps [affine_map<(i, j, k, l) -> (i, j, k, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_t = ltc.index 1 : i32
    %i_f = arith.sitofp %i_t : i32 to f32
    %i_c = math.cos %i_f : f32
    %i_s = math.sin %i_f : f32
    %i_u = arith.mulf %a0, %i_c : f32
    %i_v = arith.mulf %a1, %i_s : f32
    %i_r = arith.subf %i_u, %i_v : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x1x1xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x1x1xf32>
  %kq = ltc.map(%khi, %klo) maps [affine_map<(i, j, k, l) -> (i, j, k, l)>, affine_map<(i, j, k, l) -> (i, j, k, l)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_t = ltc.index 1 : i32
    %i_f = arith.sitofp %i_t : i32 to f32
    %i_c = math.cos %i_f : f32
    %i_s = math.sin %i_f : f32
    %i_u = arith.mulf %a0, %i_c : f32
    %i_v = arith.mulf %a1, %i_s : f32
    %i_r = arith.addf %i_u, %i_v : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x1x1xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x1x1xf32>
  %k = ltc.join %kp, %kq along 3 : tensor<2x4x1x1xf32>, tensor<2x4x1x1xf32> -> tensor<2x4x1x2xf32>
  %o, %lse = ltc.attention %q, %k, %v reads %document, %document
      [affine_map<(b, g, r, t, u) -> (b, t)>, affine_map<(b, g, r, t, u) -> (b, u)>] scale 0.7071 keep {
  ^bb0(%it: i32, %iu: i32, %idt: i32, %idu: i32):
    %ic = arith.cmpi sle, %iu, %it : i32
    %id = arith.cmpi eq, %idt, %idu : i32
    %ie = arith.andi %ic, %id : i1
    ltc.yield %ie : i1
  } score {} : (tensor<2x4x1x2x2xf32>, tensor<2x4x1x2xf32>, tensor<2x4x1x2xf32>, tensor<2x4xi32>, tensor<2x4xi32>)
      -> (tensor<2x4x1x2x2xf32>, tensor<2x4x1x2xf32>)
  %ao = ltc.contract %o [0, 1, 2, 3, 4], %wo [5, 2, 3, 4] -> [0, 1, 5] : tensor<2x4x1x2x2xf32>, tensor<4x1x2x2xf32> -> tensor<2x4x4xf32>
  %x1 = ltc.map(%x, %ao) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_r = arith.addf %a0, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %h2sq = ltc.map(%x1) maps [affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32):
    %i_r = arith.mulf %a0, %a0 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %h2s = ltc.reduce sum %h2sq over [2] : tensor<2x4x4xf32> -> tensor<2x4xf32>
  %h2 = ltc.map(%x1, %h2s, %g2) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>, affine_map<(i, j, k) -> (k)>] {
  ^bb0(%a0: f32, %a1: f32, %a2: f32):
    %i_n = arith.constant 0.25 : f32
    %i_e = arith.constant 1.0e-5 : f32
    %i_m = arith.mulf %a1, %i_n : f32
    %i_p = arith.addf %i_m, %i_e : f32
    %i_q = math.sqrt %i_p : f32
    %i_d = arith.divf %a0, %i_q : f32
    %i_r = arith.mulf %i_d, %a2 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4x4xf32>
  %gate = ltc.contract %h2 [0, 1, 2], %wg [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<6x4xf32> -> tensor<2x4x6xf32>
  %up = ltc.contract %h2 [0, 1, 2], %wu [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<6x4xf32> -> tensor<2x4x6xf32>
  %act = ltc.map(%gate, %up) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_one = arith.constant 1.0 : f32
    %i_n = arith.negf %a0 : f32
    %i_e = math.exp %i_n : f32
    %i_s = arith.addf %i_one, %i_e : f32
    %i_y = arith.divf %a0, %i_s : f32
    %i_r = arith.mulf %i_y, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x6xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %down = ltc.contract %act [0, 1, 2], %wd [3, 2] -> [0, 1, 3] : tensor<2x4x6xf32>, tensor<4x6xf32> -> tensor<2x4x4xf32>
  %y = ltc.map(%x1, %down) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_r = arith.addf %a0, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  return %y : tensor<2x4x4xf32>
}

func.func @loss(
    %embed: tensor<7x4xf32> {ltc.bind = {class = "parameter", name = "embed"}},
    %g1_0: tensor<4xf32> {ltc.bind = {class = "parameter", name = "g1_0"}},
    %wq_0: tensor<1x2x2x4xf32> {ltc.bind = {class = "parameter", name = "wq_0"}},
    %wk_0: tensor<1x2x4xf32> {ltc.bind = {class = "parameter", name = "wk_0"}},
    %wv_0: tensor<1x2x4xf32> {ltc.bind = {class = "parameter", name = "wv_0"}},
    %wo_0: tensor<4x1x2x2xf32> {ltc.bind = {class = "parameter", name = "wo_0"}},
    %g2_0: tensor<4xf32> {ltc.bind = {class = "parameter", name = "g2_0"}},
    %wg_0: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "wg_0"}},
    %wu_0: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "wu_0"}},
    %wd_0: tensor<4x6xf32> {ltc.bind = {class = "parameter", name = "wd_0"}},
    %g1_1: tensor<4xf32> {ltc.bind = {class = "parameter", name = "g1_1"}},
    %wq_1: tensor<1x2x2x4xf32> {ltc.bind = {class = "parameter", name = "wq_1"}},
    %wk_1: tensor<1x2x4xf32> {ltc.bind = {class = "parameter", name = "wk_1"}},
    %wv_1: tensor<1x2x4xf32> {ltc.bind = {class = "parameter", name = "wv_1"}},
    %wo_1: tensor<4x1x2x2xf32> {ltc.bind = {class = "parameter", name = "wo_1"}},
    %g2_1: tensor<4xf32> {ltc.bind = {class = "parameter", name = "g2_1"}},
    %wg_1: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "wg_1"}},
    %wu_1: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "wu_1"}},
    %wd_1: tensor<4x6xf32> {ltc.bind = {class = "parameter", name = "wd_1"}},
    %norm: tensor<4xf32> {ltc.bind = {class = "parameter", name = "norm"}},
    %tokens: tensor<2x4xi32> {ltc.bind = {class = "input", name = "tokens"}},
    %document: tensor<2x4xi32> {ltc.bind = {class = "input", name = "document"}},
    %labels: tensor<2x4xi32> {ltc.bind = {class = "input", name = "labels"}},
    %mask: tensor<2x4xf32> {ltc.bind = {class = "input", name = "mask"}}) -> (tensor<f32>, tensor<f32>) {
  %x0 = ltc.gather %embed at %tokens : tensor<7x4xf32>, tensor<2x4xi32> -> tensor<2x4x4xf32>
  %x1 = func.call @layer(%x0, %document, %g1_0, %wq_0, %wk_0, %wv_0, %wo_0, %g2_0, %wg_0, %wu_0, %wd_0) : (tensor<2x4x4xf32>, tensor<2x4xi32>, tensor<4xf32>, tensor<1x2x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<4x1x2x2xf32>, tensor<4xf32>, tensor<6x4xf32>, tensor<6x4xf32>, tensor<4x6xf32>) -> tensor<2x4x4xf32>
  %x2 = func.call @layer(%x1, %document, %g1_1, %wq_1, %wk_1, %wv_1, %wo_1, %g2_1, %wg_1, %wu_1, %wd_1) : (tensor<2x4x4xf32>, tensor<2x4xi32>, tensor<4xf32>, tensor<1x2x2x4xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>, tensor<4x1x2x2xf32>, tensor<4xf32>, tensor<6x4xf32>, tensor<6x4xf32>, tensor<4x6xf32>) -> tensor<2x4x4xf32>
  %hsq = ltc.map(%x2) maps [affine_map<(i, j, k) -> (i, j, k)>] {
  ^bb0(%a0: f32):
    %i_r = arith.mulf %a0, %a0 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %hs = ltc.reduce sum %hsq over [2] : tensor<2x4x4xf32> -> tensor<2x4xf32>
  %h = ltc.map(%x2, %hs, %norm) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>, affine_map<(i, j, k) -> (k)>] {
  ^bb0(%a0: f32, %a1: f32, %a2: f32):
    %i_n = arith.constant 0.25 : f32
    %i_e = arith.constant 1.0e-5 : f32
    %i_m = arith.mulf %a1, %i_n : f32
    %i_p = arith.addf %i_m, %i_e : f32
    %i_q = math.sqrt %i_p : f32
    %i_d = arith.divf %a0, %i_q : f32
    %i_r = arith.mulf %i_d, %a2 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x4xf32>, tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4x4xf32>
  %logits = ltc.contract %h [0, 1, 2], %embed [3, 2] -> [0, 1, 3] : tensor<2x4x4xf32>, tensor<7x4xf32> -> tensor<2x4x7xf32>
  %m = ltc.reduce max %logits over [2] : tensor<2x4x7xf32> -> tensor<2x4xf32>
  %e = ltc.map(%logits, %m) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_d = arith.subf %a0, %a1 : f32
    %i_r = math.exp %i_d : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x7xf32>, tensor<2x4xf32>) -> tensor<2x4x7xf32>
  %s = ltc.reduce sum %e over [2] : tensor<2x4x7xf32> -> tensor<2x4xf32>
  %z = ltc.map(%s, %m) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_l = math.log %a0 : f32
    %i_r = arith.addf %i_l, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %pick = ltc.map(%logits, %labels) maps [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>] {
  ^bb0(%a0: f32, %a1: i32):
    %i_i = ltc.index 2 : i32
    %i_c = arith.cmpi eq, %i_i, %a1 : i32
    %i_n = arith.constant 0.0 : f32
    %i_r = arith.select %i_c, %a0, %i_n : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4x7xf32>, tensor<2x4xi32>) -> tensor<2x4x7xf32>
  %p = ltc.reduce sum %pick over [2] : tensor<2x4x7xf32> -> tensor<2x4xf32>
  %nll = ltc.map(%z, %p) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_r = arith.subf %a0, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %ce = ltc.contract %nll [0, 1], %mask [0, 1] -> [] : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<f32>
  %zz = ltc.map(%z, %mask) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>] {
  ^bb0(%a0: f32, %a1: f32):
    %i_q = arith.mulf %a0, %a0 : f32
    %i_r = arith.mulf %i_q, %a1 : f32
    ltc.yield %i_r : f32
  } : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %zs = ltc.reduce sum %zz over [0, 1] : tensor<2x4xf32> -> tensor<f32>
  return %ce, %zs : tensor<f32>, tensor<f32>
}
}
