// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/target/ContractPlan.h"
#include "backends/emit/Emitter.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// A kernel argument behind slices and regroupings, or what a map makes.
struct View {
  Value argument;
  int64_t offset = 0;
  SmallVector<int64_t> strides;
};

SmallVector<int64_t> rowMajor(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

FailureOr<View> viewOf(Value value) {
  if (isa<BlockArgument>(value) || value.getDefiningOp<MapOp>())
    return View{value, 0, rowMajor(shapeOf(value))};
  if (auto slice = value.getDefiningOp<SliceOp>()) {
    FailureOr<View> view = viewOf(slice.getInput());
    if (succeeded(view) && !isa<BlockArgument>(view->argument))
      return failure();
    if (succeeded(view))
      view->offset += slice.getOffset() * view->strides[slice.getDim()];
    return view;
  }
  auto reshape = value.getDefiningOp<ReshapeOp>();
  if (reshape && isa<BlockArgument>(reshape.getInput()))
    return View{reshape.getInput(), 0, rowMajor(shapeOf(value))};
  return failure();
}

int64_t dimOf(ArrayRef<int64_t> labels, int64_t label) {
  auto *found = llvm::find(labels, label);
  return found == labels.end() ? -1 : found - labels.begin();
}

int64_t strideOf(ArrayRef<int64_t> labels, const View &view, int64_t label) {
  int64_t dim = dimOf(labels, label);
  return dim < 0 ? 0 : view.strides[dim];
}

constexpr int64_t kApart = int64_t(1) << 62; ///< no axis is a multiple of it

/// Walks neighbours as one where every operand's strides allow it.
SmallVector<Axis> collapse(ArrayRef<Axis> axes, bool outAdjacent,
                           int64_t innerMultiple) {
  SmallVector<Axis> merged;
  for (const Axis &axis : axes) {
    if (!merged.empty()) {
      Axis &last = merged.back();
      bool strides =
          last.a == axis.a * axis.size && last.b == axis.b * axis.size;
      bool outs = !outAdjacent || last.outs.back() + 1 == axis.outs.front();
      if (strides && outs && axis.size % innerMultiple == 0) {
        last.size *= axis.size;
        last.a = axis.a;
        last.b = axis.b;
        last.outs.append(axis.outs);
        last.aDims.append(axis.aDims);
        last.bDims.append(axis.bDims);
        continue;
      }
    }
    merged.push_back(axis);
  }
  return merged;
}

/// What both kinds of contraction say, row and group being -1 for a plain one.
struct Einsum {
  Value lhs, rhs, out, offsets;
  ArrayRef<int64_t> left, right, labels;
  int64_t row = -1, group = -1;
};

Einsum einsumOf(Operation *op) {
  if (auto grouped = dyn_cast<GroupedContractOp>(op))
    return {grouped.getLhs(),           grouped.getRhs(),
            grouped.getOutput(),        grouped.getOffsets(),
            grouped.getLhsDims(),       grouped.getRhsDims(),
            grouped.getOutDims(),       int64_t(grouped.getRow()),
            int64_t(grouped.getGroup())};
  auto plain = cast<ContractOp>(op);
  return {plain.getLhs(),     plain.getRhs(),     plain.getOutput(),  Value(),
          plain.getLhsDims(), plain.getRhsDims(), plain.getOutDims(), -1, -1};
}

int64_t sizeOf(const Einsum &e, int64_t label) {
  for (auto [labels, value] : {std::pair(e.left, e.lhs),
                               std::pair(e.right, e.rhs)})
    if (int64_t dim = dimOf(labels, label); dim >= 0)
      return shapeOf(value)[dim];
  return shapeOf(e.out)[dimOf(e.labels, label)];
}

/// Where rows or sums are ragged. `rows`, `reduced`: axes with their labels.
LogicalResult planGroups(ContractPlan &plan, const Einsum &e,
                         ArrayRef<int64_t> rows, ArrayRef<int64_t> reduced,
                         ArrayRef<Axis> k, std::string &why) {
  if (!isa<BlockArgument>(e.offsets)) {
    why = "a grouped contraction's offsets are computed in the same kernel";
    return failure();
  }
  plan.offsets = e.offsets;
  plan.groups = shapeOf(e.offsets)[0] - 1;
  plan.sumsRows = !llvm::is_contained(e.labels, e.row);
  if (!plan.sumsRows && !llvm::is_contained(rows, e.row)) {
    why = "the last dimension of a grouped contraction's result must come from "
          "the operand that has the groups";
    return failure();
  }
  if (plan.sumsRows && reduced.front() != e.row) {
    why = "rows are to be the outermost dimension of a sum over them";
    return failure();
  }
  for (const Axis &axis : k.drop_front())
    plan.perRow *= axis.size;
  return success();
}

} // namespace

bool needsPlaces(Value value) {
  auto map = value.getDefiningOp<MapOp>();
  if (!map)
    return false;
  if (!map.getBody().front().getOps<IndexOp>().empty())
    return true;
  for (auto [n, input] : llvm::enumerate(map.getInputs()))
    if (map.getMap(n).isIdentity() ? needsPlaces(input)
                                   : !shapeOf(input).empty())
      return true;
  return false;
}

FailureOr<ContractPlan> planContract(Operation *contract, bool plainStore,
                                     std::string &why) {
  Einsum e = einsumOf(contract);
  FailureOr<View> lhs = viewOf(e.lhs), rhs = viewOf(e.rhs);
  if (failed(lhs) || failed(rhs)) {
    why = "a contraction reads a value that is computed in the same kernel";
    return failure();
  }
  bool swap = e.labels.empty() || !llvm::is_contained(e.right, e.labels.back());
  ContractPlan plan;
  View a = swap ? *rhs : *lhs, b = swap ? *lhs : *rhs;
  ArrayRef<int64_t> aLabels = swap ? e.right : e.left,
                    bLabels = swap ? e.left : e.right;
  plan.a = a.argument;
  plan.b = b.argument;
  plan.aOffset = a.offset;
  plan.bOffset = b.offset;
  auto axisOf = [&](int64_t label) {
    Axis axis{sizeOf(e, label), strideOf(aLabels, a, label),
              strideOf(bLabels, b, label), {}, {}, {}};
    if (int64_t dim = dimOf(aLabels, label); dim >= 0)
      axis.aDims.push_back(dim);
    if (int64_t dim = dimOf(bLabels, label); dim >= 0)
      axis.bDims.push_back(dim);
    return axis;
  };
  SmallVector<Axis> rows, columns, reduced;
  SmallVector<int64_t> rowLabels, reducedLabels;
  for (auto [dim, label] : llvm::enumerate(e.labels)) {
    Axis axis = axisOf(label);
    axis.outs.push_back(dim);
    bool inA = llvm::is_contained(aLabels, label),
         inB = llvm::is_contained(bLabels, label);
    if (label == e.group)
      plan.outer.insert(plan.outer.begin(), axis);
    else
      (inA && inB ? plan.outer : inA ? rows : columns).push_back(axis);
    if (inA && !inB)
      rowLabels.push_back(label);
  }
  for (int64_t label : aLabels)
    if (!llvm::is_contained(e.labels, label)) {
      reduced.push_back(axisOf(label));
      reducedLabels.push_back(label);
    }
  if (columns.empty() ||
      columns.back().outs.back() + 1 != int64_t(e.labels.size())) {
    why = "the last dimension of a contraction's result must come from one "
          "operand alone";
    return failure();
  }
  if (e.offsets &&
      failed(planGroups(plan, e, rowLabels, reducedLabels, reduced, why)))
    return failure();
  plan.bGroup = strideOf(bLabels, b, e.group);
  bool raggedRows = e.offsets && !plan.sumsRows;
  // Lanes stay in one dimension where that one's places are asked for.
  bool aPlaces = needsPlaces(plan.a), bPlaces = needsPlaces(plan.b);
  bool rowLanes = !rows.empty() && rows.back().a == 1;
  if (!raggedRows)
    rows = collapse(rows, true, aPlaces && rowLanes ? kApart : 1);
  columns = collapse(columns, true, plainStore && !bPlaces ? 1 : kLanes);
  plan.k = collapse(reduced, false, aPlaces || bPlaces ? kLanes : 1);
  plan.n = columns.pop_back_val();
  // The longest row dimension is the one inside a tile, or that with groups.
  if (!rows.empty()) {
    auto *inside = llvm::max_element(rows, [](const Axis &x, const Axis &y) {
      return x.size < y.size;
    });
    if (raggedRows)
      inside = rows.begin() + (llvm::find(rowLabels, e.row) - rowLabels.begin());
    plan.m = *inside;
    rows.erase(inside);
  }
  plan.outer.append(rows);
  plan.outer.append(columns);
  return plan;
}

} // namespace ltc::cpu
