// SPDX-License-Identifier: Apache-2.0
// Writes a source's C table from a C++ class with: static constexpr char
// kind[]; static T *open(const std::string &config); uint64_t count() const;
// std::string_view read(uint64_t); uint64_t length(uint64_t). They throw
// std::exception; what it says reaches the user.
#pragma once
#include "plugins/sdk/Data.h"
#include "plugins/sdk/cpp/Guard.h"
#include <string>
#include <string_view>

namespace ltc::sdk {

template <typename T> const LtcSourceApi *sourceApi() {
  static const LtcSourceApi api = {
      sizeof(LtcSourceApi),
      LTC_DATA_MAJOR,
      T::kind,
      [](const char *config, LtcSource **source, LtcDataError *error) {
        return guarded(error, [&] {
          *source = reinterpret_cast<LtcSource *>(T::open(config));
        });
      },
      [](LtcSource *source) { delete reinterpret_cast<T *>(source); },
      [](const LtcSource *source) {
        return reinterpret_cast<const T *>(source)->count();
      },
      [](LtcSource *source, uint64_t i, uint64_t *length,
         LtcDataError *error) {
        return guarded(error, [&] {
          *length = reinterpret_cast<T *>(source)->length(i);
        });
      },
      [](LtcSource *source, uint64_t i, LtcDocument *document,
         LtcDataError *error) {
        return guarded(error, [&] {
          std::string_view bytes = reinterpret_cast<T *>(source)->read(i);
          document->bytes = bytes.data();
          document->length = bytes.size();
        });
      }};
  return &api;
}

} // namespace ltc::sdk
