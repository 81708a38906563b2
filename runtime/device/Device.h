// SPDX-License-Identifier: Apache-2.0
// A device of plugins/sdk/Device.h with owners and Results around it.
#pragma once
#include "plugins/sdk/Device.h"
#include "runtime/base/Result.h"
#include <memory>
#include <span>

namespace ltc {

/// The table of the device named in the spec's `target`, checked.
Result<const LtcDeviceApi *> findDevice(const std::string &name);

/// One opened device. Memory and modules live as long as it does.
class Device {
public:
  static Result<std::unique_ptr<Device>> open(const std::string &name,
                                              int threads);
  ~Device();
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  std::string description() const { return api->description(device); }
  bool supports(const std::string &featureLevel) const;
  Result<char *> allocate(uint64_t bytes);
  Result<LtcModule *> load(std::span<const char> object,
                           const std::string &featureLevel);
  Result<LtcKernel *> find(LtcModule *module, const std::string &symbol);
  Result<void> write(void *to, const void *from, uint64_t bytes);
  Result<void> read(void *to, const void *from, uint64_t bytes);
  Result<void> fillZero(void *memory, uint64_t bytes);
  Result<void> launch(const LtcLaunch &launch);
  Result<void> synchronize();
  /// Measures what `wanted` names (LTC_PEAK_*); zeros where the device cannot.
  Result<LtcDevicePeaks> measure(uint32_t wanted);

private:
  explicit Device(const LtcDeviceApi *api) : api(api) {}
  Result<void> check(int code) const;
  const LtcDeviceApi *api;
  LtcDevice *device = nullptr;
};

} // namespace ltc
