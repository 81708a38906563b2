// SPDX-License-Identifier: Apache-2.0
// The GPU targets' kernels beside the reference, on the simulator.
#include "backends/cpu/target/KernelRunner.h"
#include "backends/emit/PointwiseCases.h"
#include "backends/emit/RoutingCases.h"
#include "backends/emit/ScanCases.h"
#include "passes/Pipelines.h"
#include "tests/gpu/Simulator.h"

namespace ltc {
namespace {

/// Subgroups of 32 (NVIDIA's) or 64 (AMD's).
template <int64_t subgroup, bool aligned = true>
class SimulatedRunner : public cpu::KernelRunner {
public:
  std::vector<HostTensor> runNative(const std::string &text,
                                    const std::vector<HostTensor> &inputs,
                                    int parts) override {
    source = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!source)
      return {};
    KernelOp kernel = *source->getOps<KernelOp>().begin();
    mlir::OwningOpRef<mlir::ModuleOp> native =
        mlir::ModuleOp::create(kernel.getLoc());
    gpu::SimulatedTarget target(subgroup);
    auto lowered = aligned ? target.lower(kernel, *native)
                           : target.lowerUnaligned(kernel, *native);
    if (failed(lowered))
      return {};
    mlir::TimingScope untimed;
    auto binary = target.link(*native, untimed);
    if (failed(binary))
      return {};
    gpu::Simulator simulator(*binary, subgroup);
    return launchAll(
        kernel, *lowered, inputs,
        [&](const KernelLaunch &launch, const std::vector<void *> &bindings) {
          EXPECT_EQ(simulator.run(launch, bindings, parts > 1), "") << text;
        });
  }
};

using Runners = testing::Types<SimulatedRunner<32>, SimulatedRunner<64, false>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, Pointwise, Runners);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, Scan, Runners);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, Routing, Runners);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, Append, Runners);

} // namespace
} // namespace ltc
