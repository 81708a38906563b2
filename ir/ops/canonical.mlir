// RUN: ltc-opt %s --canonicalize | FileCheck %s
// Copies are read through; scalar constants stay in their region.

// CHECK-LABEL: @map_reads_through_copies
// CHECK-NEXT: ltc.map(%arg0, %arg1) maps
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.constant
func.func @map_reads_through_copies(%x: tensor<4xf32>, %y: tensor<4x2xf32>) -> tensor<2x4xf32> {
  %b = ltc.map(%x) maps [affine_map<(i, j) -> (j)>] {
  ^bb0(%a: f32):
    ltc.yield %a : f32
  } : (tensor<4xf32>) -> tensor<2x4xf32>
  %r = ltc.map(%b, %y, %b) maps [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>] {
  ^bb0(%a: f32, %c: f32, %d: f32):
    %k = arith.constant 2.0 : f32
    %s = arith.mulf %a, %c : f32
    %t = arith.mulf %s, %k : f32
    %u = arith.addf %t, %d : f32
    ltc.yield %u : f32
  } : (tensor<2x4xf32>, tensor<4x2xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}

// CHECK-LABEL: @contract_reads_through_transposition
// CHECK-NEXT: ltc.contract %arg0 [1, 0], %arg1 [1, 2] -> [0, 2]
func.func @contract_reads_through_transposition(%x: tensor<3x2xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %t = ltc.map(%x) maps [affine_map<(i, j) -> (j, i)>] {
  ^bb0(%a: f32):
    ltc.yield %a : f32
  } : (tensor<3x2xf32>) -> tensor<2x3xf32>
  %r = ltc.contract %t [0, 1], %y [1, 2] -> [0, 2] : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
  return %r : tensor<2x4xf32>
}

// CHECK-LABEL: @reshape_back_and_forth
// CHECK-NEXT: return %arg0
func.func @reshape_back_and_forth(%x: tensor<2x6xf32>) -> tensor<2x6xf32> {
  %a = ltc.reshape %x : tensor<2x6xf32> -> tensor<2x3x2xf32>
  %b = ltc.reshape %a : tensor<2x3x2xf32> -> tensor<2x6xf32>
  return %b : tensor<2x6xf32>
}

// CHECK-LABEL: @scan_by_one_is_a_sum
// CHECK: ltc.scan %arg0 along 0 : tensor<4xf32>
func.func @scan_by_one_is_a_sum(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = ltc.map() maps [] {
    %k = arith.constant 1.0 : f32
    ltc.yield %k : f32
  } : () -> tensor<4xf32>
  %y = ltc.scan %x decay %a along 0 : tensor<4xf32> decay tensor<4xf32>
  return %y : tensor<4xf32>
}

// CHECK-LABEL: @scan_by_zero_or_of_one_element_is_its_input
// CHECK-NEXT: return %arg0, %arg1
func.func @scan_by_zero_or_of_one_element_is_its_input(%x: tensor<4xf32>, %z: tensor<3x1xf32>) -> (tensor<4xf32>, tensor<3x1xf32>) {
  %a = ltc.map() maps [] {
    %k = arith.constant 0.0 : f32
    ltc.yield %k : f32
  } : () -> tensor<4xf32>
  %y = ltc.scan %x decay %a along 0 : tensor<4xf32> decay tensor<4xf32>
  %u = ltc.scan %z decay %z reverse along 1 : tensor<3x1xf32> decay tensor<3x1xf32>
  return %y, %u : tensor<4xf32>, tensor<3x1xf32>
}
