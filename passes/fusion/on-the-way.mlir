// RUN: ltc-opt %s --ltc-form-kernels=report=%t.txt | FileCheck %s
// RUN: FileCheck %s --input-file=%t.txt --check-prefix=WHY

#row = affine_map<(t, d) -> (t, d)>
#left = affine_map<(t, d) -> (t)>
#last = affine_map<(t, d) -> (d)>

// A cast of one operand; scales of the other, by row and by column; and what
// follows the sum.
// CHECK-LABEL: func.func @both
// CHECK: ltc.launch @both.0.contract(%arg0, %arg1, %arg2, %arg3)
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @costly
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @many
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @two_readers
// CHECK-COUNT-3: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @result
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @other_space
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @other_point
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @square
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @grouped
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @stored_over
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK-LABEL: func.func @random
// CHECK-COUNT-2: ltc.launch
// CHECK-NOT: ltc.launch
// CHECK: ltc.kernel @both.0.contract
// CHECK: arith.mulf
// CHECK: arith.truncf
// CHECK: arith.truncf
// CHECK: ltc.contract
// CHECK: arith.addf
// CHECK: ltc.yield
func.func @both(%x: tensor<4x8xf32>, %s: tensor<4xf32>, %g: tensor<8xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %n = ltc.map(%x, %s, %g) maps [#row, #left, #last] {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.mulf %p, %c : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>, tensor<4xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  %xb = ltc.map(%n) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.truncf %a : f32 to bf16
    ltc.yield %q : bf16
  } : (tensor<4x8xf32>) -> tensor<4x8xbf16>
  %wb = ltc.map(%w) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.truncf %a : f32 to bf16
    ltc.yield %q : bf16
  } : (tensor<6x8xf32>) -> tensor<6x8xbf16>
  %c = ltc.contract %xb [0, 1], %wb [2, 1] -> [0, 2] : tensor<4x8xbf16>, tensor<6x8xbf16> -> tensor<4x6xf32>
  %y = ltc.map(%c) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x6xf32>) -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// WHY-DAG: @costly: not fused with {{.*}}: costly work is not done again for each tile of a contraction
func.func @costly(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = math.tanh %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}

// WHY-DAG: @many: not fused with {{.*}}: costly work is not done again for each tile of a contraction
func.func @many(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %p = arith.mulf %a, %a : f32
    %q = arith.mulf %p, %a : f32
    %r = arith.mulf %q, %a : f32
    ltc.yield %r : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %o = ltc.map(%n) maps [#row] {
  ^bb0(%a: f32):
    %p = arith.addf %a, %a : f32
    %q = arith.addf %p, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %o [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}

// WHY-DAG: @two_readers: not fused with {{.*}}: what others read too is made once, not on the way into each contraction
func.func @two_readers(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>, %v: tensor<6x8xf32>) -> (tensor<4x6xf32>, tensor<4x6xf32>) {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  %e = ltc.contract %n [0, 1], %v [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c, %e : tensor<4x6xf32>, tensor<4x6xf32>
}

// WHY-DAG: @result: not fused with {{.*}}: what others read too is made once, not on the way into each contraction
func.func @result(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>) -> (tensor<4x6xf32>, tensor<4x8xf32>) {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c, %n : tensor<4x6xf32>, tensor<4x8xf32>
}

// The row's value is not of the operand's space.
// WHY-DAG: @other_space: not fused with {{.*}}: a contraction's operand is made point by point
func.func @other_space(%x: tensor<4x8xf32>, %s: tensor<4xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %r = ltc.map(%s) maps [affine_map<(t) -> (t)>] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4xf32>) -> tensor<4xf32>
  %n = ltc.map(%x, %r) maps [#row, #left] {
  ^bb0(%a: f32, %b: f32):
    %q = arith.mulf %a, %b : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>, tensor<4xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}

// What reads other points is made on the way, but not what it reads.
func.func @other_point(%x: tensor<4x4x8xf32>, %w: tensor<6x8xf32>) -> tensor<4x4x6xf32> {
  %r = ltc.map(%x) maps [affine_map<(s, t, d) -> (s, t, d)>] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x4x8xf32>) -> tensor<4x4x8xf32>
  %n = ltc.map(%r) maps [affine_map<(s, t, d) -> (t, s, d)>] {
  ^bb0(%a: f32):
    %q = arith.mulf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x4x8xf32>) -> tensor<4x4x8xf32>
  %c = ltc.contract %n [0, 1, 2], %w [3, 2] -> [0, 1, 3] : tensor<4x4x8xf32>, tensor<6x8xf32> -> tensor<4x4x6xf32>
  return %c : tensor<4x4x6xf32>
}

// WHY-DAG: @square: not fused with {{.*}}: one value would be made for both operands
func.func @square(%x: tensor<4x8xf32>) -> tensor<4x4xf32> {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %n [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<4x8xf32> -> tensor<4x4xf32>
  return %c : tensor<4x4xf32>
}

// WHY-DAG: @grouped: not fused with {{.*}}: a grouped contraction reads its operands where they lie
func.func @grouped(%x: tensor<4x8xf32>, %w: tensor<3x8x6xf32>, %o: tensor<4xi32>) -> tensor<4x6xf32> {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.grouped_contract %n [0, 1], %w [3, 1, 2] by %o row 0 group 3 -> [0, 2]
      : tensor<4x8xf32>, tensor<3x8x6xf32>, tensor<4xi32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}

// The sum is stored over what the map would still read for other tiles.
// WHY-DAG: @stored_over: not fused with {{.*}}: an input stored over is read at other points
func.func @stored_over(%x: tensor<8x8xf32> {ltc.bind = {class = "state", name = "x"}}, %w: tensor<8x8xf32>)
    -> (tensor<8x8xf32> {ltc.bind = {class = "state", name = "x"}}) {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %q = arith.addf %a, %a : f32
    ltc.yield %q : f32
  } : (tensor<8x8xf32>) -> tensor<8x8xf32>
  %c = ltc.contract %n [0, 1], %w [1, 2] -> [0, 2] : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  return %c : tensor<8x8xf32>
}

// A random number costs some tens of operations.
// WHY-DAG: @random: not fused with {{.*}}: costly work is not done again for each tile of a contraction
func.func @random(%x: tensor<4x8xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %n = ltc.map(%x) maps [#row] {
  ^bb0(%a: f32):
    %k = arith.constant 7 : i64
    %r = ltc.random %k, %k key %k : i64 -> i32
    %z = arith.constant 0 : i32
    %c = arith.cmpi sgt, %r, %z : i32
    %q = arith.addf %a, %a : f32
    %s = arith.select %c, %a, %q : f32
    ltc.yield %s : f32
  } : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = ltc.contract %n [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32>
  return %c : tensor<4x6xf32>
}
