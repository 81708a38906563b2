// SPDX-License-Identifier: Apache-2.0
// Verifiers of ltc.kernel and ltc.launch; labels: Kernel.td.
#include "ir/ops/Ops.h"

using namespace mlir;

LogicalResult ltc::KernelOp::verify() {
  FunctionType type = getFunctionType();
  Block &body = getBody().front();
  auto yield = body.empty() ? YieldOp() : dyn_cast<YieldOp>(body.back());
  if (!llvm::equal(body.getArgumentTypes(), type.getInputs()) || !yield ||
      !llvm::equal(yield.getOperandTypes(), type.getResults()))
    return emitOpError("(C1) expects a body that takes and yields ") << type;
  ArrayRef<int64_t> inplace = getInplace();
  if (inplace.size() != type.getNumResults())
    return emitOpError("(C2) expects one entry of inplace per result");
  for (auto [j, i] : llvm::enumerate(inplace)) {
    if (i < -1 || i >= (int64_t)type.getNumInputs())
      return emitOpError("(C2) expects inplace to name an argument or -1");
    if (i >= 0 && type.getInput(i) != type.getResult(j))
      return emitOpError("(C2) expects in-place result ")
             << j << " to have the type of argument " << i;
  }
  return success();
}

LogicalResult
ltc::LaunchOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto kernel =
      symbolTable.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("expects a kernel named @") << getKernel();
  FunctionType type = kernel.getFunctionType();
  if (!llvm::equal(getOperandTypes(), type.getInputs()) ||
      !llvm::equal(getResultTypes(), type.getResults()))
    return emitOpError("expects operands and results of ") << type;
  return success();
}
