// SPDX-License-Identifier: Apache-2.0
// Runs the GPU targets' own gpu modules on the CPU, to compare what they mean
// with the reference. A block's threads are fibres; a barrier waits for the
// whole block, a shuffle for its subgroup, and a thread that is elsewhere then
// is an error: on a GPU it would hang or read garbage.
#pragma once
#include "backends/gpu/target/GpuTarget.h"
#include <memory>

namespace ltc::gpu {

/// A target whose binary is an object for this machine's processor.
class SimulatedTarget : public GpuTarget {
public:
  explicit SimulatedTarget(int64_t subgroup);
  std::string name() const override { return "simulated"; }

protected:
  std::unique_ptr<mlir::Pass> vendorPass() const override;
  void registerTranslation(mlir::MLIRContext &) const override {}
  mlir::FailureOr<std::vector<char>>
  assemble(mlir::Operation *at, llvm::Module &module,
           llvm::TargetMachine &machine, mlir::TimingScope &timing) override;
};

/// The functions of such a binary.
class Simulator {
public:
  explicit Simulator(const std::vector<char> &object, int64_t subgroup);
  ~Simulator();
  /// Runs all blocks; backwards: blocks and threads in the other order.
  /// What went wrong, or "".
  std::string run(const KernelLaunch &launch,
                  const std::vector<void *> &bindings, bool backwards);

private:
  struct State;
  std::unique_ptr<State> state;
};

} // namespace ltc::gpu
