// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/target/ContractPlan.h"
#include "backends/cpu/target/Emitter.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// A kernel argument behind slices and regroupings.
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
  if (isa<BlockArgument>(value))
    return View{value, 0, rowMajor(shapeOf(value))};
  if (auto slice = value.getDefiningOp<SliceOp>()) {
    FailureOr<View> view = viewOf(slice.getInput());
    if (succeeded(view))
      view->offset += slice.getOffset() * view->strides[slice.getDim()];
    return view;
  }
  auto reshape = value.getDefiningOp<ReshapeOp>();
  if (reshape && isa<BlockArgument>(reshape.getInput()))
    return View{reshape.getInput(), 0, rowMajor(shapeOf(value))};
  return failure();
}

int64_t strideOf(ArrayRef<int64_t> labels, const View &view, int64_t label) {
  auto *found = llvm::find(labels, label);
  return found == labels.end() ? 0 : view.strides[found - labels.begin()];
}

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
        continue;
      }
    }
    merged.push_back(axis);
  }
  return merged;
}

} // namespace

FailureOr<ContractPlan> planContract(ContractOp contract, bool plainStore,
                                     std::string &why) {
  FailureOr<View> lhs = viewOf(contract.getLhs()),
                  rhs = viewOf(contract.getRhs());
  if (failed(lhs) || failed(rhs)) {
    why = "a contraction reads a value that is computed in the same kernel";
    return failure();
  }
  ArrayRef<int64_t> left = contract.getLhsDims(), right = contract.getRhsDims(),
                    out = contract.getOutDims();
  auto sizeOf = [&](int64_t label) {
    auto *found = llvm::find(left, label);
    return found != left.end()
               ? shapeOf(contract.getLhs())[found - left.begin()]
               : shapeOf(contract.getRhs())[llvm::find(right, label) -
                                            right.begin()];
  };
  bool swap = out.empty() || !llvm::is_contained(right, out.back());
  ContractPlan plan;
  View a = swap ? *rhs : *lhs, b = swap ? *lhs : *rhs;
  ArrayRef<int64_t> aLabels = swap ? right : left,
                    bLabels = swap ? left : right;
  plan.a = a.argument;
  plan.b = b.argument;
  plan.aOffset = a.offset;
  plan.bOffset = b.offset;
  auto axisOf = [&](int64_t label) {
    return Axis{sizeOf(label), strideOf(aLabels, a, label),
                strideOf(bLabels, b, label), {}};
  };
  SmallVector<Axis> rows, columns, reduced;
  for (auto [dim, label] : llvm::enumerate(out)) {
    Axis axis = axisOf(label);
    axis.outs.push_back(dim);
    bool inA = llvm::is_contained(aLabels, label),
         inB = llvm::is_contained(bLabels, label);
    (inA && inB ? plan.outer : inA ? rows : columns).push_back(axis);
  }
  for (int64_t label : aLabels)
    if (!llvm::is_contained(out, label))
      reduced.push_back(axisOf(label));
  if (columns.empty() || columns.back().outs.back() + 1 != int64_t(out.size())) {
    why = "the last dimension of a contraction's result must come from one "
          "operand alone";
    return failure();
  }
  rows = collapse(rows, true, 1);
  columns = collapse(columns, true, plainStore ? 1 : kLanes);
  plan.k = collapse(reduced, false, 1);
  plan.n = columns.pop_back_val();
  // The longest row dimension is the one inside a tile.
  if (!rows.empty()) {
    auto *longest = llvm::max_element(rows, [](const Axis &x, const Axis &y) {
      return x.size < y.size;
    });
    plan.m = *longest;
    rows.erase(longest);
  }
  plan.outer.append(rows);
  plan.outer.append(columns);
  return plan;
}

} // namespace ltc::cpu
