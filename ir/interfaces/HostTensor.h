// SPDX-License-Identifier: Apache-2.0
// A tensor of the reference: row-major float64, whatever the element type.
#pragma once
#include <cstdint>
#include <vector>

namespace ltc {

/// Integers are held exactly up to 2^53.
struct HostTensor {
  std::vector<int64_t> shape;
  std::vector<double> data;

  HostTensor() = default;
  explicit HostTensor(std::vector<int64_t> sizes, double fill = 0)
      : shape(std::move(sizes)), data(count(shape), fill) {}
  HostTensor(std::vector<int64_t> sizes, std::vector<double> values)
      : shape(std::move(sizes)), data(std::move(values)) {}

  static HostTensor scalar(double value) {
    return HostTensor({}, std::vector<double>{value});
  }
  static int64_t count(const std::vector<int64_t> &shape) {
    int64_t n = 1;
    for (int64_t size : shape)
      n *= size;
    return n;
  }
  int64_t size() const { return static_cast<int64_t>(data.size()); }
};

} // namespace ltc
