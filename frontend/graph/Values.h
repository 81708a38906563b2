// SPDX-License-Identifier: Apache-2.0
// What an expression of the graph language is while a program is traced: a
// number known now, or a node that becomes IR. Elementwise nodes stay lazy
// until a statement, reduction or call needs them: one ltc.map each.
#pragma once
#include "frontend/graph/Ast.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"
#include <map>
#include <memory>
#include <variant>

namespace ltc::graph {

struct Dim;
using Dims = std::vector<Dim *>;

/// How slots became the rows of a ragged dimension (ltc.route).
struct Ragged {
  Dim *owner;         ///< experts: whose rows are neighbours
  Dims slots;         ///< of the choice: the last is a token's slots
  mlir::Value slot, place, group, offsets;
};

/// A named dimension. Two are the same only if they are the same object.
struct Dim {
  std::string name;
  int64_t size = 0;
  std::vector<Dim *> group;                 ///< heads = (kv group)
  std::vector<std::vector<Dim *>> segments; ///< of a concatenation
  std::shared_ptr<Ragged> ragged = nullptr; ///< null: every size is known
};

enum class Type { F32, F64, I32, I64, Bool };

struct Node;
using NodePtr = std::shared_ptr<Node>;

/// A value of the running program.
struct Node {
  /// Bound: the raw score inside an attention's score text.
  enum Kind { Leaf, Constant, Index, Op, Bound } kind = Leaf;
  Type type = Type::F32;
  Dims dims;
  Place place;
  mlir::Value value;           ///< Leaf: a tensor of these dimensions, in order
  double number = 0;           ///< Constant
  std::string op;              ///< Op: see emitScalar
  std::vector<NodePtr> inputs; ///< Op
  /// Leaf that an attention reads at t - u + offset along `over`: `stored` are
  /// the tensor's dimensions, `dims` have t and u in place of `over`.
  struct ByDistance {
    Dims stored;
    Dim *over;
    int64_t offset;
  };
  std::optional<ByDistance> byDistance;
  /// Where operands with dimensions of their own first met; empty if nowhere.
  std::optional<Place> outer;
  std::string outerText;
  // Of parameters and expressions of parameters alone:
  bool parameter = false;
  std::vector<Dims> entries; ///< the declaration's dimensions, groups as one
  std::string name;          ///< of an input or parameter
};

struct None {};
struct Value;
/// skips[i] = x: values by number. Only its name holds it.
using Collected = std::map<int64_t, Value>;
struct Value {
  std::variant<None, double, bool, std::string, NodePtr, std::vector<Value>,
               std::shared_ptr<Collected>>
      is;
  bool number() const { return std::holds_alternative<double>(is); }
  bool node() const { return std::holds_alternative<NodePtr>(is); }
  bool none() const { return std::holds_alternative<None>(is); }
  bool truth() const { return std::holds_alternative<bool>(is); }
  bool text() const { return std::holds_alternative<std::string>(is); }
  Collected *collected() const {
    auto *items = std::get_if<std::shared_ptr<Collected>>(&is);
    return items ? items->get() : nullptr;
  }
};

/// `h[b = 8, t = 256, d = 512]`
std::string show(const std::string &name, const Dims &dims);
std::string show(const NodePtr &node); ///< by its name, or as "value"
bool contains(const Dims &dims, const Dim *dim);
/// The first ragged dimension; null if there is none.
Dim *raggedIn(const Dims &dims);

} // namespace ltc::graph
