// SPDX-License-Identifier: Apache-2.0
#include "ir/interfaces/Interfaces.h"

#include "ir/interfaces/Cost.cpp.inc"
#include "ir/interfaces/Differentiable.cpp.inc"
#include "ir/interfaces/Evaluate.cpp.inc"
#include "ir/interfaces/Factors.cpp.inc"
#include "ir/interfaces/Incremental.cpp.inc"
