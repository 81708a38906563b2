// RUN: ltc-opt %s --ltc-apply-precision --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: module attributes {ltc.precision = "fp32"}
module {
}

// -----

// expected-error @+1 {{precision "bf16" is not built yet; use precision: fp32}}
module attributes {ltc.precision = "bf16"} {
}

// -----

func.func @wide(%x: tensor<4xf64>) -> tensor<2xf64> {
  // expected-error @+1 {{policy fp32 keeps floats as f32, but this makes 'tensor<2xf64>'}}
  %y = ltc.slice %x along 0 from 2 : tensor<4xf64> -> tensor<2xf64>
  return %y : tensor<2xf64>
}
