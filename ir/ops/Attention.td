// SPDX-License-Identifier: Apache-2.0
// ltc.attention and its gradient; no t x u buffer ever exists.

def Ltc_AttentionOp : Ltc_TensorOp<"attention", [IsolatedFromAbove, AttrSizedOperandSegments, Ltc_Incremental]> {
  let summary = "softmax(score(scale * q.k)) v with a keep condition";
  let description = [{
    Letters: b batch, t queries, u keys, g kv heads, r query heads per kv head,
    k head size, c value size.  q (b,t,g,r,k)  key (b,u,g,k)  value (b,u,g,c)
    out (b,t,g,r,c)  lse (b,t,g,r) f32: log of the sum of exp of the kept scores.

    s = scale * sum_k q key; s' = score(s); p = softmax_u over kept s'; out = p v.
    A query that keeps nothing gives zeros (lse = -inf).
    sink (g,r): a score without a value that joins every softmax of its head:
    lse then counts it, and p sums to less than one.
    offset (i32): query t stands at position t + offset, for regions and
    distances; extras are read by t itself.

    Extras are values read by the regions; `extraMaps[n]` maps (b,g,r,t,u) to
    the indices of extra n: each a dimension of its own, or t - u + a constant
    (clamped to the extra's size), so that a bias by distance is stored once per
    distance. Not by t and u both: that would be stored t x u.
    keep region:  (t: i32, u: i32, extras...) -> i1.
    score region: (s: f32, t: i32, u: i32, extras...) -> f32; identity if empty.
    (C1) shapes as above  (C2) scale > 0  (C3) regions' arguments fit the extras,
    and hold arith, math, ltc.index and ltc.yield only
    (C4) q, key and v of one type. bf16: scores, weights, lse and sums are f32
    still; out, if bf16, is rounded once.
  }];
  let arguments = (ins Ltc_Tensor:$query, Ltc_Tensor:$key, Ltc_Tensor:$value, Optional<Ltc_Tensor>:$sink,
                       Optional<Ltc_Tensor>:$offset,
                       Variadic<Ltc_Tensor>:$extras, F64Attr:$scale, AffineMapArrayAttr:$extraMaps);
  let results = (outs Ltc_Tensor:$output, Ltc_Tensor:$lse);
  let regions = (region MaxSizedRegion<1>:$keep, MaxSizedRegion<1>:$score);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`sink` $sink^)? (`offset` $offset^)? (`reads` $extras^)? $extraMaps `scale` $scale
    `keep` $keep `score` $score attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Ltc_AttentionGradOp : Ltc_TensorOp<"attention_grad", [IsolatedFromAbove]> {
  let summary = "gradient of ltc.attention to query, key, value and what the score reads";
  let description = [{
    Operands and regions as ltc.attention's, with its results and dOut
    (b,t,g,r,c); a sink is in lse. `extraGrads` lists the extras of f32 whose
    gradients follow dValue: each (b,g,..), then the extra's dimensions but b
    and g, in its order: a (b, g) owns its part.
    (C1), (C2), (C3) as ltc.attention's
  }];
  let arguments = (ins Ltc_Tensor:$query, Ltc_Tensor:$key, Ltc_Tensor:$value,
                       Ltc_Tensor:$output, Ltc_Tensor:$lse, Ltc_Tensor:$dOutput,
                       Variadic<Ltc_Tensor>:$extras, F64Attr:$scale, AffineMapArrayAttr:$extraMaps,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$extraGrads);
  let results = (outs Ltc_Tensor:$dQuery, Ltc_Tensor:$dKey, Ltc_Tensor:$dValue,
                      Variadic<Ltc_Tensor>:$dExtras);
  let regions = (region MaxSizedRegion<1>:$keep, MaxSizedRegion<1>:$score);
  let assemblyFormat = [{
    $query `,` $key `,` $value `,` $output `,` $lse `,` $dOutput (`reads` $extras^)? $extraMaps
    `scale` $scale `keep` $keep `score` $score attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}
