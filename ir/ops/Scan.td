// SPDX-License-Identifier: Apache-2.0
// ltc.scan: linear recurrences and running sums.

def Ltc_ScanOp : Ltc_TensorOp<"scan", [AttrSizedOperandSegments, Ltc_Incremental,
                                       AllTypesMatch<["input", "output"]>]> {
  let summary = "y[t] = decay[t] * y[t - 1] + x[t] along one dimension, from zero at each document";
  let description = [{
    Without decay a running sum. `reverse` goes from the last element down:
    y[t] = decay[t] * y[t + 1] + x[t]. What stands before the first element of
    a sequence, or of a document, is zero, whatever the decay is there.
    (C1) x is of floats and has dimension dim  (C2) decay (optional) is like x
    (C3) document (optional) is i32 with x's leading dimensions up to and
    including dim; a new document begins where its value changes.

    Example: a recurrence along time
      %h = ltc.scan %x decay %a along 1 within %doc
        : tensor<2x8x4xf32> decay tensor<2x8x4xf32> within tensor<2x8xi32>
  }];
  let arguments = (ins Ltc_Tensor:$input, Optional<Ltc_Tensor>:$decay,
                       Optional<Ltc_Tensor>:$document, I64Attr:$dim, UnitAttr:$reverse);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $input (`decay` $decay^)? (`reverse` $reverse^)? `along` $dim (`within` $document^)? attr-dict
    `:` type($input) (`decay` type($decay)^)? (`within` type($document)^)?
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
}
