// SPDX-License-Identifier: Apache-2.0
// ltc.gather, ltc.scatter_add, ltc.shift, ltc.append.

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

def Ltc_ShiftOp : Ltc_TensorOp<"shift", [Ltc_Incremental]> {
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

def Ltc_AppendOp : Ltc_TensorOp<"append", [AllTypesMatch<["cache", "output"]>]> {
  let summary = "y = cache, but for rows from position on along one dimension";
  let description = [{
    y[.., position + i, ..] = rows[.., i, ..]; elsewhere y = cache. What a cache
    of earlier times becomes; stored over the cache it costs its rows only. A
    position that would end behind the cache counts as the last that does not.
    (C1) rows are like the cache, with at most its
    size along dim  (C2) position is one i32
  }];
  let arguments = (ins Ltc_Tensor:$cache, Ltc_Tensor:$rows, Ltc_Tensor:$position, I64Attr:$dim);
  let results = (outs Ltc_Tensor:$output);
  let assemblyFormat = [{
    $cache `,` $rows `at` $position `along` $dim attr-dict
    `:` type($cache) `,` type($rows) `,` type($position)
  }];
  let hasVerifier = 1;
}
