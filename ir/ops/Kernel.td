// SPDX-License-Identifier: Apache-2.0
// ltc.kernel: a fused unit of work, the same text for every target; ltc.launch runs it.

def Ltc_KernelOp : Ltc_Op<"kernel", [IsolatedFromAbove, Symbol, SingleBlock]> {
  let summary = "a fused kernel: values in, values out; no tile sizes, no device";
  let description = [{
    The body holds ops of this dialect on tensors and ends in ltc.yield with
    the results. Its form says which algorithm a target picks:
      contract   one ltc.contract or ltc.grouped_contract, ltc.map ops on its output space after it
                 (an epilogue; other operands may broadcast), optionally an
                 addition into an accumulated result;
      attention  one ltc.attention or ltc.attention_grad;
      gather, scatter  one ltc.gather or ltc.scatter_add (with an accumulate);
      routing    one ltc.top_k, ltc.route, ltc.dispatch or ltc.combine;
      scan       one ltc.scan; ltc.map, ltc.slice, ltc.join, ltc.shift of its space
                 before it, ltc.map after it at the scan's own point;
      append     one ltc.append;
      pointwise  ltc.map, ltc.reduce, ltc.slice, ltc.join, ltc.shift,
                 ltc.reshape: all maps iterate over one space (P.., R..) or
                 over P.. alone; a reduce is over R.. (a row result, used
                 freely) or over P.. (or all), whose result only leaves.
    `inplace[j]` = i says that result j is stored over argument i (-1: fresh).
    (C1) one argument and result type list as in `type`  (C2) an in-place
    result has the type of its argument.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       DenseI64ArrayAttr:$inplace);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name $function_type `inplace` $inplace attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Ltc_LaunchOp : Ltc_Op<"launch", [MemoryEffects<[MemRead, MemWrite]>,
                                     DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel on whole tensors";
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Ltc_Tensor>:$inputs);
  let results = (outs Variadic<Ltc_Tensor>:$outputs);
  let assemblyFormat = "$kernel `(` $inputs `)` attr-dict `:` functional-type($inputs, $outputs)";
}
