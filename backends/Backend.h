// SPDX-License-Identifier: Apache-2.0
// The compile side of a backend: turns an ltc.kernel into native launches and
// a module of them into one binary. The run side is plugins/sdk/Device.h.
#pragma once
#include "ir/ops/Ops.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/Timing.h"
#include <memory>
#include <string>
#include <vector>

namespace ltc {

/// One native function over a grid of independent tiles. On a CPU
///   void symbol(void *const *bindings, int64_t tileBegin, int64_t tileEnd,
///               void *scratch)
/// on a GPU a grid of `tiles` blocks, whose parameters are the bindings.
/// A binding points at the first element of a contiguous row-major tensor.
struct KernelLaunch {
  std::string symbol;
  int64_t tiles = 1; ///< the grid; a tile's bits depend on its index only
  int threads = 0;           ///< of a block on a GPU
  uint64_t scratchBytes = 0; ///< per thread, 64-byte aligned
  /// What each binding is: 0..n-1 the kernel's arguments, then its results;
  /// -1-i is workspace i of the lowered kernel.
  std::vector<int> bindings;
  double flops = 0, readBytes = 0, writtenBytes = 0;
  /// Parts of the device's ceilings that such kernels reach, as measured: what
  /// `ltc plan` expects. 0: not known.
  double flopsShare = 0, bytesShare = 0;
  /// Why there is no such function in the binary yet; "" where there is.
  std::string missing;
};

/// A kernel may become several launches, run in this order.
struct LoweredKernel {
  std::vector<KernelLaunch> launches;
  std::vector<uint64_t> workspaceBytes; ///< shared by the kernel's launches
};

/// What a function takes of a GPU's processor, as its assembler says.
struct KernelUse {
  std::string symbol;
  int registers = 0;
  uint64_t spillBytes = 0, sharedBytes = 0;
};

class Target {
public:
  virtual ~Target();
  virtual std::string name() const = 0;         ///< "cpu"
  virtual std::string featureLevel() const = 0; ///< "avx512"
  /// Adds the kernel's native functions to `into`. Refuses what it cannot do
  /// by a diagnostic at the kernel's location.
  virtual mlir::FailureOr<LoweredKernel> lower(KernelOp kernel,
                                               mlir::ModuleOp into) = 0;
  /// What goes to code generation, or what comes of it, as text.
  enum class Listing { llvm, assembly };
  /// `link`'s work shown instead. Refuses, where the target has no such text.
  virtual mlir::FailureOr<std::string> list(mlir::ModuleOp lowered,
                                            Listing listing);
  /// Bytes to which `lower` takes all bindings to be aligned; where one is
  /// not, `lowerUnaligned` makes another function of the same bits.
  virtual uint64_t alignment() const { return 1; }
  virtual mlir::FailureOr<LoweredKernel> lowerUnaligned(KernelOp kernel,
                                                        mlir::ModuleOp into) {
    return lower(kernel, into);
  }
  /// After `link`: of each function, where the assembler tells.
  virtual std::vector<KernelUse> uses() const { return {}; }
  /// Compiles and links what `lower` added; the bytes of one binary. What it
  /// does is named in `timing`.
  virtual mlir::FailureOr<std::vector<char>>
  link(mlir::ModuleOp lowered, mlir::TimingScope &timing) = 0;
};

/// The CPU: AVX-512 code in an ELF shared object without undefined symbols.
std::unique_ptr<Target> createCpuTarget();

/// NVIDIA's GPUs: a cubin for `chip`, "sm_90"; AMD's: a code object, "gfx942".
/// Null, and `problem`, where the compiler does not know the chip.
std::unique_ptr<Target> createCudaTarget(const std::string &chip,
                                         std::string &problem);
std::unique_ptr<Target> createHipTarget(const std::string &chip,
                                        std::string &problem);

} // namespace ltc
