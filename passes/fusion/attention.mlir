// RUN: ltc-opt %s --ltc-form-kernels=report=%t.txt | FileCheck %s
// RUN: FileCheck %s --input-file=%t.txt --check-prefix=REPORT

#at = affine_map<(b, t, h, k) -> (b, t, h, k)>
#by = affine_map<(b, t, h, k) -> (b, t, k)>

// Query, through its regrouping, and key are turned where attention packs them.
// CHECK-LABEL: func.func @turned
// CHECK: %[[Y:.*]] = ltc.launch @turned.0.attention(%arg0, %arg3, %arg4, %arg1, %arg2)
// CHECK-NEXT: return %[[Y]]
func.func @turned(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>, %c: tensor<1x8x2xf32>, %s: tensor<1x8x2xf32>) -> tensor<1x8x1x2x4xf32> {
  %qlo = ltc.slice %q along 3 from 0 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qhi = ltc.slice %q along 3 from 2 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qx, %qy = ltc.map(%qlo, %qhi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>)
  %qt = ltc.join %qx, %qy along 3 : tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32> -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %klo = ltc.slice %k along 3 from 0 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %khi = ltc.slice %k along 3 from 2 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %kx, %ky = ltc.map(%klo, %khi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>)
  %kt = ltc.join %kx, %ky along 3 : tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32> -> tensor<1x8x1x4xf32> loc("a.ltc":4:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %o, %l = ltc.attention %g, %kt, %v [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>) loc("a.ltc":9:1)
  return %o : tensor<1x8x1x2x4xf32>
}

// CHECK-LABEL: func.func @gradient
// CHECK: ltc.launch @gradient.0.attention
// CHECK-NEXT: return
func.func @gradient(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>, %c: tensor<1x8x2xf32>, %s: tensor<1x8x2xf32>, %out: tensor<1x8x1x2x4xf32>, %lse: tensor<1x8x1x2xf32>, %dout: tensor<1x8x1x2x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) {
  %qlo = ltc.slice %q along 3 from 0 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qhi = ltc.slice %q along 3 from 2 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qx, %qy = ltc.map(%qlo, %qhi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>)
  %qt = ltc.join %qx, %qy along 3 : tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32> -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %klo = ltc.slice %k along 3 from 0 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %khi = ltc.slice %k along 3 from 2 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %kx, %ky = ltc.map(%klo, %khi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>)
  %kt = ltc.join %kx, %ky along 3 : tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32> -> tensor<1x8x1x4xf32> loc("a.ltc":4:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %dq, %dk, %dv = ltc.attention_grad %g, %kt, %v, %out, %lse, %dout [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>, tensor<1x8x1x2x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) loc("a.ltc":9:1)
  return %dq, %dk, %dv : tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>
}

// A turned key that goes into a cache, say, is made once.
// CHECK-LABEL: func.func @other_reader
// CHECK: ltc.launch @other_reader.0.pointwise
// CHECK-NEXT: ltc.launch @other_reader.1.attention
// CHECK-NEXT: return
// REPORT: a.ltc:9:1: @other_reader: not fused with a.ltc:4:1: what would be made in attention's kernel has another reader
func.func @other_reader(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>, %c: tensor<1x8x2xf32>, %s: tensor<1x8x2xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>) {
  %qlo = ltc.slice %q along 3 from 0 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qhi = ltc.slice %q along 3 from 2 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qx, %qy = ltc.map(%qlo, %qhi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>)
  %qt = ltc.join %qx, %qy along 3 : tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32> -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %klo = ltc.slice %k along 3 from 0 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %khi = ltc.slice %k along 3 from 2 : tensor<1x8x1x4xf32> -> tensor<1x8x1x2xf32>
  %kx, %ky = ltc.map(%klo, %khi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>)
  %kt = ltc.join %kx, %ky along 3 : tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32> -> tensor<1x8x1x4xf32> loc("a.ltc":4:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %o, %l = ltc.attention %g, %kt, %v [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>) loc("a.ltc":9:1)
  return %o, %kt : tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>
}

// Sixteen blocks of queries would make a key again; a query is made once.
// CHECK-LABEL: func.func @many
// CHECK: ltc.launch @many.0.pointwise
// CHECK-NEXT: ltc.launch @many.1.attention
// CHECK-NEXT: return
// REPORT: a.ltc:9:1: @many: not fused with a.ltc:4:1: too many queries read a key that would be made again for each block of them
func.func @many(%q: tensor<1x1024x2x4xf32>, %k: tensor<1x1024x1x4xf32>, %v: tensor<1x1024x1x4xf32>, %c: tensor<1x1024x2xf32>, %s: tensor<1x1024x2xf32>) -> tensor<1x1024x1x2x4xf32> {
  %qlo = ltc.slice %q along 3 from 0 : tensor<1x1024x2x4xf32> -> tensor<1x1024x2x2xf32>
  %qhi = ltc.slice %q along 3 from 2 : tensor<1x1024x2x4xf32> -> tensor<1x1024x2x2xf32>
  %qx, %qy = ltc.map(%qlo, %qhi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x1024x2x2xf32>, tensor<1x1024x2x2xf32>, tensor<1x1024x2xf32>, tensor<1x1024x2xf32>) -> (tensor<1x1024x2x2xf32>, tensor<1x1024x2x2xf32>)
  %qt = ltc.join %qx, %qy along 3 : tensor<1x1024x2x2xf32>, tensor<1x1024x2x2xf32> -> tensor<1x1024x2x4xf32> loc("a.ltc":3:1)
  %klo = ltc.slice %k along 3 from 0 : tensor<1x1024x1x4xf32> -> tensor<1x1024x1x2xf32>
  %khi = ltc.slice %k along 3 from 2 : tensor<1x1024x1x4xf32> -> tensor<1x1024x1x2xf32>
  %kx, %ky = ltc.map(%klo, %khi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x1024x1x2xf32>, tensor<1x1024x1x2xf32>, tensor<1x1024x2xf32>, tensor<1x1024x2xf32>) -> (tensor<1x1024x1x2xf32>, tensor<1x1024x1x2xf32>)
  %kt = ltc.join %kx, %ky along 3 : tensor<1x1024x1x2xf32>, tensor<1x1024x1x2xf32> -> tensor<1x1024x1x4xf32> loc("a.ltc":4:1)
  %g = ltc.reshape %qt : tensor<1x1024x2x4xf32> -> tensor<1x1024x1x2x4xf32>
  %o, %l = ltc.attention %g, %kt, %v [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x1024x1x2x4xf32>, tensor<1x1024x1x4xf32>, tensor<1x1024x1x4xf32>) -> (tensor<1x1024x1x2x4xf32>, tensor<1x1024x1x2xf32>) loc("a.ltc":9:1)
  return %o : tensor<1x1024x1x2x4xf32>
}

// CHECK-LABEL: func.func @costly
// CHECK: ltc.launch @costly.0.pointwise
// CHECK: ltc.launch @costly.1.attention
// REPORT: a.ltc:9:1: @costly: not fused with a.ltc:3:1: costly work is not repeated for each block of queries
func.func @costly(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>) -> tensor<1x8x1x2x4xf32> {
  %qt = ltc.map(%q) maps [#at] {
  ^bb0(%x: f32):
    %e = math.exp %x : f32
    ltc.yield %e : f32
  } : (tensor<1x8x2x4xf32>) -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %o, %l = ltc.attention %g, %k, %v [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>) loc("a.ltc":9:1)
  return %o : tensor<1x8x1x2x4xf32>
}

// CHECK-LABEL: func.func @other_rows
// CHECK: ltc.launch @other_rows.0.pointwise
// CHECK: ltc.launch @costly.1.attention
// REPORT: a.ltc:9:1: @other_rows: not fused with a.ltc:3:1: it reads other rows than attention does
func.func @other_rows(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>) -> tensor<1x8x1x2x4xf32> {
  %qt = ltc.shift %q by 1 along 1 : tensor<1x8x2x4xf32> -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %o, %l = ltc.attention %g, %k, %v [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>) loc("a.ltc":9:1)
  return %o : tensor<1x8x1x2x4xf32>
}

// CHECK-LABEL: func.func @cache
// CHECK: ltc.launch @cache.0.pointwise
// CHECK: ltc.launch @cache.1.attention
// REPORT: a.ltc:9:1: @cache: not fused with a.ltc:3:1: the few queries that meet a cache are made apart: that is faster
func.func @cache(%q: tensor<1x8x2x4xf32>, %k: tensor<1x8x1x4xf32>, %v: tensor<1x8x1x4xf32>, %c: tensor<1x8x2xf32>, %s: tensor<1x8x2xf32>, %at: tensor<i32>) -> tensor<1x8x1x2x4xf32> {
  %qlo = ltc.slice %q along 3 from 0 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qhi = ltc.slice %q along 3 from 2 : tensor<1x8x2x4xf32> -> tensor<1x8x2x2xf32>
  %qx, %qy = ltc.map(%qlo, %qhi, %c, %s) maps [#at, #at, #by, #by] {
  ^bb0(%x: f32, %y: f32, %cos: f32, %sin: f32):
    %xc = arith.mulf %x, %cos : f32
    %ys = arith.mulf %y, %sin : f32
    %d = arith.subf %xc, %ys : f32
    %yc = arith.mulf %y, %cos : f32
    %xs = arith.mulf %x, %sin : f32
    %e = arith.addf %yc, %xs : f32
    ltc.yield %d, %e : f32, f32
  } : (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>, tensor<1x8x2xf32>, tensor<1x8x2xf32>) -> (tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32>)
  %qt = ltc.join %qx, %qy along 3 : tensor<1x8x2x2xf32>, tensor<1x8x2x2xf32> -> tensor<1x8x2x4xf32> loc("a.ltc":3:1)
  %g = ltc.reshape %qt : tensor<1x8x2x4xf32> -> tensor<1x8x1x2x4xf32>
  %o, %l = ltc.attention %g, %k, %v offset %at [] scale 0.5 keep {
  ^bb0(%t: i32, %u: i32):
    %kept = arith.cmpi sle, %u, %t : i32
    ltc.yield %kept : i1
  } score {} : (tensor<1x8x1x2x4xf32>, tensor<1x8x1x4xf32>, tensor<1x8x1x4xf32>, tensor<i32>) -> (tensor<1x8x1x2x4xf32>, tensor<1x8x1x2xf32>) loc("a.ltc":9:1)
  return %o : tensor<1x8x1x2x4xf32>
}
