// SPDX-License-Identifier: Apache-2.0
// A YAML or JSON file as a tree in which every key and value knows its place.
// Scalars stay text: the schema's type reads them, not YAML's guess.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace ltc::spec {

struct Place {
  std::string file;
  int line = 1, column = 1; ///< 1-based
};

struct Problem {
  Place place;
  std::string message;
};

struct Tree {
  enum Kind { Scalar, List, Map } kind = Scalar;
  Place place;
  std::string text; ///< Scalar
  struct Entry;
  std::vector<Entry> entries; ///< Map, in the file's order
  std::vector<Tree> items;    ///< List

  const Entry *find(const std::string &key) const;
};
struct Tree::Entry {
  std::string key;
  Place place;
  Tree value;
};

/// Reads the file; what is wrong goes to `problems` (syntax, duplicate keys).
/// An alias (*name) is a copy of its anchor's value and has its place.
Tree readTree(const std::string &path, std::vector<Problem> &problems);

/// `file:line:column: error: message`, one a line; the first twenty.
std::string show(const std::vector<Problem> &problems);

} // namespace ltc::spec
