// SPDX-License-Identifier: Apache-2.0
#include "passes/fusion/InPlace.h"
#include "ir/ops/Build.h"
#include "llvm/ADT/DenseSet.h"
#include <deque>

using namespace mlir;

namespace ltc {
namespace {

class Finder {
public:
  explicit Finder(ModuleOp module) : module(module), symbols(module) {}

  InPlace run() {
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal())
        bindResults(function);
    while (!pending.empty()) {
      auto [function, result, argument] = pending.front();
      pending.pop_front();
      Operation *end = function.getBody().front().getTerminator();
      mark(end->getOperand(result), function.getArgument(argument));
    }
    return std::move(found);
  }

private:
  struct Tie {
    func::FuncOp function;
    unsigned result, argument;
  };

  /// Results that carry the bind of an argument are stored over it. Other
  /// bound results must be values of their own.
  void bindResults(func::FuncOp function) {
    Operation *end = function.getBody().front().getTerminator();
    llvm::DenseSet<Value> taken;
    for (unsigned r = 0; r < function.getNumResults(); ++r) {
      Attribute bind = function.getResultAttr(r, "ltc.bind");
      if (!bind)
        continue;
      int argument = argumentWith(function, bind);
      Value value = end->getOperand(r);
      BlockArgument own;
      if (argument >= 0)
        own = function.getArgument(argument);
      if (own && value == own)
        continue;
      bool fresh = value.getDefiningOp<MapOp>() ||
                   value.getDefiningOp<func::CallOp>() || !isView(value);
      bool reachable = !own || !path(value, own).empty();
      if (!fresh || !taken.insert(value).second || !reachable) {
        value = copy(value, own, end);
        end->setOperand(r, value);
      }
      if (own)
        mark(value, own);
    }
  }

  static bool isView(Value value) {
    return isa<BlockArgument>(value) ||
           isa<ReshapeOp, SliceOp, JoinOp>(value.getDefiningOp());
  }

  static int argumentWith(func::FuncOp function, Attribute bind) {
    for (unsigned a = 0; a < function.getNumArguments(); ++a)
      if (function.getArgAttr(a, "ltc.bind") == bind)
        return int(a);
    return -1;
  }

  /// The value again, stored over `over` if there is one.
  static Value copy(Value value, BlockArgument over, Operation *before) {
    OpBuilder b(before);
    AffineMap same = b.getMultiDimIdentityMap(shapeOf(value).size());
    SmallVector<Value> inputs{value};
    SmallVector<AffineMap> maps{same};
    if (over) {
      inputs.push_back(over);
      maps.push_back(same);
    }
    return buildMap(b, value.getLoc(), value.getType(), inputs, maps,
                    [](OpBuilder &, ValueRange x) {
                      return SmallVector<Value>{x[0]};
                    })
        .getResult(0);
  }

  /// Values that `value` may be stored over.
  SmallVector<Value> bases(Value value) {
    SmallVector<Value> result;
    if (auto map = value.getDefiningOp<MapOp>()) {
      for (auto [n, input] : llvm::enumerate(map.getInputs()))
        if (input.getType() == value.getType() && readsOwnPoint(map, input))
          result.push_back(input);
      return result;
    }
    if (auto append = value.getDefiningOp<AppendOp>())
      return {append.getCache()};
    auto call = value.getDefiningOp<func::CallOp>();
    if (!call)
      return result;
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    unsigned index = cast<OpResult>(value).getResultNumber();
    Value inner = callee.getBody().front().getTerminator()->getOperand(index);
    for (auto [a, operand] : llvm::enumerate(call.getOperands()))
      if (operand.getType() == value.getType() &&
          !path(inner, callee.getArgument(a)).empty())
        result.push_back(operand);
    return result;
  }

  static bool readsOwnPoint(MapOp map, Value input) {
    for (auto [n, other] : llvm::enumerate(map.getInputs()))
      if (other == input && !map.getMap(n).isIdentity())
        return false;
    return true;
  }

  /// The shortest way from `value` down to `target` over bases; empty: none.
  SmallVector<Value> path(Value value, Value target) {
    std::deque<Value> queue{value};
    llvm::DenseMap<Value, Value> from{{value, Value()}};
    while (!queue.empty()) {
      Value at = queue.front();
      queue.pop_front();
      if (at == target) {
        SmallVector<Value> way;
        for (Value v = at; v; v = from.lookup(v))
          way.push_back(v);
        std::reverse(way.begin(), way.end());
        return way.size() > 1 ? way : SmallVector<Value>();
      }
      for (Value base : bases(at))
        if (from.try_emplace(base, at).second)
          queue.push_back(base);
    }
    return {};
  }

  /// `value` is stored over `target`; so is all that leads there.
  void mark(Value value, Value target) {
    SmallVector<Value> way = path(value, target);
    for (size_t i = 0; i + 1 < way.size(); ++i) {
      if (!found.over.try_emplace(way[i], way[i + 1]).second)
        continue;
      auto call = way[i].getDefiningOp<func::CallOp>();
      if (!call)
        continue;
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      for (auto [a, operand] : llvm::enumerate(call.getOperands()))
        if (operand == way[i + 1])
          pending.push_back(
              {callee, cast<OpResult>(way[i]).getResultNumber(), unsigned(a)});
    }
  }

  ModuleOp module;
  SymbolTable symbols;
  std::deque<Tie> pending;
  InPlace found;
};

} // namespace

InPlace findInPlace(ModuleOp module) { return Finder(module).run(); }

} // namespace ltc
