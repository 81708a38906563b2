// RUN: ltc-opt %s --split-input-file --verify-diagnostics
// One case a constraint; the label is that of the op's description.

func.func @map_c1_results_of_one_shape(%x: tensor<2xf32>) {
  // expected-error@+1 {{(C1) expects results of one shape}}
  %a, %b = ltc.map(%x) maps [affine_map<(i) -> (i)>] {
  ^bb0(%v: f32):
    ltc.yield %v, %v : f32, f32
  } : (tensor<2xf32>) -> (tensor<2xf32>, tensor<3xf32>)
  return
}
// -----
func.func @map_c2_sizes_of_the_operand(%x: tensor<3xf32>) {
  // expected-error@+1 {{(C2) expects 2 elements along dimension 0 of 'tensor<3xf32>', as the space has}}
  %a = ltc.map(%x) maps [affine_map<(i) -> (i)>] {
  ^bb0(%v: f32):
    ltc.yield %v : f32
  } : (tensor<3xf32>) -> tensor<2xf32>
  return
}
// -----
func.func @map_c2_projected_permutation(%x: tensor<2x2xf32>) {
  // expected-error@+1 {{(C2) expects a projected permutation from 1 dimensions to 2}}
  %a = ltc.map(%x) maps [affine_map<(i) -> (i, i)>] {
  ^bb0(%v: f32):
    ltc.yield %v : f32
  } : (tensor<2x2xf32>) -> tensor<2xf32>
  return
}
// -----
func.func @map_c3_yields_elements(%x: tensor<2xf32>) {
  // expected-error@+1 {{(C3) expects to yield 'i32', but yields 'f32'}}
  %a = ltc.map(%x) maps [affine_map<(i) -> (i)>] {
  ^bb0(%v: f32):
    ltc.yield %v : f32
  } : (tensor<2xf32>) -> tensor<2xi32>
  return
}
// -----
func.func @map_c4_only_scalar_ops(%x: tensor<2xf32>) {
  %a = ltc.map(%x) maps [affine_map<(i) -> (i)>] {
  ^bb0(%v: f32):
    // expected-error@+1 {{(C4) expects only arith, math, ltc.index, ltc.random, ltc.training and ltc.yield}}
    %w = func.call @f(%v) : (f32) -> f32
    ltc.yield %w : f32
  } : (tensor<2xf32>) -> tensor<2xf32>
  return
}
func.func private @f(f32) -> f32
// -----
func.func @random_reads_words(%x: tensor<2xf32>) {
  %a = ltc.map(%x) maps [affine_map<(i) -> (i)>] {
  ^bb0(%v: f32):
    // expected-error@+1 {{'ltc.random' op operand #0 must be 64-bit signless integer or vector}}
    %w = ltc.random %v, %v key %v : f32 -> i32
    ltc.yield %v : f32
  } : (tensor<2xf32>) -> tensor<2xf32>
  return
}
// -----
func.func @reduce_c1_ascending(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{(C1) expects distinct ascending dimensions}}
  %a = ltc.reduce sum %x over [1, 0] : tensor<2x3xf32> -> tensor<f32>
  return
}
// -----
func.func @reduce_c2_result(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{(C2) expects a result of type 'tensor<2xf32>'}}
  %a = ltc.reduce sum %x over [1] : tensor<2x3xf32> -> tensor<3xf32>
  return
}
// -----
func.func @contract_c2_sizes(%x: tensor<2x3xf32>, %y: tensor<4x5xf32>) {
  // expected-error@+1 {{(C2) expects equal sizes for label 1, but they are 3 and 4}}
  %a = ltc.contract %x [0, 1], %y [1, 2] -> [0, 2] : tensor<2x3xf32>, tensor<4x5xf32> -> tensor<2x5xf32>
  return
}
// -----
func.func @contract_c3_lone_label(%x: tensor<2x3xf32>, %y: tensor<3x5xf32>) {
  // expected-error@+1 {{(C3) expects label 2, of one operand only, in the result}}
  %a = ltc.contract %x [0, 1], %y [1, 2] -> [0] : tensor<2x3xf32>, tensor<3x5xf32> -> tensor<2xf32>
  return
}
// -----
func.func @gather_c1_rows(%x: tensor<7x3xf32>, %i: tensor<2xi32>) {
  // expected-error@+1 {{(C1) expects rows of type 'tensor<2x3xf32>'}}
  %a = ltc.gather %x at %i : tensor<7x3xf32>, tensor<2xi32> -> tensor<2x4xf32>
  return
}
// -----
func.func @slice_ends_inside(%x: tensor<7xf32>) {
  // expected-error@+1 {{expects to end at 7 at most, but ends at 8}}
  %a = ltc.slice %x along 0 from 5 : tensor<7xf32> -> tensor<3xf32>
  return
}
// -----
func.func @join_adds_up(%x: tensor<7xf32>) {
  // expected-error@+1 {{expects a result of 14 elements along dimension 0}}
  %a = ltc.join %x, %x along 0 : tensor<7xf32>, tensor<7xf32> -> tensor<13xf32>
  return
}
// -----
func.func @reshape_keeps_the_count(%x: tensor<7xf32>) {
  // expected-error@+1 {{expects as many elements in 'tensor<8xf32>' as in 'tensor<7xf32>'}}
  %a = ltc.reshape %x : tensor<7xf32> -> tensor<8xf32>
  return
}
// -----
// expected-error@+1 {{(C2) expects in-place result 0 to have the type of argument 0}}
ltc.kernel @k (tensor<2xf32>) -> tensor<f32> inplace [0] {
^bb0(%x: tensor<2xf32>):
  %s = ltc.reduce sum %x over [0] : tensor<2xf32> -> tensor<f32>
  ltc.yield %s : tensor<f32>
}
// -----
func.func @launch_of_nothing(%x: tensor<2xf32>) {
  // expected-error@+1 {{expects a kernel named @k}}
  %a = ltc.launch @k(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return
}
// -----
func.func @attention_c1_sink_by_head(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %w: tensor<6xf32>) {
  // expected-error@+1 {{(C1) expects sink (g,r) of f32}}
  %o, %l = ltc.attention %q, %k, %k sink %w [] scale 0.5 keep {} score {}
    : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x8xf32>, tensor<6xf32>)
    -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x3xf32>)
  return
}
// -----
func.func @attention_c3_no_extra_by_pair(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %e: tensor<4x4xf32>) {
  // expected-error@+1 {{(C3) expects no extra by t and u both}}
  %o, %l = ltc.attention %q, %k, %k reads %e [affine_map<(b, g, r, t, u) -> (t, u)>] scale 0.5 keep {} score {}
    : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x8xf32>, tensor<4x4xf32>)
    -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x3xf32>)
  return
}
// -----
func.func @attention_c3_extra_by_distance(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %e: tensor<9xf32>) {
  // expected-error@+1 {{(C3) expects an index to be a dimension or t - u + a constant}}
  %o, %l = ltc.attention %q, %k, %k reads %e [affine_map<(b, g, r, t, u) -> (t + u)>] scale 0.5 keep {} score {}
    : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x8xf32>, tensor<9xf32>)
    -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x3xf32>)
  return
}
// -----
func.func @attention_grad_c1_extra(%q: tensor<1x4x2x3x8xf32>, %k: tensor<1x4x2x8xf32>, %l: tensor<1x4x2x3xf32>, %e: tensor<3xf32>) {
  // expected-error@+1 {{(C1) expects the gradient of extra 0 to be (b,g,..) by its other dimensions}}
  %a, %b, %c, %d = ltc.attention_grad %q, %k, %k, %q, %l, %q reads %e [affine_map<(b, g, r, t, u) -> (r)>]
    scale 0.5 keep {} score {
  ^bb0(%s: f32, %t: i32, %u: i32, %x: f32):
    %y = arith.addf %s, %x : f32
    ltc.yield %y : f32
  } {extraGrads = array<i64: 0>} : (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x8xf32>,
    tensor<1x4x2x3x8xf32>, tensor<1x4x2x3xf32>, tensor<1x4x2x3x8xf32>, tensor<3xf32>)
    -> (tensor<1x4x2x3x8xf32>, tensor<1x4x2x8xf32>, tensor<1x4x2x8xf32>, tensor<3xf32>)
  return
}
// -----
func.func @scan_c1_dimension(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{(C1) expects floats with dimension 2}}
  %y = ltc.scan %x along 2 : tensor<2x4xf32>
  return
}
// -----
func.func @scan_c1_floats(%x: tensor<2x4xi32>) {
  // expected-error@+1 {{(C1) expects floats with dimension 1}}
  %y = ltc.scan %x along 1 : tensor<2x4xi32>
  return
}
// -----
func.func @scan_c2_decay_like_x(%x: tensor<2x4xf32>, %a: tensor<4xf32>) {
  // expected-error@+1 {{(C2) expects a decay of type}}
  %y = ltc.scan %x decay %a along 1 : tensor<2x4xf32> decay tensor<4xf32>
  return
}
// -----
func.func @scan_c3_document_leads(%x: tensor<2x4x3xf32>, %d: tensor<4xi32>) {
  // expected-error@+1 {{(C3) expects an i32 document}}
  %y = ltc.scan %x along 1 within %d : tensor<2x4x3xf32> within tensor<4xi32>
  return
}
