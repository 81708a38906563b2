// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_FUSION_PASSES
#define LTC_FUSION_PASSES
include "mlir/Pass/PassBase.td"

def SplitContractionsPass : Pass<"ltc-split-contractions", "::mlir::ModuleOp"> {
  let summary = "contractions that are no matrix product become map and reduce";
  let description = [{
    Before:  %s = ltc.contract %x[0, 1], %y[0, 1] -> []
    After:   %p = ltc.map(%x, %y) { mulf }   %s = ltc.reduce sum %p over [0, 1]
    Also:    a reduction over middle dimensions reads through a map that puts
             them last; constant fills move into the maps that read them;
             ltc.stop_gradient is erased.
    Keeps:   contractions with a dimension of each operand in the result.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def FormKernelsPass : Pass<"ltc-form-kernels", "::mlir::ModuleOp"> {
  let summary = "function bodies become ltc.kernel symbols and ltc.launch";
  let description = [{
    Before:  %c = ltc.contract %h, %w   %y = ltc.map(%x, %c) { addf }
    After:   %y = ltc.launch @layer.0.contract(%h, %w, %x)
    Keeps:   the order in which values in place are read and written; views
             (ltc.reshape, outermost slices and joins) stay between launches.
    Kernels that are equal but for names and locations are one symbol.
  }];
  let options = [Option<"fuse", "fuse", "bool", "true",
                        "false: each op a kernel of its own, for tests">,
                 Option<"report", "report", "std::string", "\"\"",
                        "file for kernels, their ops, what did not fuse and "
                        "why: JSON if it ends in .json; - is stderr">];
}
#endif
