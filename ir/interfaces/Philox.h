// SPDX-License-Identifier: Apache-2.0
// Philox 4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011. Four words from a counter and a key, no state.
#pragma once
#include <array>
#include <cstdint>

namespace ltc {

inline constexpr uint64_t kPhiloxMultiply[2] = {0xD2511F53, 0xCD9E8D57};
inline constexpr uint32_t kPhiloxWeyl[2] = {0x9E3779B9, 0xBB67AE85};
inline constexpr int kPhiloxRounds = 10;

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c,
                                      std::array<uint32_t, 2> key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    uint64_t p = kPhiloxMultiply[0] * c[0], q = kPhiloxMultiply[1] * c[2];
    c = {uint32_t(q >> 32) ^ c[1] ^ key[0], uint32_t(q),
         uint32_t(p >> 32) ^ c[3] ^ key[1], uint32_t(p)};
    key = {key[0] + kPhiloxWeyl[0], key[1] + kPhiloxWeyl[1]};
  }
  return c;
}

} // namespace ltc
