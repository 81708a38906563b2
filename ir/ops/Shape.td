// SPDX-License-Identifier: Apache-2.0
// ltc.reshape, ltc.slice, ltc.join: no arithmetic; views where the layout allows.

def Ltc_ReshapeOp : Ltc_TensorOp<"reshape"> {
  let summary = "row-major regrouping: opens or closes groups; never moves data";
  let arguments = (ins Ltc_Tensor:$input);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($output)";
  let hasVerifier = 1;
  let hasFolder = 1;
}
def Ltc_SliceOp : Ltc_TensorOp<"slice"> {
  let summary = "size elements along one dimension from an offset";
  let arguments = (ins Ltc_Tensor:$input, I64Attr:$dim, I64Attr:$offset);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$input `along` $dim `from` $offset attr-dict `:` type($input) `->` type($output)";
  let hasVerifier = 1;
  let hasFolder = 1;
}
def Ltc_JoinOp : Ltc_TensorOp<"join"> {
  let summary = "concatenation along one dimension";
  let arguments = (ins Variadic<Ltc_Tensor>:$inputs, I64Attr:$dim);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$inputs `along` $dim attr-dict `:` type($inputs) `->` type($output)";
  let hasVerifier = 1;
  let hasFolder = 1;
}
