// SPDX-License-Identifier: Apache-2.0
// ltc.contract: the sum of a product of two tensors.

def Ltc_ContractOp : Ltc_TensorOp<"contract"> {
  let summary = "einsum of two tensors";
  let description = [{
    out[O] = sum over labels not in O of lhs[L] * rhs[R]. L, R, O label each
    dimension by a number, like an einsum's letters:
      %y = ltc.contract %h[0, 1, 2], %w[3, 4, 2] -> [0, 1, 3, 4]
           : tensor<8x256x512xf32>, tensor<8x64x512xf32> -> tensor<8x256x8x64xf32>
    f32 accumulation, one running sum per output over the reduced index in
    ascending order within a K block fixed in the kernel.
    (C1) one label per dimension, distinct within an operand  (C2) equal labels,
    equal sizes  (C3) every label of O is in L or R; a label in one operand only
    is in O.  (C4) operands of one element type; sums of bf16 products are f32.
    `f32`: a precision policy leaves it alone.
  }];
  let arguments = (ins Ltc_Tensor:$lhs, Ltc_Tensor:$rhs, DenseI64ArrayAttr:$lhsDims,
                       DenseI64ArrayAttr:$rhsDims, DenseI64ArrayAttr:$outDims,
                       UnitAttr:$f32);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $lhs $lhsDims `,` $rhs $rhsDims `->` $outDims (`f32` $f32^)? attr-dict
    `:` type($lhs) `,` type($rhs) `->` type($output)
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// Rows from one operand, columns from the other, and the last dimension
    /// of the result a row or a column; others are a map and a reduction.
    bool isMatrixProduct();
  }];
}
