// SPDX-License-Identifier: Apache-2.0
// Errors outside MLIR: a value or an Error, never an exception across folders.
#pragma once
#include <cassert>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <variant>

namespace ltc {

/// What went wrong, in the user's words: what is, what should be, what to do.
struct Error {
  std::string message;
  std::source_location raised; ///< where in ltc; printed with --verbose only
};

inline Error
fail(std::string message,
     std::source_location at = std::source_location::current()) {
  return {std::move(message), at};
}

/// A T, or the Error that kept it from being made.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state.index() == 0; }
  T &operator*() & { return value(); }
  const T &operator*() const & { return const_cast<Result *>(this)->value(); }
  T &&operator*() && { return std::move(value()); }
  T *operator->() { return &value(); }
  const Error &error() const {
    assert(state.index() == 1 && "no error in a good result");
    return std::get<1>(state);
  }

private:
  T &value() {
    assert(state.index() == 0 && "read of a failed result");
    return std::get<0>(state);
  }
  std::variant<T, Error> state;
};

/// Success, or an Error.
template <> class [[nodiscard]] Result<void> {
public:
  Result() = default;
  Result(Error error) : problem(std::move(error)) {}
  explicit operator bool() const { return !problem; }
  const Error &error() const { return *problem; }

private:
  std::optional<Error> problem;
};

} // namespace ltc

/// Leaves the function with the error of `expr`, if it has one.
#define LTC_TRY(expr)                                                          \
  do {                                                                         \
    if (auto ltcTried = (expr); !ltcTried)                                     \
      return ltcTried.error();                                                 \
  } while (false)

#define LTC_CONCAT_(a, b) a##b
#define LTC_CONCAT(a, b) LTC_CONCAT_(a, b)
#define LTC_ASSIGN_(tmp, decl, expr)                                           \
  auto tmp = (expr);                                                           \
  if (!tmp)                                                                    \
    return tmp.error();                                                        \
  decl = *std::move(tmp)
/// LTC_ASSIGN(auto x, f()): x is the value of f(), or the function fails.
#define LTC_ASSIGN(decl, expr)                                                 \
  LTC_ASSIGN_(LTC_CONCAT(ltcTried, __LINE__), decl, expr)
