// SPDX-License-Identifier: Apache-2.0
#ifndef LTC_SHARDING_PASSES
#define LTC_SHARDING_PASSES
include "mlir/Pass/PassBase.td"

def ShardPass : Pass<"ltc-shard", "::mlir::ModuleOp"> {
  let summary = "places the program on its mesh of devices";
  let description = [{
    The mesh 1 x 1, the only one yet: every value is whole on the one device.
    Before: the module may name its mesh in `ltc.mesh`. After: it does.
  }];
}
#endif
