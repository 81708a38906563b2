// SPDX-License-Identifier: Apache-2.0
// Registration of the ltc dialect and its generated classes.
#include "ir/ops/Ops.h"

#include "ir/ops/OpsDialect.cpp.inc"
#include "ir/ops/OpsEnums.cpp.inc"
#define GET_OP_CLASSES
#include "ir/ops/Ops.cpp.inc"

void ltc::LtcDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "ir/ops/Ops.cpp.inc"
      >();
}
