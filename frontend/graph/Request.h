// SPDX-License-Identifier: Apache-2.0
// What a program is made from: texts, their settings, and the few numbers of
// the training step. The one way into frontend/graph.
#pragma once
#include "frontend/graph/Ast.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace ltc::graph {

/// A setting as the spec gives it: a number, true, false, none or a word.
struct Setting {
  std::string name, text;
  Place place;
};

/// A text by its name in the library or in `Request::texts`.
struct TextUse {
  std::string name;
  std::vector<Setting> settings;
  Place place;
  std::string key; ///< spec key of its settings, e.g. train.optimizer.adamw
  std::vector<Setting> offered; ///< taken where the text declares them
};

struct LossUse : TextUse {
  double weight = 1;     ///< of the term that has the loss's name
  std::string weightKey; ///< scalar key, e.g. loss.cross_entropy
};

/// A number of the training step that may change without compiling.
struct ScalarSetting {
  std::string key, unit, check, help;
  double value = 0;
  Place place;
};

struct Request {
  std::vector<std::pair<std::string, std::string>> texts; ///< path, content
  TextUse model, optimizer, schedule;
  std::vector<LossUse> losses;
  std::optional<ScalarSetting> clip; ///< global gradient norm; none: no clipping
  ScalarSetting guard;               ///< a step whose norm is not below is void
  int64_t microBatch = 1, length = 1;
  std::string precision = "fp32"; ///< policy: fp32 or bf16
  /// Inputs that the data gives, [b, t] each; empty: any may be declared.
  std::vector<std::string> columns;
};

/// The module of stage "model": @loss, @predict, @apply, @init and blocks,
/// with the ltc.* attributes that later stages read. Null after a diagnostic.
mlir::OwningOpRef<mlir::ModuleOp> buildProgram(const Request &request,
                                               mlir::MLIRContext &context);

} // namespace ltc::graph
