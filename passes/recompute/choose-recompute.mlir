// RUN: sed 's/BUDGET/75000/' %s | ltc-opt --ltc-model-to-grad --ltc-grad-to-shard --canonicalize --cse --ltc-split-contractions --ltc-form-kernels --ltc-choose-recompute --symbol-dce | FileCheck %s
// RUN: sed 's/BUDGET/1000000/' %s | ltc-opt --ltc-model-to-grad --ltc-grad-to-shard --canonicalize --cse --ltc-split-contractions --ltc-form-kernels --ltc-choose-recompute --symbol-dce | FileCheck %s --check-prefix=KEEP
// RUN: sed 's/BUDGET/1000/' %s | not ltc-opt --ltc-model-to-grad --ltc-grad-to-shard --canonicalize --cse --ltc-split-contractions --ltc-form-kernels --ltc-choose-recompute --symbol-dce 2>&1 | FileCheck %s --check-prefix=REFUSED

// Two of four calls need not keep: the first. Only the variants that are called stay.
// CHECK: ltc.recompute = [{block = "block", calls = 4 : i64, {{.*}}kept_bytes = 8192 : i64, recomputed = 2 : i64, recomputed_kept_bytes = 0 : i64}]
// CHECK-LABEL: func.func @accumulate(
// CHECK-COUNT-2: call @block.recompute1.forward
// CHECK-NOT: block.recompute1
// CHECK-COUNT-2: call @block.backward
// CHECK-COUNT-2: call @block.recompute1.backward
// CHECK-NOT: @accumulate.recompute

// KEEP: recomputed = 0 : i64
// KEEP-NOT: @block.recompute
// KEEP-LABEL: func.func @accumulate(
// KEEP-COUNT-4: call @block.forward

// REFUSED: spec.yaml:7:18: error: train.memory_budget = 1000 B cannot be met: this run takes 60.7 KiB at least, with 3 of 4 blocks computing again
// REFUSED: note: 4 x 4.0 KiB, f32[64,16], alive at the peak, in block.3.backward
// REFUSED: spec.yaml:7:18: note: train.memory_budget: 1MiB is the least for this spec

module attributes {ltc.memory_budget = {bytes = BUDGET : i64, at = loc("spec.yaml":7:18)},
                   ltc.micro_batch = 8 : i64,
                   ltc.groups = [["w", "u"]],
                   ltc.parameters = [{name = "w", shape = [32, 16], group = 0 : i64}, {name = "u", shape = [16, 32], group = 0 : i64}],
                   ltc.scalars = [{key = "loss", value = 1.0 : f64}],
                   ltc.terms = [{name = "t", count_input = "", weight_key = "loss"}]} {
  func.func private @block(%x: tensor<64x16xf32>, %w: tensor<32x16xf32>, %u: tensor<16x32xf32>) -> tensor<64x16xf32> {
    %h = ltc.contract %x [0, 1], %w [2, 1] -> [0, 2] : tensor<64x16xf32>, tensor<32x16xf32> -> tensor<64x32xf32>
    %s = ltc.map(%h) maps [affine_map<(i, j) -> (i, j)>] {
    ^bb0(%a: f32):
      %r = math.sin %a : f32
      ltc.yield %r : f32
    } : (tensor<64x32xf32>) -> tensor<64x32xf32>
    %y = ltc.contract %s [0, 1], %u [2, 1] -> [0, 2] : tensor<64x32xf32>, tensor<16x32xf32> -> tensor<64x16xf32>
    return %y : tensor<64x16xf32>
  }
  func.func @loss(%x: tensor<64x16xf32> {ltc.bind = {class = "input", name = "x"}},
                  %w: tensor<32x16xf32> {ltc.bind = {class = "parameter", name = "w"}},
                  %u: tensor<16x32xf32> {ltc.bind = {class = "parameter", name = "u"}}) -> tensor<f32> {
    %1 = func.call @block(%x, %w, %u) : (tensor<64x16xf32>, tensor<32x16xf32>, tensor<16x32xf32>) -> tensor<64x16xf32>
    %2 = func.call @block(%1, %w, %u) : (tensor<64x16xf32>, tensor<32x16xf32>, tensor<16x32xf32>) -> tensor<64x16xf32>
    %3 = func.call @block(%2, %w, %u) : (tensor<64x16xf32>, tensor<32x16xf32>, tensor<16x32xf32>) -> tensor<64x16xf32>
    %4 = func.call @block(%3, %w, %u) : (tensor<64x16xf32>, tensor<32x16xf32>, tensor<16x32xf32>) -> tensor<64x16xf32>
    %l = ltc.reduce sum %4 over [0, 1] : tensor<64x16xf32> -> tensor<f32>
    return %l : tensor<f32>
  }
}
