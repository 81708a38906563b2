// RUN: ltc-opt %s --ltc-shard --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: module attributes {ltc.mesh = array<i64: 1, 1>}
module {
}

// -----

// expected-error @+1 {{is not built yet; train on one device}}
module attributes {ltc.mesh = array<i64: 2, 1>} {
}
