// SPDX-License-Identifier: Apache-2.0
// ltc.map, ltc.reduce, ltc.index, ltc.stop_gradient.

def Ltc_MapOp : Ltc_TensorOp<"map", [SingleBlock, IsolatedFromAbove, Ltc_Incremental]> {
  let summary = "one scalar expression at every point of an index space";
  let description = [{
    y_j[i] = body_j(x_0[m_0(i)], x_1[m_1(i)], ...) for every i in the space.

    The space is the (common) shape of the results. `maps[n]` is the affine map
    of operand n from the space to the operand's indices: a permuted projection
    (a missing dimension is a broadcast). The region holds arith and math ops
    on scalars and ltc.index, has one argument per operand, and ends in
    ltc.yield with one scalar per result. No operand: a fill.

    (C1) all results have one shape  (C2) each map is a projected permutation
    from the space whose results have the operand's sizes  (C3) the region's
    argument and yield types are the element types  (C4) only arith, math,
    ltc.index, ltc.random, ltc.training and ltc.yield inside.

    Example: x * g
      %y = ltc.map (%x, %g) maps [affine_map<(b,t,d)->(b,t,d)>, affine_map<(b,t,d)->(d)>] {
      ^bb0(%a: f32, %w: f32):
        %p = arith.mulf %a, %w : f32
        ltc.yield %p : f32
      } : (tensor<2x3x8xf32>, tensor<8xf32>) -> tensor<2x3x8xf32>
  }];
  let arguments = (ins Variadic<Ltc_Tensor>:$inputs, AffineMapArrayAttr:$maps);
  let results = (outs Variadic<Ltc_Tensor>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` `maps` $maps $body attr-dict `:` functional-type($inputs, $outputs)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// Sizes of the index space: the shape of every result.
    ::llvm::ArrayRef<int64_t> getSpace() {
      return ::llvm::cast<::mlir::RankedTensorType>(getOutputs()[0].getType()).getShape();
    }
    /// Positions along `time` count on from the step's past.
    ::mlir::LogicalResult countFromPast(TimeStep &step, TimeDim time);
    ::mlir::AffineMap getMap(unsigned input) {
      return ::llvm::cast<::mlir::AffineMapAttr>(getMaps()[input]).getValue();
    }
  }];
}

def Ltc_IndexOp : Ltc_Op<"index", [Pure]> {
  let summary = "inside ltc.map (or an attention region): the position along one dimension";
  let arguments = (ins I64Attr:$dim);
  let results = (outs I32:$position);
  let assemblyFormat = "$dim attr-dict `:` type($position)";
}

class Ltc_Words<Type word> : AnyTypeOf<[word, VectorOfAnyRankOf<[word]>]>;
def Ltc_RandomOp : Ltc_Op<"random", [Pure, AllTypesMatch<["low", "high", "key"]>]> {
  let summary = "inside ltc.map: 32 random bits, a function of a counter and a key";
  let description = [{
    The first word of Philox 4x32-10 (ir/interfaces/Philox.h). Words of the
    counter, lower half first: low, then high; of the key: key. i64, or lanes
    of it once a kernel is lowered.
  }];
  let arguments = (ins Ltc_Words<I64>:$low, Ltc_Words<I64>:$high, Ltc_Words<I64>:$key);
  let results = (outs Ltc_Words<I32>:$bits);
  let assemblyFormat = "$low `,` $high `key` $key attr-dict `:` type($low) `->` type($bits)";
}

def Ltc_TrainingOp : Ltc_Op<"training", [Pure]> {
  let summary = "inside ltc.map: true while training, false in evaluation; settled by differentiation";
  let results = (outs I1:$is);
  let assemblyFormat = "attr-dict `:` type($is)";
}

def Ltc_YieldOp : Ltc_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "ends a region of this dialect";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, ::mlir::ValueRange()); }]>];
}

def Ltc_ReduceOp : Ltc_TensorOp<"reduce"> {
  let summary = "combines a tensor over some of its dimensions";
  let description = [{
    y[rest] = sum | max | min over dims of x. Sums of f32 accumulate in f32 in
    the order fixed by the target's kernel (16 partial sums, fixed tree).
    (C1) dims are distinct, ascending, in range  (C2) type(y) = x without dims
  }];
  let arguments = (ins Ltc_Tensor:$input, Ltc_ReduceKind:$kind, DenseI64ArrayAttr:$dims);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$kind $input `over` $dims attr-dict `:` type($input) `->` type($output)";
  let hasVerifier = 1;
}

def Ltc_StopGradientOp : Ltc_TensorOp<"stop_gradient", [AllTypesMatch<["input", "output"]>]> {
  let summary = "the identity, with zero gradient; erased after differentiation";
  let arguments = (ins Ltc_Tensor:$input);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}
