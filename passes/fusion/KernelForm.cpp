// SPDX-License-Identifier: Apache-2.0
// P: the row dimensions. A value is a row value (P..), a full value (P.., R..)
// or final: it depends on a reduction over P and only leaves the kernel.
#include "passes/fusion/KernelForm.h"
#include "ir/ops/Attention.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <functional>

using namespace mlir;

namespace ltc {

StringRef kernelKindName(KernelKind kind) {
  switch (kind) {
  case KernelKind::Contract:
    return "contract";
  case KernelKind::Attention:
    return "attention";
  case KernelKind::Gather:
    return "gather";
  case KernelKind::Scatter:
    return "scatter";
  case KernelKind::Routing:
    return "routing";
  case KernelKind::Scan:
    return "scan";
  case KernelKind::Append:
    return "append";
  case KernelKind::Pointwise:
    return "pointwise";
  }
  llvm_unreachable("covered switch");
}

bool isOutermost(ArrayRef<int64_t> shape, int64_t dim) {
  return llvm::all_of(shape.take_front(dim), [](int64_t n) { return n == 1; });
}

bool isView(Operation *op) {
  if (isa<ReshapeOp>(op))
    return true;
  auto slice = dyn_cast<SliceOp>(op);
  return slice && isOutermost(shapeOf(slice.getInput()), slice.getDim());
}

namespace {

/// Float operations an element that maps may take on the way into a
/// contraction, which does them again for each tile of its other dimension: a
/// tile has some hundred multiply-adds for an element. A cast, a scaled sum or
/// a masked product stay below; an activation does not.
constexpr double kMostOnTheWay = 4;

bool hasCostlyMath(Operation *op) {
  return op
      ->walk([](Operation *inner) {
        bool costly = isa<arith::DivFOp, RandomOp>(inner) ||
                      isa<math::MathDialect>(inner->getDialect());
        return costly ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Work that is not repeated at every point of a larger space.
bool isExpensive(Operation *op) {
  return !isa<MapOp, SliceOp, JoinOp>(op) || hasCostlyMath(op);
}

/// Queries that read a key of an attention, on average; each query head of a
/// group counts.
double readersOfKey(Operation *attention) {
  ArrayRef<int64_t> query = shapeOf(attention->getOperand(0));
  int64_t queries = query[1], repeats = query[3],
          keys = shapeOf(attention->getOperand(1))[1];
  KeepBounds bounds = keepBounds(attention->getRegion(0));
  return bounds.pairs(queries, keys) * double(repeats) / double(keys);
}
/// Of a key that is made again for each block of queries: what was measured is
/// in backends/cpu/RATIONALE.md.
constexpr double kMostReaders = 320;

/// True if a vector of the last dimension of the op's result needs only some
/// vectors of the last dimension of what it reads.
bool staysInRow(Operation *op) {
  ArrayRef<int64_t> shape = shapeOf(op->getResult(0));
  int64_t last = int64_t(shape.size()) - 1;
  if (auto join = dyn_cast<JoinOp>(op))
    return int64_t(join.getDim()) == last;
  if (auto shift = dyn_cast<ShiftOp>(op))
    return int64_t(shift.getDim()) == last;
  if (auto reshape = dyn_cast<ReshapeOp>(op)) {
    ArrayRef<int64_t> from = shapeOf(reshape.getInput());
    return last >= 0 && !from.empty() && from.back() == shape[last];
  }
  auto map = dyn_cast<MapOp>(op);
  for (unsigned n = 0; map && n < map.getInputs().size(); ++n)
    for (auto [at, index] : llvm::enumerate(map.getMap(n).getResults()))
      if (cast<AffineDimExpr>(index).getPosition() == last &&
          at + 1 != map.getMap(n).getNumResults())
        return false;
  return true;
}

class Analysis {
public:
  Analysis(ArrayRef<Operation *> ops, ArrayRef<Value> results, std::string &why)
      : ops(ops), results(results), inside(ops.begin(), ops.end()), why(why) {}

  std::optional<KernelForm> run() {
    bool fits = false;
    if (has<ContractOp, GroupedContractOp>())
      fits = contract();
    else if (has<AttentionOp, AttentionGradOp>())
      fits = attention();
    else if (has<GatherOp>())
      fits = alone(KernelKind::Gather);
    else if (has<TopKOp, RouteOp, DispatchOp, CombineOp>())
      fits = alone(KernelKind::Routing);
    else if (has<AppendOp>())
      fits = alone(KernelKind::Append);
    else if (has<ScatterAddOp>())
      fits = scatter();
    else if (has<ScanOp>())
      fits = scan();
    else
      fits = pointwise();
    return fits ? std::optional(form) : std::nullopt;
  }

private:
  template <typename... T> bool has() {
    return llvm::any_of(ops, [](Operation *op) { return isa<T...>(op); });
  }
  bool refuse(const char *text) {
    why = text;
    return false;
  }
  bool isInside(Value value) { return inside.contains(value.getDefiningOp()); }

  bool alone(KernelKind kind) {
    form.kind = kind;
    return ops.size() == 1 || refuse("its algorithm takes no other work yet");
  }

  bool contract() {
    form.kind = KernelKind::Contract;
    Operation *only = nullptr;
    for (Operation *op : ops) {
      if (isa<ContractOp, GroupedContractOp>(op)) {
        if (only)
          return refuse("a kernel holds one contraction");
        only = op;
      } else if (!isa<MapOp>(op)) {
        return refuse("a contraction meets only maps in its kernel");
      }
    }
    for (Value operand : only->getOperands())
      if (isInside(operand) && !onTheWay(only, operand))
        return false;
    ArrayRef<int64_t> space = shapeOf(only->getResult(0));
    for (Operation *op : ops) {
      auto map = dyn_cast<MapOp>(op);
      if (!map || form.onTheWay.contains(op))
        continue;
      if (map.getSpace() != space)
        return refuse("the map's space is not the contraction's result");
      for (auto [n, input] : llvm::enumerate(map.getInputs()))
        if (isInside(input) && !map.getMap(n).isIdentity())
          return refuse("an epilogue reads the sum at its own point only");
    }
    return true;
  }

  /// The maps that make `operand`, point by point, for the contraction alone.
  bool onTheWay(Operation *contraction, Value operand) {
    if (isa<GroupedContractOp>(contraction))
      return refuse("a grouped contraction reads its operands where they lie");
    llvm::SetVector<Operation *> making; // later ones first
    auto isRead = [&](Value value) {
      return value == operand ||
             llvm::any_of(value.getUsers(), [&](Operation *user) {
               return making.contains(user);
             });
    };
    double flops = 0;
    for (Operation *op : llvm::reverse(ops)) {
      auto map = dyn_cast<MapOp>(op);
      if (!map || llvm::none_of(map.getResults(), isRead))
        continue;
      for (Value result : map.getResults())
        if (llvm::is_contained(results, result) ||
            !llvm::all_of(result.getUsers(), [&](Operation *user) {
              return user == contraction ? result == operand
                                         : making.contains(user);
            }))
          return refuse("what others read too is made once, not on the way "
                        "into each contraction");
      for (auto [n, input] : llvm::enumerate(map.getInputs()))
        if (isInside(input) && !map.getMap(n).isIdentity())
          return refuse("a contraction's operand is made point by point");
      flops += map.flops() / ShapedType::getNumElements(map.getSpace());
      if (isExpensive(map) || flops > kMostOnTheWay)
        return refuse("costly work is not done again for each tile of a "
                      "contraction");
      making.insert(op);
      if (!form.onTheWay.insert(op))
        return refuse("one value would be made for both operands");
    }
    return true;
  }

  /// Cheap work on the way into query, key and value (rotary positions): each
  /// block of queries does it again for the keys that it reads.
  bool attention() {
    form.kind = KernelKind::Attention;
    Operation *only = nullptr;
    for (Operation *op : ops) {
      if (isa<AttentionOp, AttentionGradOp>(op)) {
        if (only)
          return refuse("a kernel holds one attention");
        only = op;
      } else if (only || !isa<MapOp, SliceOp, JoinOp, ShiftOp, ReshapeOp>(op)) {
        return refuse("only maps on its way join an attention");
      }
    }
    for (Value result : results)
      if (result.getDefiningOp() != only)
        return refuse("what would be made in attention's kernel has another "
                      "reader");
    auto forward = dyn_cast_or_null<AttentionOp>(only);
    if (forward && forward.getOffset() && ops.size() > 1)
      return refuse("the few queries that meet a cache are made apart: that "
                    "is faster");
    for (auto [n, operand] : llvm::enumerate(only->getOperands())) {
      if (!isInside(operand))
        continue;
      if (n > 2)
        return refuse("only attention's query, key and value are made in its "
                      "kernel");
      if (n > 0 && readersOfKey(only) > kMostReaders)
        return refuse("too many queries read a key that would be made again "
                      "for each block of them");
    }
    for (Operation *op : ops) {
      if (op == only)
        continue;
      if (hasCostlyMath(op))
        return refuse("costly work is not repeated for each block of queries");
      if (!staysInRow(op))
        return refuse("it reads other rows than attention does");
    }
    return true;
  }

  bool scatter() {
    form.kind = KernelKind::Scatter;
    if (ops.size() == 1)
      return true;
    auto map = dyn_cast<MapOp>(ops[1]);
    if (ops.size() != 2 || !isa<ScatterAddOp>(ops[0]) || !map ||
        !isElementwiseAdd(map) || results.size() != 1 ||
        results[0] != map.getResult(0) ||
        !llvm::is_contained(map.getInputs(), ops[0]->getResult(0)))
      return refuse("a scatter takes only the addition into its result");
    return true;
  }

  /// What a scan reads is made on its way, what follows is made from its
  /// element; another point is read only where that repeats no costly work.
  bool scan() {
    form.kind = KernelKind::Scan;
    ScanOp only;
    for (Operation *op : ops) {
      if (!isa<ScanOp, MapOp, SliceOp, JoinOp, ShiftOp>(op))
        return refuse("the op has no place in a scan's kernel");
      if (auto scan = dyn_cast<ScanOp>(op)) {
        if (only)
          return refuse("a kernel holds one scan");
        only = scan;
      }
    }
    llvm::DenseSet<Value> follows;
    for (Operation *op : ops) {
      for (Value result : op->getResults())
        if (shapeOf(result) != shapeOf(only.getInput()))
          return refuse("its space is not the scan's");
      auto map = dyn_cast<MapOp>(op);
      bool after = op == only;
      for (auto [n, operand] : llvm::enumerate(op->getOperands())) {
        after |= follows.contains(operand);
        if (!isInside(operand) || op == only ||
            (map && map.getMap(n).isIdentity()))
          continue;
        if (follows.contains(operand) || isCostly(operand))
          return refuse("it reads other points of what the kernel makes");
      }
      if (after)
        follows.insert(op->result_begin(), op->result_end());
    }
    return true;
  }

  /// True if making `value` again repeats costly work of this kernel.
  bool isCostly(Value value) {
    return isInside(value) &&
           (isExpensive(value.getDefiningOp()) ||
            llvm::any_of(value.getDefiningOp()->getOperands(),
                         [&](Value v) { return isCostly(v); }));
  }

  bool pointwise() {
    form.kind = KernelKind::Pointwise;
    for (Operation *op : ops)
      if (!isa<MapOp, ReduceOp, SliceOp, JoinOp, ShiftOp>(op))
        return refuse("the op has no place in a pointwise kernel");
    if (!splitSpace())
      return false;
    for (Operation *op : ops)
      if (!placeOp(op))
        return false;
    for (Value result : results)
      if (!finals.contains(result) && !hasRows(shapeOf(result)))
        return refuse("a result lacks the kernel's row dimensions");
    return true;
  }

  /// The rank of P from the reductions; without any, all but the last
  /// dimension. Its sizes from the widest value made here.
  bool splitSpace() {
    int64_t rank = -1;
    ArrayRef<int64_t> widest;
    auto see = [&](Value value) {
      if (shapeOf(value).size() > widest.size())
        widest = shapeOf(value);
    };
    for (Operation *op : ops) {
      if (auto reduce = dyn_cast<ReduceOp>(op)) {
        see(reduce.getInput());
        int64_t from = rowsOf(reduce);
        if (from == -2)
          return refuse("a reduction is over leading or trailing dimensions");
        if (from >= 0 && rank >= 0 && rank != from)
          return refuse("the reductions disagree about what a row is");
        rank = std::max(rank, from);
      }
      for (Value result : op->getResults())
        see(result);
    }
    if (rank < 0)
      rank = std::max<int64_t>(0, int64_t(widest.size()) - 1);
    form.rows.assign(widest.begin(), widest.begin() + rank);
    return true;
  }

  /// Rank of P that a reduction asks for; -1: any; -2: none would do.
  static int64_t rowsOf(ReduceOp reduce) {
    ArrayRef<int64_t> dims = reduce.getDims();
    int64_t rank = shapeOf(reduce.getInput()).size(), count = dims.size();
    if (count == rank)
      return -1;
    if (dims.empty() || dims.back() - dims.front() + 1 != count)
      return -2;
    if (dims.front() == 0)
      return count;
    return dims.back() == rank - 1 ? dims.front() : -2;
  }

  bool hasRows(ArrayRef<int64_t> shape) {
    return shape.take_front(form.rows.size()).equals(form.rows);
  }

  bool placeOp(Operation *op) {
    if (llvm::any_of(op->getOperands(),
                     [&](Value v) { return finals.contains(v); }))
      return placeFinal(op);
    if (auto reduce = dyn_cast<ReduceOp>(op))
      return placeReduce(reduce);
    for (Value result : op->getResults())
      if (!hasRows(shapeOf(result)))
        return refuse("its space does not begin with the kernel's rows");
    if (auto map = dyn_cast<MapOp>(op))
      return placeMap(map);
    int64_t dim = isa<SliceOp>(op)  ? cast<SliceOp>(op).getDim()
                  : isa<JoinOp>(op) ? cast<JoinOp>(op).getDim()
                                    : cast<ShiftOp>(op).getDim();
    if (dim < int64_t(form.rows.size()) &&
        llvm::any_of(op->getOperands(), [&](Value v) { return isInside(v); }))
      return refuse("it reads other rows of a value made in the kernel");
    return true;
  }

  bool placeReduce(ReduceOp reduce) {
    if (!hasRows(shapeOf(reduce.getInput())))
      return refuse("a reduction's input lacks the kernel's rows");
    bool all = reduce.getDims().size() == shapeOf(reduce.getInput()).size();
    if (!all && reduce.getDims().front() != 0) {
      form.rowReduces.push_back(reduce);
      return true;
    }
    form.finalReduces.push_back(reduce);
    finals.insert(reduce.getOutput());
    return true;
  }

  /// Values made here are read at their own row; at other points of the row
  /// only where making them again is cheap.
  bool placeMap(MapOp map) {
    int64_t rows = form.rows.size(), rank = map.getSpace().size();
    for (auto [n, input] : llvm::enumerate(map.getInputs())) {
      if (!isInside(input))
        continue;
      AffineMap read = map.getMap(n);
      for (int64_t dim = 0; dim < rows; ++dim)
        if (dim >= int64_t(read.getNumResults()) ||
            read.getDimPosition(dim) != dim)
          return refuse("it reads other rows of a value made in the kernel");
      bool rowValue = int64_t(read.getNumResults()) == rows;
      bool samePoint = read.isIdentity() || rowValue || rank == rows;
      if (!samePoint && isExpensive(input.getDefiningOp()))
        return refuse("costly work on a smaller space stays apart");
    }
    return true;
  }

  /// What follows a reduction over P: the addition into an accumulator.
  bool placeFinal(Operation *op) {
    auto map = dyn_cast<MapOp>(op);
    if (!map || !isElementwiseAdd(map))
      return refuse("a sum over rows only leaves the kernel");
    for (Value input : map.getInputs())
      if (isInside(input) && !finals.contains(input))
        return refuse("a sum over rows meets a value of one row");
    finals.insert(map.getResult(0));
    return true;
  }

  ArrayRef<Operation *> ops;
  ArrayRef<Value> results;
  llvm::DenseSet<Operation *> inside;
  llvm::DenseSet<Value> finals;
  std::string &why;
  KernelForm form;
};

} // namespace

std::optional<KernelForm> analyseKernel(ArrayRef<Operation *> ops,
                                        ArrayRef<Value> results,
                                        std::string &why) {
  return Analysis(ops, results, why).run();
}

std::optional<KernelForm> analyseKernel(KernelOp kernel, std::string &why) {
  SmallVector<Operation *> ops;
  for (Operation &op : kernel.getBody().front().without_terminator())
    ops.push_back(&op);
  SmallVector<Value> results(
      kernel.getBody().front().getTerminator()->getOperands());
  return analyseKernel(ops, results, why);
}

bool isFlat(KernelOp kernel) {
  auto elementsOf = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getNumElements();
  };
  int64_t elements = -1;
  auto fits = [&](Value value) {
    int64_t n = elementsOf(value);
    if (n == 1)
      return true;
    if (elements < 0)
      elements = n;
    return n == elements;
  };
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    if (auto map = dyn_cast<MapOp>(op)) {
      bool indexed = !map.getBody().front().getOps<IndexOp>().empty();
      if (indexed && map.getSpace().size() > 1)
        return false;
      for (auto [n, input] : llvm::enumerate(map.getInputs()))
        if (!map.getMap(n).isIdentity() && shapeOf(input).size() != 0)
          return false;
    } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
      if (!shapeOf(reduce.getOutput()).empty())
        return false;
    } else {
      return false;
    }
    for (Value value : op.getOperands())
      if (!fits(value))
        return false;
    for (Value value : op.getResults())
      if (!fits(value))
        return false;
  }
  return elements > 0;
}

SmallVector<SmallVector<ReduceOp>>
rowStages(ArrayRef<ReduceOp> rowReduces) {
  SmallVector<SmallVector<ReduceOp>> stages;
  llvm::DenseMap<Operation *, size_t> after; // the first stage that may read it
  std::function<size_t(Value)> stageOf = [&](Value value) -> size_t {
    Operation *op = value.getDefiningOp();
    if (!op)
      return 0;
    if (auto found = after.find(op); found != after.end())
      return found->second;
    size_t stage = 0;
    for (Value operand : op->getOperands())
      stage = std::max(stage, stageOf(operand));
    return after[op] = stage;
  };
  for (ReduceOp reduce : rowReduces) {
    size_t stage = stageOf(reduce.getInput());
    after[reduce] = stage + 1;
    if (stages.size() <= stage)
      stages.resize(stage + 1);
    stages[stage].push_back(reduce);
  }
  return stages;
}

} // namespace ltc
