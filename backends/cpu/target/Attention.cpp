#include "backends/cpu/target/Lowering.h"
namespace ltc::cpu {
mlir::FailureOr<LoweredKernel> lowerAttention(KernelOp kernel, mlir::ModuleOp) {
  return kernel.emitError("attention is not lowered yet");
}
}
