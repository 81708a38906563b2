// SPDX-License-Identifier: Apache-2.0
// ltc.gather, ltc.scatter_add, ltc.shift.

def Ltc_GatherOp : Ltc_TensorOp<"gather"> {
  let summary = "rows of a table: out[I.., rest] = table[ids[I..], rest]";
  let description = [{
    Gathers along dimension 0 of the table. (Gathers whose table shares
    dimensions with the ids are written as a sum of where(index == id, x, 0).)
    An id outside the table is a data error that the loader has excluded.
    (C1) shape(out) = shape(ids) ++ shape(table)[1:]  (C2) ids are i32
  }];
  let arguments = (ins Ltc_Tensor:$table, Ltc_Tensor:$ids);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$table `at` $ids attr-dict `:` type($table) `,` type($ids) `->` type($output)";
  let hasVerifier = 1;
}

def Ltc_ScatterAddOp : Ltc_TensorOp<"scatter_add"> {
  let summary = "out[r, rest] = sum of updates[I, rest] over I with ids[I] = r, in order of I";
  let arguments = (ins Ltc_Tensor:$ids, Ltc_Tensor:$updates);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = "$updates `at` $ids attr-dict `:` type($updates) `,` type($ids) `->` type($output)";
  let hasVerifier = 1;
}

def Ltc_ShiftOp : Ltc_TensorOp<"shift"> {
  let summary = "y[.., t, ..] = x[.., t - offset, ..], zero outside the sequence and the document";
  let description = [{
    (C1) document (optional) is i32 with x's leading dimensions up to and
    including dim; an element whose source has another document is zero.
  }];
  let arguments = (ins Ltc_Tensor:$input, Optional<Ltc_Tensor>:$document, I64Attr:$dim, I64Attr:$offset);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $input `by` $offset `along` $dim (`within` $document^)? attr-dict
    `:` type($input) (`,` type($document)^)?  `->` type($output)
  }];
  let hasVerifier = 1;
}
