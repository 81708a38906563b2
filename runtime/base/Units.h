// SPDX-License-Identifier: Apache-2.0
// Sizes as people read them.
#pragma once
#include <string>

namespace ltc {

/// "512 B", "1.5 GiB".
std::string shortBytes(double bytes);

} // namespace ltc
