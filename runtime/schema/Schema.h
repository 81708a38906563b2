// SPDX-License-Identifier: Apache-2.0
// Typed values as users write them, and what a key is: serves the spec and
// `ltc run --set`.
#pragma once
#include "runtime/base/Result.h"
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ltc {

/// structure: compiled in. scalar: a number that the program reads; changing
/// it never recompiles. host: read by the run alone.
enum class KeyKind { structure, scalar, host };

enum class ValueType { text, word, number, count, boolean, duration, bytes };

std::string_view nameOf(KeyKind kind);
std::string_view nameOf(ValueType type);
/// The type of that name; text if there is none.
ValueType typeNamed(std::string_view name);

/// One key of a spec. All of them: keysOfSpec().
struct Key {
  std::string_view name; ///< dotted: train.batch
  KeyKind kind;
  ValueType type;
  std::string_view initial; ///< default as text; "" with required
  bool required;
  std::string_view help;
  std::string_view check = ""; ///< bounds: "> 0", ">= 1, <= 1024"
};

/// The fixed keys of a spec, in the order of its sections. Settings of texts
/// are declared by the texts, so they are not here.
std::span<const Key> keysOfSpec();

/// `1e-4`, `32`. The whole text must be a finite number.
Result<double> parseNumber(std::string_view text);
/// A whole number of at least `least`; `4k`, `1M`, `1B` scale by thousands.
Result<int64_t> parseCount(std::string_view text, int64_t least = 0);
/// true, false, yes, no, on, off.
Result<bool> parseBoolean(std::string_view text);
/// `2GiB`, `512MiB`, `1000`.
Result<uint64_t> parseBytes(std::string_view text);

/// `500 steps`, `3 epochs`, `1B tok`, `20 min`, `2 h`.
struct DurationValue {
  double amount = 0;
  std::string unit; ///< steps, epochs, tokens or minutes
  std::string text() const; ///< canonical: "1000000000 tokens"
};
Result<DurationValue> parseDuration(std::string_view text);

/// Checks `value` against bounds such as "> 0" or ">= 1, <= 1024".
Result<void> checkBounds(double value, std::string_view bounds);

/// Reads `text` as a value of that type within bounds, in canonical form; the
/// error says what was expected. Where the default is "none", so may the value
/// be.
Result<nlohmann::json> readValue(ValueType type, std::string_view text,
                                 std::string_view bounds = "",
                                 std::string_view initial = "");

/// The bytes of `text` that a terminal can show: others as \xNN, long texts
/// cut.
std::string shown(std::string_view text);

/// The nearest of `names` to a misspelt one, or "" if none is near.
std::string nearest(std::string_view name,
                    std::span<const std::string> names);

} // namespace ltc
