// RUN: ltc-opt %s --ltc-form-kernels=report=%t.txt -o /dev/null && FileCheck %s --input-file=%t.txt
// RUN: ltc-opt %s --ltc-form-kernels=report=%t.json -o /dev/null && FileCheck %s --input-file=%t.json --check-prefix=JSON
// RUN: not ltc-opt %s --ltc-form-kernels=report=%t.none/x -o /dev/null 2>&1 | FileCheck %s --check-prefix=NOWHERE

// The sums are made before the product of them; the second
// function launches the same kernels.
// CHECK: @first.0.{{[a-z]+}} ({{[a-z]+}}) in @first @second
// CHECK-NEXT: a.ltc:3:5: ltc.reduce
// CHECK: @first.1.contract (contract) in @first @second
// CHECK-NEXT: a.ltc:4:7: ltc.contract
// CHECK-NEXT: a.ltc:5:9: ltc.map
// CHECK: a.ltc:4:7: @first: not fused with a.ltc:3:5: a contraction meets only maps in its kernel

// JSON: "kernels": [
// JSON: "name": "first.1.contract",
// JSON-NEXT: "form": "contract",
// JSON-NEXT: "functions": [
// JSON-NEXT: "first",
// JSON-NEXT: "second"
// JSON: "line": "a.ltc:4:7",
// JSON-NEXT: "op": "ltc.contract"
// JSON: "line": "a.ltc:5:9",
// JSON-NEXT: "op": "ltc.map"
// JSON: "not_fused": [
// JSON: "function": "first",
// JSON-NEXT: "line": "a.ltc:4:7",
// JSON-NEXT: "why": "a contraction meets only maps in its kernel",
// JSON-NEXT: "with": "a.ltc:3:5"

// NOWHERE: error: cannot write the fusion report: '{{.*}}none/x': {{.*}}o such file
#point = affine_map<(i, j) -> (i, j)>
func.func @first(%x: tensor<4x8x3xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %s = ltc.reduce sum %x over [2] : tensor<4x8x3xf32> -> tensor<4x8xf32> loc("a.ltc":3:5)
  %c = ltc.contract %s [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32> loc("a.ltc":4:7)
  %y = ltc.map(%c) maps [#point] {
  ^bb0(%a: f32):
    %r = arith.addf %a, %a : f32
    ltc.yield %r : f32
  } : (tensor<4x6xf32>) -> tensor<4x6xf32> loc("a.ltc":5:9)
  return %y : tensor<4x6xf32>
}
func.func @second(%x: tensor<4x8x3xf32>, %w: tensor<6x8xf32>) -> tensor<4x6xf32> {
  %s = ltc.reduce sum %x over [2] : tensor<4x8x3xf32> -> tensor<4x8xf32> loc("a.ltc":3:5)
  %c = ltc.contract %s [0, 1], %w [2, 1] -> [0, 2] : tensor<4x8xf32>, tensor<6x8xf32> -> tensor<4x6xf32> loc("a.ltc":4:7)
  %y = ltc.map(%c) maps [#point] {
  ^bb0(%a: f32):
    %r = arith.addf %a, %a : f32
    ltc.yield %r : f32
  } : (tensor<4x6xf32>) -> tensor<4x6xf32> loc("a.ltc":5:9)
  return %y : tensor<4x6xf32>
}
