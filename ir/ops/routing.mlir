// RUN: ltc-opt %s --split-input-file --verify-diagnostics | ltc-opt --split-input-file | FileCheck %s
// Every op of Routing.td prints what it parses; one refused case a constraint.

// CHECK-LABEL: @layer
func.func @layer(%x: tensor<2x3x4xf32>, %p: tensor<2x3x5xf32>, %w: tensor<5x6x4xf32>) -> tensor<2x3x6xf32> {
  // CHECK: ltc.top_k
  %v, %c = ltc.top_k %p : tensor<2x3x5xf32> -> tensor<2x3x2xf32>, tensor<2x3x2xi32>
  // CHECK: ltc.route
  %slot, %place, %group, %offsets = ltc.route %c : tensor<2x3x2xi32>
    -> tensor<12xi32>, tensor<2x3x2xi32>, tensor<12xi32>, tensor<6xi32>
  // CHECK: ltc.dispatch %{{.*}} by %{{.*}}, %{{.*}} each 2
  %y = ltc.dispatch %x by %slot, %place each 2
    : tensor<2x3x4xf32>, tensor<12xi32>, tensor<2x3x2xi32> -> tensor<12x4xf32>
  // CHECK: ltc.grouped_contract %{{.*}}[0, 1], %{{.*}}[2, 3, 1] by %{{.*}} row 0 group 2 -> [0, 3]
  %z = ltc.grouped_contract %y [0, 1], %w [2, 3, 1] by %offsets row 0 group 2 -> [0, 3]
    : tensor<12x4xf32>, tensor<5x6x4xf32>, tensor<6xi32> -> tensor<12x6xf32>
  // CHECK: ltc.combine %{{.*}} by %{{.*}}, %{{.*}} each 2
  %o = ltc.combine %z by %slot, %place each 2
    : tensor<12x6xf32>, tensor<12xi32>, tensor<2x3x2xi32> -> tensor<2x3x6xf32>
  return %o : tensor<2x3x6xf32>
}
// -----
func.func @top_k_c1(%p: tensor<2x3xf32>) {
  // expected-error@+1 {{(C1) expects results like 'tensor<2x3xf32>' but for a last dimension of at most 3}}
  %v, %c = ltc.top_k %p : tensor<2x3xf32> -> tensor<2x4xf32>, tensor<2x4xi32>
  return
}
// -----
func.func @top_k_c2(%p: tensor<2x3xf32>) {
  // expected-error@+1 {{(C2) expects an i32 choice}}
  %v, %c = ltc.top_k %p : tensor<2x3xf32> -> tensor<2x1xf32>, tensor<2x1xi64>
  return
}
// -----
func.func @route_c1(%c: tensor<2x3xi32>) {
  // expected-error@+1 {{(C1) expects a place of choice's shape, and a slot and a group of 6 elements}}
  %s, %p, %g, %o = ltc.route %c : tensor<2x3xi32> -> tensor<5xi32>, tensor<2x3xi32>, tensor<6xi32>, tensor<3xi32>
  return
}
// -----
func.func @route_c2(%c: tensor<2x3xi64>) {
  // expected-error@+1 {{(C2) expects i32, found 'tensor<2x3xi64>'}}
  %s, %p, %g, %o = ltc.route %c : tensor<2x3xi64> -> tensor<6xi32>, tensor<2x3xi32>, tensor<6xi32>, tensor<3xi32>
  return
}
// -----
func.func @route_c3(%c: tensor<2xi32>) {
  // expected-error@+1 {{(C3) expects offsets of at least two elements}}
  %s, %p, %g, %o = ltc.route %c : tensor<2xi32> -> tensor<2xi32>, tensor<2xi32>, tensor<2xi32>, tensor<1xi32>
  return
}
// -----
func.func @dispatch_c1(%x: tensor<3x4xf32>, %s: tensor<5xi32>, %p: tensor<3x2xi32>) {
  // expected-error@+1 {{(C1) expects slot and place in i32, of one size}}
  %y = ltc.dispatch %x by %s, %p each 2 : tensor<3x4xf32>, tensor<5xi32>, tensor<3x2xi32> -> tensor<5x4xf32>
  return
}
// -----
func.func @combine_c2(%y: tensor<6x4xf32>, %s: tensor<6xi32>, %p: tensor<3x2xi32>) {
  // expected-error@+1 {{(C2) expects each to be 1 or place's last dimension, found 3}}
  %x = ltc.combine %y by %s, %p each 3 : tensor<6x4xf32>, tensor<6xi32>, tensor<3x2xi32> -> tensor<2x4xf32>
  return
}
// -----
func.func @dispatch_c3(%x: tensor<3x4xf32>, %s: tensor<6xi32>, %p: tensor<3x2xi32>) {
  // expected-error@+1 {{(C3) expects the dimensions of 'tensor<3x2xi32>' and then those of a row}}
  %y = ltc.dispatch %x by %s, %p each 2 : tensor<3x4xf32>, tensor<6xi32>, tensor<3x2xi32> -> tensor<6x5xf32>
  return
}
// -----
func.func @grouped_c2(%x: tensor<6x4xf32>, %w: tensor<2x3x4xf32>, %o: tensor<2xi32>) {
  // expected-error@+1 {{(C2) expects i32 offsets with 3 elements, found 'tensor<2xi32>'}}
  %y = ltc.grouped_contract %x [0, 1], %w [2, 3, 1] by %o row 0 group 2 -> [0, 3]
    : tensor<6x4xf32>, tensor<2x3x4xf32>, tensor<2xi32> -> tensor<6x3xf32>
  return
}
// -----
func.func @grouped_c3(%x: tensor<6x4xf32>, %w: tensor<2x3x4xf32>, %o: tensor<3xi32>) {
  // expected-error@+1 {{(C3) expects the row in one operand and the result and the group in the other operand}}
  %y = ltc.grouped_contract %x [0, 1], %w [2, 3, 1] by %o row 0 group 2 -> [0, 2, 3]
    : tensor<6x4xf32>, tensor<2x3x4xf32>, tensor<3xi32> -> tensor<6x2x3xf32>
  return
}
// -----
func.func @grouped_c4(%x: tensor<6x4xf32>, %w: tensor<2x3x5xf32>, %o: tensor<3xi32>) {
  // expected-error@+1 {{(C4) expects label 1 in both operands, or in one and in the result}}
  %y = ltc.grouped_contract %x [0, 1], %w [2, 3, 4] by %o row 0 group 2 -> [0, 3, 4]
    : tensor<6x4xf32>, tensor<2x3x5xf32>, tensor<3xi32> -> tensor<6x3x5xf32>
  return
}
