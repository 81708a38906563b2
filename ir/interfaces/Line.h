// SPDX-License-Identifier: Apache-2.0
// The line of a text that an op comes from, as messages and tables show it.
#pragma once
#include "mlir/IR/Location.h"
#include <string>

namespace ltc {

/// "file:line:column" of the first place in `loc`; "" if it has none.
inline std::string lineOf(mlir::Location loc) {
  auto file = loc->findInstanceOf<mlir::FileLineColLoc>();
  if (!file)
    return "";
  return file.getFilename().str() + ":" + std::to_string(file.getLine()) + ":" +
         std::to_string(file.getColumn());
}

} // namespace ltc
