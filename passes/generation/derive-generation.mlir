// RUN: ltc-opt %s --split-input-file --ltc-derive-generation="chunk=2" | FileCheck %s
// A window's logits become steps with caches.

// A block is derived once for each chunk and called with each layer's caches.
// CHECK-LABEL: func.func @predict
// CHECK: func.func private @decode.layer(%{{.*}}: tensor<1x1x4xf32>, %[[DOC:.*]]: tensor<1x1xi32>, %[[PAST:.*]]: tensor<i32>, %[[KEYS:.*]]: tensor<1x6x1x4xf32>, %[[VALUES:.*]]: tensor<1x6x1x4xf32>, %[[DOCS:.*]]: tensor<1x6xi32>)
// CHECK: %[[K:.*]] = ltc.append %[[KEYS]], %{{.*}} at %[[PAST]] along 1
// CHECK: %[[V:.*]] = ltc.append %[[VALUES]], %{{.*}} at %[[PAST]] along 1
// CHECK: %[[D:.*]] = ltc.append %[[DOCS]], %[[DOC]] at %[[PAST]] along 1
// CHECK: ltc.attention %{{.*}}, %[[K]], %[[V]] offset %[[PAST]] reads %[[DOC]], %[[D]]
// CHECK: return %{{.*}}, %[[K]], %[[V]], %[[D]]
// CHECK: func.func @decode(
// CHECK-SAME: tensor<1x1xi32> {ltc.bind = {class = "input", kind = "token", name = "tokens"}}
// CHECK-SAME: tensor<i32> {ltc.bind = {class = "past"}}
// CHECK-SAME: {ltc.bind = {class = "cache", name = "layer.0.key"}}
// CHECK-SAME: {ltc.bind = {class = "cache", name = "layer.1.extra1"}}
// CHECK-SAME: -> (tensor<4xf32> {ltc.bind = {class = "output", name = "logits"}}
// CHECK-SAME: attributes {ltc.length = 1 : i64}
// The position that is asked for is counted from the first of all.
// CHECK: call @decode.layer
// CHECK: call @decode.layer
// CHECK: ltc.map(%{{.*}}, %{{.*}}, %{{.*}}) maps
// CHECK: %[[I:.*]] = ltc.index 1
// CHECK: arith.addi %[[I]], %{{.*}} : i32
// CHECK: ltc.reduce sum %{{.*}} over [0, 1] : tensor<1x1x4xf32> -> tensor<4xf32>
// CHECK: func.func private @prefill.layer(%{{.*}}: tensor<1x2x4xf32>
// CHECK: func.func @prefill(
// CHECK-SAME: -> (tensor<1x6x1x4xf32> {ltc.bind = {class = "cache", name = "layer.0.key"}}
// CHECK-SAME: attributes {ltc.length = 2 : i64}
module attributes {ltc.length = 6 : i64} {
func.func private @predict.layer(%x: tensor<1x6x4xf32>, %doc: tensor<1x6xi32>) -> tensor<1x6x4xf32> {
  %q = ltc.reshape %x : tensor<1x6x4xf32> -> tensor<1x6x1x1x4xf32>
  %k = ltc.reshape %x : tensor<1x6x4xf32> -> tensor<1x6x1x4xf32>
  %o, %l = ltc.attention %q, %k, %k reads %doc, %doc
    [affine_map<(b, g, r, t, u) -> (b, t)>, affine_map<(b, g, r, t, u) -> (b, u)>] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32, %dt: i32, %du: i32):
    %c = arith.cmpi sle, %u, %t : i32
    %d = arith.cmpi eq, %dt, %du : i32
    %e = arith.andi %c, %d : i1
    ltc.yield %e : i1
  } score {} : (tensor<1x6x1x1x4xf32>, tensor<1x6x1x4xf32>, tensor<1x6x1x4xf32>, tensor<1x6xi32>, tensor<1x6xi32>)
    -> (tensor<1x6x1x1x4xf32>, tensor<1x6x1x1xf32>)
  %y = ltc.reshape %o : tensor<1x6x1x1x4xf32> -> tensor<1x6x4xf32>
  return %y : tensor<1x6x4xf32>
}
func.func @predict(%w: tensor<7x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                   %tokens: tensor<1x6xi32> {ltc.bind = {class = "input", kind = "token", name = "tokens"}},
                   %doc: tensor<1x6xi32> {ltc.bind = {class = "input", kind = "document", name = "document"}},
                   %p: tensor<i32> {ltc.bind = {class = "position"}})
    -> (tensor<4xf32> {ltc.bind = {class = "output", name = "logits"}}) {
  %x = ltc.gather %w at %tokens : tensor<7x4xf32>, tensor<1x6xi32> -> tensor<1x6x4xf32>
  %y = func.call @predict.layer(%x, %doc) : (tensor<1x6x4xf32>, tensor<1x6xi32>) -> tensor<1x6x4xf32>
  %z = func.call @predict.layer(%y, %doc) : (tensor<1x6x4xf32>, tensor<1x6xi32>) -> tensor<1x6x4xf32>
  %h = ltc.map(%z, %p) maps [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> ()>] {
  ^bb0(%a: f32, %i: i32):
    %t = ltc.index 1 : i32
    %c = arith.cmpi eq, %t, %i : i32
    %n = arith.constant 0.0 : f32
    %r = arith.select %c, %a, %n : f32
    ltc.yield %r : f32
  } : (tensor<1x6x4xf32>, tensor<i32>) -> tensor<1x6x4xf32>
  %r = ltc.reduce sum %h over [0, 1] : tensor<1x6x4xf32> -> tensor<4xf32>
  return %r : tensor<4xf32>
}
}

// -----

// A shift keeps the rows that the next step reaches back to.
// CHECK-LABEL: func.func @predict
// CHECK: func.func @decode(
// CHECK-SAME: %[[W:[a-z0-9]*]]: tensor<1x2x4xf32> {ltc.bind = {class = "cache", name = "shift"}}
// CHECK: %[[ALL:.*]] = ltc.join %[[W]], %[[X:.*]] along 1 : tensor<1x2x4xf32>, tensor<1x1x4xf32> -> tensor<1x3x4xf32>
// CHECK: %[[NEXT:.*]] = ltc.slice %[[ALL]] along 1 from 1 : tensor<1x3x4xf32> -> tensor<1x2x4xf32>
// CHECK: ltc.slice %[[ALL]] along 1 from 0 : tensor<1x3x4xf32> -> tensor<1x1x4xf32>
// CHECK: return %{{.*}}, %[[NEXT]]
module attributes {ltc.length = 6 : i64} {
func.func @predict(%w: tensor<7x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                   %tokens: tensor<1x6xi32> {ltc.bind = {class = "input", kind = "token", name = "tokens"}})
    -> (tensor<1x6x4xf32> {ltc.bind = {class = "output", name = "logits"}}) {
  %x = ltc.gather %w at %tokens : tensor<7x4xf32>, tensor<1x6xi32> -> tensor<1x6x4xf32>
  %y = ltc.shift %x by 2 along 1 : tensor<1x6x4xf32> -> tensor<1x6x4xf32>
  return %y : tensor<1x6x4xf32>
}
}

// -----

// What no input makes is made for the step's times; a parameter is read there.
// CHECK-LABEL: func.func @predict
// CHECK: func.func @decode(
// CHECK-SAME: %[[P:[a-z0-9]*]]: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "p"}}
// CHECK: %[[IDS:.*]] = ltc.map(%{{.*}}) maps
// CHECK: ltc.gather %[[P]] at %[[IDS]] : tensor<6x4xf32>, tensor<1xi32> -> tensor<1x4xf32>
// CHECK: ltc.map(%{{.*}}) maps {{.*}} {
// CHECK: ltc.index 0
// CHECK: arith.addi
// CHECK: -> tensor<1x4xf32>
// CHECK: return %{{.*}} : tensor<1x1x4xf32>
module attributes {ltc.length = 6 : i64} {
func.func @predict(%w: tensor<7x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                   %p: tensor<6x4xf32> {ltc.bind = {class = "parameter", name = "p"}},
                   %tokens: tensor<1x6xi32> {ltc.bind = {class = "input", kind = "token", name = "tokens"}})
    -> (tensor<1x6x4xf32> {ltc.bind = {class = "output", name = "logits"}}) {
  %x = ltc.gather %w at %tokens : tensor<7x4xf32>, tensor<1x6xi32> -> tensor<1x6x4xf32>
  %s = ltc.map() maps [] {
    %i = ltc.index 0 : i32
    %f = arith.sitofp %i : i32 to f32
    %n = math.sin %f : f32
    ltc.yield %n : f32
  } : () -> tensor<6x4xf32>
  %y = ltc.map(%x, %p, %s) maps [affine_map<(b, t, d) -> (b, t, d)>, affine_map<(b, t, d) -> (t, d)>, affine_map<(b, t, d) -> (t, d)>] {
  ^bb0(%a: f32, %c: f32, %d: f32):
    %e = arith.addf %a, %c : f32
    %f = arith.addf %e, %d : f32
    ltc.yield %f : f32
  } : (tensor<1x6x4xf32>, tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<1x6x4xf32>
  return %y : tensor<1x6x4xf32>
}
}

// -----

// An op that combines all times ends it, and is named.
// CHECK: module attributes {ltc.length = 6 : i64, ltc.no_cache_why = {{.*}}it combines all times"}
// CHECK-LABEL: func.func @predict
// CHECK-NOT: func.func
module attributes {ltc.length = 6 : i64} {
func.func @predict(%w: tensor<7x4xf32> {ltc.bind = {class = "parameter", name = "w"}},
                   %tokens: tensor<1x6xi32> {ltc.bind = {class = "input", kind = "token", name = "tokens"}})
    -> (tensor<4xf32> {ltc.bind = {class = "output", name = "logits"}}) {
  %x = ltc.gather %w at %tokens : tensor<7x4xf32>, tensor<1x6xi32> -> tensor<1x6x4xf32>
  %y = ltc.reduce sum %x over [0, 1] : tensor<1x6x4xf32> -> tensor<4xf32>
  return %y : tensor<4xf32>
}
}
