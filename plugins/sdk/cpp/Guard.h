// SPDX-License-Identifier: Apache-2.0
// Keeps C++ exceptions inside a plugin: their words go to the error struct.
#pragma once
#include <cstdio>
#include <exception>

namespace ltc::sdk {

template <typename Error, typename Body> int guarded(Error *error, Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception &problem) {
    if (error && error->text && error->capacity)
      std::snprintf(error->text, error->capacity, "%s", problem.what());
    return 1;
  }
}

} // namespace ltc::sdk
