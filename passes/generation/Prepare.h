// SPDX-License-Identifier: Apache-2.0
// What a step would make of weights alone, e.g. their values in bf16.
#pragma once
#include "llvm/ADT/MapVector.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <string>

namespace ltc {

/// "class" of a function argument's ltc.bind is `kind`.
bool isBoundTo(mlir::func::FuncOp function, unsigned argument,
               llvm::StringRef kind);
/// {class = kind, name = name}, without a name if that is empty.
mlir::DictionaryAttr bindOf(mlir::MLIRContext *context, llvm::StringRef kind,
                            llvm::StringRef name);

/// Values of @predict that maps make of parameters alone, by the names of the
/// caches that hold them.
using PreparedValues = llvm::MapVector<mlir::Value, std::string>;
PreparedValues findPrepared(mlir::func::FuncOp predict);
/// @prepare, which makes them: once for a context, not for each token.
void buildPrepare(mlir::func::FuncOp predict, const PreparedValues &values);

} // namespace ltc
