// RUN: ltc-opt %s --ltc-apply-precision --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: module attributes {ltc.precision = "fp32"}
module {
}

// -----

// expected-error @+1 {{there is no precision policy "fp8"; policies are fp32, bf16}}
module attributes {ltc.precision = "fp8"} {
}

// -----

func.func @wide(%x: tensor<4xf64>) -> tensor<2xf64> {
  // expected-error @+1 {{a model's floats are f32 before a precision policy, but this makes 'tensor<2xf64>'}}
  %y = ltc.slice %x along 0 from 2 : tensor<4xf64> -> tensor<2xf64>
  return %y : tensor<2xf64>
}
