// RUN: ltc-opt %s --ltc-choose-recompute --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: module attributes {ltc.recompute = "keep"}
module {
}

// -----

// expected-error @+1 {{is not built yet; use recompute: keep}}
module attributes {ltc.recompute = "all"} {
}
