// SPDX-License-Identifier: Apache-2.0
// Groups grow greedily in program order. A merge must have a form, make no
// cycle among the groups, and keep what is stored in place safe.
#include "passes/fusion/Groups.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include <map>
#include <set>

using namespace mlir;

namespace ltc {

static bool makesKernel(Operation *op) {
  return isa<MapOp, ReduceOp, SliceOp, JoinOp, ShiftOp, ContractOp, AttentionOp,
             AttentionGradOp, GatherOp, ScatterAddOp, GroupedContractOp, TopKOp,
             RouteOp, DispatchOp, CombineOp, AppendOp, ScanOp>(op);
}

/// True if the join only says where its operands are stored: it is outermost,
/// and each operand is made by an op of this block for this join alone.
static bool isPlacement(JoinOp join) {
  if (!isOutermost(shapeOf(join.getOutput()), join.getDim()))
    return false;
  return llvm::all_of(join.getInputs(), [&](Value input) {
    Operation *def = input.getDefiningOp();
    if (!def || !input.hasOneUse() || isa<ReshapeOp, SliceOp>(def))
      return false;
    auto inner = dyn_cast<JoinOp>(def);
    return !inner || isPlacement(inner);
  });
}

static bool staysOutside(Operation *op) {
  if (auto join = dyn_cast<JoinOp>(op))
    return isPlacement(join);
  return isView(op) || !makesKernel(op);
}

SmallVector<Value> resultsOf(ArrayRef<Operation *> ops) {
  llvm::DenseSet<Operation *> inside(ops.begin(), ops.end());
  SmallVector<Value> results;
  for (Operation *op : ops)
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(),
                       [&](Operation *user) { return !inside.contains(user); }))
        results.push_back(result);
  return results;
}

Value baseInput(Value value, ArrayRef<Operation *> ops,
                const InPlace &inPlace) {
  Value base = inPlace.over.lookup(value);
  while (base && llvm::is_contained(ops, base.getDefiningOp()))
    base = inPlace.over.lookup(base);
  return base;
}

Groups::Groups(Block &body, const InPlace &inPlace)
    : body(body), inPlace(inPlace) {
  for (Operation &op : body) {
    position[&op] = groups.size();
    groupOf[&op] = groups.size();
    groups.push_back({{&op}, staysOutside(&op), {}});
  }
  for (Operation &op : body)
    for (Value value : op.getResults())
      if (Value base = inPlace.over.lookup(value))
        takers[base].push_back(value);
}

LogicalResult Groups::form(bool fuse) {
  if (failed(formSingles()))
    return failure();
  if (!fuse)
    return mergeAccumulators(), success();
  for (Operation &op : body)
    if (!groups[groupOf[&op]].fixed)
      mergeProducers(&op);
  mergeSiblings();
  return success();
}

/// A scatter adds row by row to what it is stored over; its own addition is
/// part of it.
void Groups::mergeAccumulators() {
  for (auto scatter : body.getOps<ScatterAddOp>())
    for (Operation *user : llvm::to_vector(scatter.getOutput().getUsers())) {
      std::string why;
      auto map = dyn_cast<MapOp>(user);
      if (map && isElementwiseAdd(map))
        tryMerge(groupOf[scatter], groupOf[user], why);
    }
}

/// Every op that is no view must be a kernel by itself.
LogicalResult Groups::formSingles() {
  for (Group &group : groups) {
    if (group.fixed)
      continue;
    std::string why;
    auto form = analyseKernel(group.ops, resultsOf(group.ops), why);
    if (!form)
      return group.ops[0]->emitError("no kernel form takes this op: ") << why;
    group.form = *form;
  }
  return success();
}

void Groups::mergeProducers(Operation *op) {
  // The latest first; with what regroups their results for this op.
  std::map<unsigned, SmallVector<Operation *, 1>, std::greater<>> producers;
  for (Value operand : op->getOperands()) {
    Operation *def = operand.getDefiningOp();
    Operation *view = regrouped(op, def);
    if (view)
      def = view->getOperand(0).getDefiningOp();
    if (!def || groups[groupOf[def]].fixed || groupOf[def] == groupOf[op])
      continue;
    auto &between = producers[groupOf[def]];
    if (view)
      between.push_back(view);
  }
  for (auto &[producer, between] : producers) {
    std::string why;
    if (producer == groupOf[op] || groups[producer].ops.empty() ||
        tryMerge(producer, groupOf[op], why, between))
      continue;
    refusals.push_back({op->getLoc(), groups[producer].ops.back()->getLoc(),
                        why});
  }
}

/// Query heads come to an attention regrouped by kv heads: the reshape `def`
/// if nothing else reads it; else null.
Operation *Groups::regrouped(Operation *reader, Operation *def) {
  bool goesIn = isa<AttentionOp, AttentionGradOp>(reader) &&
                isa_and_nonnull<ReshapeOp>(def) && def->hasOneUse() &&
                def->getOperand(0).getDefiningOp();
  return goesIn ? def : nullptr;
}

/// Pointwise kernels that read one value of the whole space read it once.
void Groups::mergeSiblings() {
  SmallVector<Value> values(body.getArguments());
  for (Operation &op : body)
    llvm::append_range(values, op.getResults());
  for (Value value : values) {
    llvm::SetVector<unsigned> reading;
    for (Operation *user : value.getUsers())
      if (position.count(user) && !groups[groupOf[user]].fixed)
        reading.insert(groupOf[user]);
    SmallVector<unsigned> order(reading.begin(), reading.end());
    llvm::sort(order);
    for (size_t i = 1; i < order.size(); ++i) {
      unsigned a = order[i - 1], b = order[i];
      auto whole = [&](unsigned g) {
        const KernelForm &form = groups[g].form;
        return form.kind == KernelKind::Pointwise && !form.rows.empty() &&
               shapeOf(value).size() > form.rows.size();
      };
      std::string why;
      if (groups[a].ops.empty() || groups[b].ops.empty() || !whole(a) ||
          !whole(b) || groups[a].form.rows != groups[b].form.rows)
        continue;
      if (tryMerge(a, b, why))
        order[i] = groupOf[groups[std::min(a, b)].ops[0]];
    }
  }
}

/// The merged group takes the smallest index. `between`: views by which b reads
/// a.
bool Groups::tryMerge(unsigned a, unsigned b, std::string &why,
                      ArrayRef<Operation *> between) {
  SmallVector<Operation *> ops(groups[a].ops);
  llvm::append_range(ops, groups[b].ops);
  llvm::append_range(ops, between);
  llvm::sort(ops, [&](Operation *x, Operation *y) {
    return position[x] < position[y];
  });
  auto form = analyseKernel(ops, resultsOf(ops), why);
  if (!form || !worthMerging(ops, *form, b, why) ||
      !staysInPlace(ops, *form, why))
    return false;
  SmallVector<unsigned> merged = {a, b};
  for (Operation *view : between)
    merged.push_back(groupOf[view]);
  if (makesCycle(merged)) {
    why = "something between them reads one and feeds the other";
    return false;
  }
  unsigned into = *llvm::min_element(merged);
  for (unsigned group : merged)
    groups[group].ops.clear();
  groups[into].ops = ops;
  groups[into].form = *form;
  for (Operation *op : ops)
    groupOf[op] = into;
  return true;
}

bool Groups::worthMerging(ArrayRef<Operation *> ops, const KernelForm &form,
                          unsigned reader, std::string &why) {
  auto isScalar = [](Operation *op) {
    return llvm::all_of(op->getResults(),
                        [](Value v) { return shapeOf(v).empty(); });
  };
  bool scalars = llvm::all_of(ops, isScalar);
  if (form.kind == KernelKind::Pointwise && !scalars) {
    llvm::DenseSet<Operation *> inside(ops.begin(), ops.end());
    for (Operation *op : ops) {
      auto map = dyn_cast<MapOp>(op);
      if (!map || !isScalar(op))
        continue;
      bool follows = llvm::any_of(map.getInputs(), [&](Value v) {
        return inside.contains(v.getDefiningOp());
      });
      if (!follows) {
        why = "scalars are computed once, in a kernel of their own";
        return false;
      }
    }
  }
  if (form.kind != KernelKind::Contract)
    return true;
  for (Operation *op : groups[reader].ops)
    for (Operation *user : op->getUsers())
      if (isa<MapOp>(op) && isa<ReduceOp>(user)) {
        why = "it feeds a reduction and is better computed with that";
        return false;
      }
  return true;
}

/// What is stored over an input is stored where all that read the input have
/// read it: at the same point, or after the whole sum.
bool Groups::staysInPlace(ArrayRef<Operation *> ops, const KernelForm &form,
                          std::string &why) {
  auto refuse = [&](const char *text) {
    why = text;
    return false;
  };
  llvm::DenseSet<Value> bases;
  for (Value result : resultsOf(ops)) {
    Value base = baseInput(result, ops, inPlace);
    if (!base)
      continue;
    if (!bases.insert(base).second)
      return refuse("two results would be stored over one input");
    for (Operation *op : ops)
      for (auto [n, operand] : llvm::enumerate(op->getOperands())) {
        if (operand != base)
          continue;
        auto map = dyn_cast<MapOp>(op);
        if (!map || !map.getMap(n).isIdentity() || form.onTheWay.contains(op))
          return refuse("an input stored over is read at other points");
      }
  }
  if (form.kind == KernelKind::Scatter && ops.size() > 1 && bases.empty())
    return refuse("a scatter adds only to what it is stored over");
  if (bases.empty() || form.kind != KernelKind::Pointwise)
    return true;
  // A sum over rows is stored in the end, a full value while others read on.
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      if (auto reduce = dyn_cast<ReduceOp>(op); reduce && bases.contains(operand))
        return refuse("a reduction reads an input that is stored over");
  return true;
}

Operation *Groups::inBody(Operation *op) {
  return body.findAncestorOpInBlock(*op);
}

SmallVector<Operation *> Groups::readers(Value value, bool throughViews) {
  SmallVector<Operation *> result;
  for (Operation *user : value.getUsers()) {
    Operation *op = inBody(user);
    result.push_back(op);
    if (throughViews && (isa<ReshapeOp, SliceOp>(op)) && groups[groupOf[op]].fixed)
      llvm::append_range(result, readers(op->getResult(0), true));
  }
  return result;
}

/// Who must come after `group`: readers of its results; and, of each value it
/// reads, whoever takes that value's place.
SmallVector<unsigned> Groups::successors(unsigned group) {
  llvm::SetVector<unsigned> after;
  for (Operation *op : groups[group].ops) {
    for (Value result : op->getResults())
      for (Operation *reader : readers(result, false))
        after.insert(groupOf[reader]);
    for (Value operand : op->getOperands()) {
      // The storage may be seen through views.
      for (Value at = operand; at;) {
        for (Value taker : takers.lookup(at))
          after.insert(groupOf[taker.getDefiningOp()]);
        Operation *def = at.getDefiningOp();
        at = def && isa<ReshapeOp, SliceOp>(def) && groups[groupOf[def]].fixed
                 ? def->getOperand(0)
                 : Value();
      }
    }
  }
  after.remove(group);
  return after.takeVector();
}

bool Groups::makesCycle(ArrayRef<unsigned> merged) {
  llvm::DenseSet<unsigned> seen;
  SmallVector<unsigned> stack;
  auto push = [&](unsigned from, bool first) {
    for (unsigned next : successors(from))
      if (!(first && llvm::is_contained(merged, next)) &&
          seen.insert(next).second)
        stack.push_back(next);
  };
  for (unsigned group : merged)
    push(group, true);
  while (!stack.empty()) {
    unsigned at = stack.pop_back_val();
    if (llvm::is_contained(merged, at))
      return true;
    push(at, false);
  }
  return false;
}

FailureOr<std::vector<Group>> Groups::sorted() {
  std::vector<unsigned> waits(groups.size(), 0);
  std::vector<SmallVector<unsigned>> after(groups.size());
  size_t total = 0;
  for (unsigned g = 0; g < groups.size(); ++g) {
    if (groups[g].ops.empty())
      continue;
    ++total;
    after[g] = successors(g);
    for (unsigned next : after[g])
      ++waits[next];
  }
  // Ready groups in order of their last op: close to the text's order.
  std::set<std::pair<unsigned, unsigned>> ready;
  auto enter = [&](unsigned g) {
    ready.insert({position[groups[g].ops.back()], g});
  };
  for (unsigned g = 0; g < groups.size(); ++g)
    if (!groups[g].ops.empty() && waits[g] == 0)
      enter(g);
  std::vector<Group> order;
  while (!ready.empty()) {
    unsigned g = ready.begin()->second;
    ready.erase(ready.begin());
    for (unsigned next : after[g])
      if (--waits[next] == 0)
        enter(next);
    order.push_back(groups[g]);
  }
  if (order.size() != total)
    return body.getParentOp()->emitError(
        "a value is read after what takes its place is stored");
  return order;
}

} // namespace ltc
