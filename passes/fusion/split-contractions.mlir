// RUN: ltc-opt %s --ltc-split-contractions | FileCheck %s

// CHECK-LABEL: @dot_is_map_and_reduce
// CHECK-NOT: ltc.contract
// CHECK: ltc.map
// CHECK: ltc.reduce sum %{{.*}} over [0, 1]
func.func @dot_is_map_and_reduce(%x: tensor<2x4xf32>, %y: tensor<2x4xf32>) -> tensor<f32> {
  %s = ltc.contract %x [0, 1], %y [0, 1] -> [] : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<f32>
  return %s : tensor<f32>
}

// The gradient of a norm's weight: columns over all rows.
// CHECK-LABEL: @columns_keep_the_operands_order
// CHECK-NOT: ltc.contract
// CHECK: ltc.reduce sum %{{.*}} over [0, 1] : tensor<2x4x8xf32> -> tensor<8xf32>
func.func @columns_keep_the_operands_order(%x: tensor<2x4x8xf32>, %y: tensor<2x4x8xf32>) -> tensor<8xf32> {
  %s = ltc.contract %x [0, 1, 2], %y [0, 1, 2] -> [2] : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<8xf32>
  return %s : tensor<8xf32>
}

// CHECK-LABEL: @matrix_product_stays
// CHECK: ltc.contract
func.func @matrix_product_stays(%x: tensor<2x4x8xf32>, %y: tensor<3x8xf32>) -> tensor<2x4x3xf32> {
  %s = ltc.contract %x [0, 1, 2], %y [3, 2] -> [0, 1, 3] : tensor<2x4x8xf32>, tensor<3x8xf32> -> tensor<2x4x3xf32>
  return %s : tensor<2x4x3xf32>
}

// CHECK-LABEL: @middle_reduction_is_put_last
// CHECK: ltc.map
// CHECK: ltc.reduce max %{{.*}} over [2] : tensor<2x8x4xf32> -> tensor<2x8xf32>
func.func @middle_reduction_is_put_last(%x: tensor<2x4x8xf32>) -> tensor<2x8xf32> {
  %s = ltc.reduce max %x over [1] : tensor<2x4x8xf32> -> tensor<2x8xf32>
  return %s : tensor<2x8xf32>
}
