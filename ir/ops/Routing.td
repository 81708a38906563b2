// SPDX-License-Identifier: Apache-2.0
// Ragged dimensions: rows sorted by the group that each one chose. A slot is
// one choice (element of `choice`, row-major); a row is a slot's place after
// sorting. Their number is static, how many a group has is data.

def Ltc_TopKOp : Ltc_TensorOp<"top_k"> {
  let summary = "the largest elements of the last dimension and where they are";
  let description = [{
    values[I.., j], choice[I.., j] = the j-th largest of x[I.., ..] and its
    index; among equals the lower index first. A place that no number is left
    for (x has NaN) gets NaN and the index j.
    (C1) results are x with a last dimension of at most x's  (C2) choice is i32
  }];
  let arguments = (ins Ltc_Tensor:$input);
  let results = (outs Ltc_Tensor:$values, Ltc_Tensor:$choice);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($values) `,` type($choice)";
  let hasVerifier = 1;
}

def Ltc_RouteOp : Ltc_TensorOp<"route", [Ltc_Incremental]> {
  let summary = "a stable sort of slots by the group they chose";
  let description = [{
    slot[r] is the slot in row r, place[s] the row of slot s, group[r] the
    choice of slot[r]; rows offsets[g] .. offsets[g + 1] are those of group g.
    Slots of one group keep their order. A choice outside of the groups counts
    as the nearest one.
    (C1) place has choice's shape, slot and group one element a slot
    (C2) all are i32  (C3) offsets has at least two elements
  }];
  let arguments = (ins Ltc_Tensor:$choice);
  let results = (outs Ltc_Tensor:$slot, Ltc_Tensor:$place, Ltc_Tensor:$group, Ltc_Tensor:$offsets);
  let assemblyFormat = [{
    $choice attr-dict `:` type($choice) `->` type($slot) `,` type($place) `,`
    type($group) `,` type($offsets)
  }];
  let hasVerifier = 1;
}

// `each` slots share a row of the unsorted side: 1, or place's last dimension.
class Ltc_RowsOp<string mnemonic> : Ltc_TensorOp<mnemonic, [Ltc_Incremental]> {
  let arguments = (ins Ltc_Tensor:$input, Ltc_Tensor:$slot, Ltc_Tensor:$place, I64Attr:$each);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $input `by` $slot `,` $place `each` $each attr-dict `:` type($input) `,`
    type($slot) `,` type($place) `->` type($output)
  }];
  let hasVerifier = 1;
}

def Ltc_DispatchOp : Ltc_RowsOp<"dispatch"> {
  let summary = "y[r, rest] = x[slot[r] / each, rest]: a row for each slot, sorted";
  let description = [{
    (C1) slot and place are i32, of one size  (C2) each is 1 or place's last
    dimension  (C3) x has place's dimensions (without the last if each is not
    1), then the rest; y one row a slot, then the rest.
    `place` is slot's inverse: the gradient reads it.
  }];
}

def Ltc_CombineOp : Ltc_RowsOp<"combine"> {
  let summary = "x[i, rest] = sum of y[place[i * each + j], rest] over j: dispatch's transpose";
  let description = [{ (C1), (C2), (C3) as in ltc.dispatch, with x the result. }];
}

def Ltc_GroupedContractOp : Ltc_TensorOp<"grouped_contract", [Ltc_Incremental]> {
  let summary = "a contraction in which each row belongs to one group";
  let description = [{
    An einsum over labels (see ltc.contract) of which `row` and `group` belong
    together: only points whose row is one of the group's count. Rows
    offsets[g] .. offsets[g + 1] are those of group g.
      %y = ltc.grouped_contract %x[0, 1], %w[2, 3, 1] by %offsets row 0 group 2 -> [0, 3]
      %dw = ltc.grouped_contract %dy[0, 3], %x[0, 1] by %offsets row 0 group 2 -> [2, 3, 1]
    (C1) one label per dimension, distinct within an operand  (C2) equal labels,
    equal sizes; offsets is i32 with one element more than there are groups
    (C3) either one operand and the result have `row` and the other operand
    `group`, or both operands have `row` and the result `group`  (C4) another
    label is in an operand, and in the result if it is in one operand only.
  }];
  let arguments = (ins Ltc_Tensor:$lhs, Ltc_Tensor:$rhs, Ltc_Tensor:$offsets, I64Attr:$row, I64Attr:$group,
                       DenseI64ArrayAttr:$lhsDims, DenseI64ArrayAttr:$rhsDims, DenseI64ArrayAttr:$outDims);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $lhs $lhsDims `,` $rhs $rhsDims `by` $offsets `row` $row `group` $group `->` $outDims attr-dict
    `:` type($lhs) `,` type($rhs) `,` type($offsets) `->` type($output)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// True if rows go in and out; else they are summed, one sum a group.
    bool keepsRows() { return ::llvm::is_contained(getOutDims(), int64_t(getRow())); }
  }];
}
