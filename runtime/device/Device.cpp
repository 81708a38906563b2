// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/Device.h"
#include <cstring>

#define LTC_DEVICE(name)                                                       \
  extern "C" const LtcDeviceApi *ltcDevice_##name(void);
#include "runtime/device/Builtin.inc"
#undef LTC_DEVICE

namespace ltc {

static const LtcDeviceEntry kEntries[] = {
#define LTC_DEVICE(name) ltcDevice_##name,
#include "runtime/device/Builtin.inc"
#undef LTC_DEVICE
};

static Result<void> checkApi(const LtcDeviceApi *api) {
  size_t needed = offsetof(LtcDeviceApi, synchronize) + sizeof(void *);
  if (api->major != LTC_DEVICE_MAJOR)
    return fail("device " + std::string(api->name) + " was built for version " +
                std::to_string(api->major) + " of the device table, this ltc "
                "has version " + std::to_string(LTC_DEVICE_MAJOR));
  if (api->size < needed)
    return fail("the table of device " + std::string(api->name) +
                " is too short: " + std::to_string(api->size) +
                " bytes, at least " + std::to_string(needed) + " are needed");
  return {};
}

Result<const LtcDeviceApi *> findDevice(const std::string &name) {
  std::string names;
  for (LtcDeviceEntry entry : kEntries) {
    const LtcDeviceApi *api = entry();
    names += (names.empty() ? "" : ", ") + std::string(api->name);
    if (name != api->name)
      continue;
    LTC_TRY(checkApi(api));
    return api;
  }
  return fail("there is no device '" + name +
              "' in this build of ltc; it has: " + names);
}

Result<std::unique_ptr<Device>> Device::open(const std::string &name,
                                             int threads) {
  LTC_ASSIGN(const LtcDeviceApi *api, findDevice(name));
  std::unique_ptr<Device> result(new Device(api));
  LtcDeviceOptions options{sizeof options, threads, 0};
  char error[512] = "";
  if (api->open(&options, &result->device, error, sizeof error) != 0)
    return fail("device " + name + ": " + error);
  return result;
}

Device::~Device() {
  if (device)
    api->close(device);
}

Result<void> Device::check(int code) const {
  if (code == 0)
    return {};
  return fail("device " + std::string(api->name) + ": " + api->error(device));
}

bool Device::supports(const std::string &featureLevel) const {
  return api->supports(device, featureLevel.c_str()) != 0;
}

Result<char *> Device::allocate(uint64_t bytes) {
  void *memory = nullptr;
  LTC_TRY(check(api->allocate(device, bytes, &memory)));
  return static_cast<char *>(memory);
}

Result<LtcModule *> Device::load(std::span<const char> object,
                                 const std::string &featureLevel) {
  LtcModule *module = nullptr;
  LTC_TRY(check(api->loadModule(device, object.data(), object.size(),
                                featureLevel.c_str(), &module)));
  return module;
}

Result<LtcKernel *> Device::find(LtcModule *module, const std::string &symbol) {
  LtcKernel *kernel = nullptr;
  LTC_TRY(check(api->findKernel(device, module, symbol.c_str(), &kernel)));
  return kernel;
}

Result<void> Device::write(void *to, const void *from, uint64_t bytes) {
  return check(api->write(device, to, from, bytes));
}
Result<void> Device::read(void *to, const void *from, uint64_t bytes) {
  return check(api->read(device, to, from, bytes));
}
Result<void> Device::fillZero(void *memory, uint64_t bytes) {
  return check(api->fillZero(device, memory, bytes));
}
Result<void> Device::launch(const LtcLaunch &launch) {
  return check(api->launch(device, &launch));
}
Result<LtcDevicePeaks> Device::measure(uint32_t wanted) {
  LtcDevicePeaks peaks = {sizeof peaks, wanted, 0, 0, "", 0, 0};
  if (api->size >= offsetof(LtcDeviceApi, measure) + sizeof(void *) &&
      api->measure)
    LTC_TRY(check(api->measure(device, &peaks)));
  return peaks;
}
Result<void> Device::synchronize() { return check(api->synchronize(device)); }

} // namespace ltc
