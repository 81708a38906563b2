// SPDX-License-Identifier: Apache-2.0
#include "backends/emit/Launch.h"
#include "backends/emit/Emitter.h"

using namespace mlir;

namespace ltc {

OperandRange yields(KernelOp kernel) {
  return kernel.getBody().front().getTerminator()->getOperands();
}

std::vector<int> plainBindings(KernelOp kernel, int64_t workspaces) {
  std::vector<int> bindings;
  int plain = kernel.getBody().front().getNumArguments() +
              int(yields(kernel).size());
  for (int i = 0; i < plain; ++i)
    bindings.push_back(i);
  for (int64_t i = 0; i < workspaces; ++i)
    bindings.push_back(int(-1 - i));
  return bindings;
}

/// Of a table that is looked up by index: the rows that are read.
static Value touched(Value value) {
  for (Operation *user : value.getUsers())
    if (auto gather = dyn_cast<GatherOp>(user);
        gather && gather.getTable() == value)
      return gather.getOutput();
  return value;
}

void countBytes(KernelOp kernel, KernelLaunch &launch) {
  auto bytes = [](Value value) {
    auto type = cast<RankedTensorType>(touched(value).getType());
    return double(type.getNumElements()) * bytesOf(type.getElementType());
  };
  Block &body = kernel.getBody().front();
  for (auto scatter : body.getOps<ScatterAddOp>()) { // rows that are added to
    launch.writtenBytes = bytes(scatter.getUpdates());
    launch.readBytes = 2 * launch.writtenBytes + bytes(scatter.getIds());
    return;
  }
  for (Value argument : body.getArguments())
    launch.readBytes += bytes(argument);
  for (Value result : yields(kernel))
    launch.writtenBytes += bytes(result);
}

} // namespace ltc
