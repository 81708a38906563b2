// SPDX-License-Identifier: Apache-2.0
// A checked spec. The keys: README.md beside this file.
#pragma once
#include "frontend/spec/Tree.h"
#include "runtime/schema/Schema.h"
#include <nlohmann/json.hpp>
#include <optional>

namespace ltc::spec {

struct Setting {
  std::string name, text;
  Place place;
};

/// A text by name or path, with its settings as written.
struct Use {
  std::string name;
  Place place;
  std::vector<Setting> settings;
};

struct Loss : Use {
  double weight = 1;
};

struct Source {
  std::string kind; ///< text or jsonl
  std::string path; ///< a glob, made absolute
  double weight = 1;
  std::string field = "text"; ///< of jsonl
  Place place;
};

struct Spec {
  std::string path;
  Use model, optimizer, schedule;
  std::vector<Loss> losses;
  int64_t length = 0, batch = 0, microBatch = 0;
  std::vector<Source> train;
  std::vector<std::pair<std::string, std::vector<Source>>> eval;
  std::optional<double> clip; ///< none: no clipping
  double guard = 0;
  Place clipPlace, guardPlace, lengthPlace;
  DurationValue duration;
  /// Every host key with its value, typed.
  struct Host {
    const Key *key;
    nlohmann::json value;
    Place place;
    bool written; ///< false: the default
  };
  std::vector<Host> host;
  std::string target; ///< as written: which targets there are is the compiler's
  Place targetPlace;
  std::string precision = "fp32"; ///< fp32 or bf16
  std::optional<uint64_t> memoryBudget; ///< bytes; none: no budget
  Place memoryBudgetPlace;

  /// Everything, defaults included, in one fixed order.
  nlohmann::ordered_json resolved() const;
};

/// Reads and checks; `problems` holds every error found. The value is of use
/// only if there are none.
Spec readSpec(const std::string &path, std::vector<Problem> &problems);

/// file:line:column
std::string show(const Place &place);

} // namespace ltc::spec
