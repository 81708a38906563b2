// SPDX-License-Identifier: Apache-2.0
// Verifier, meaning and gradient of ltc.grouped_contract; labels (C1..):
// Routing.td.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "ir/ops/Labels.h"

using namespace mlir;
using namespace ltc;

LogicalResult ltc::GroupedContractOp::verify() {
  LabelSizes sizes;
  if (failed(addLabels(*this, getLhs(), getLhsDims(), sizes)) ||
      failed(addLabels(*this, getRhs(), getRhsDims(), sizes)) ||
      failed(addLabels(*this, getOutput(), getOutDims(), sizes)))
    return failure();
  int64_t row = getRow(), group = getGroup();
  if (shapeOf(getOffsets()) != ArrayRef<int64_t>(sizes.lookup(group) + 1) ||
      !elementOf(getOffsets()).isInteger(32))
    return emitOpError("(C2) expects i32 offsets with ")
           << sizes.lookup(group) + 1 << " elements, found "
           << getOffsets().getType();
  auto in = [](ArrayRef<int64_t> labels, int64_t label) {
    return llvm::is_contained(labels, label);
  };
  bool lhsRow = in(getLhsDims(), row), rhsRow = in(getRhsDims(), row);
  bool lhsGroup = in(getLhsDims(), group), rhsGroup = in(getRhsDims(), group);
  bool outRow = in(getOutDims(), row), outGroup = in(getOutDims(), group);
  bool rows = lhsRow != rhsRow && lhsGroup == rhsRow && rhsGroup == lhsRow &&
              outRow && !outGroup;
  bool sums = lhsRow && rhsRow && !lhsGroup && !rhsGroup && !outRow && outGroup;
  if (!rows && !sums)
    return emitOpError("(C3) expects the row in one operand and the result and "
                       "the group in the other operand, or the row in both "
                       "operands and the group in the result");
  for (auto [label, size] : sizes) {
    if (label == row || label == group)
      continue;
    bool left = in(getLhsDims(), label), right = in(getRhsDims(), label),
         out = in(getOutDims(), label);
    if ((!left && !right) || (left != right && !out))
      return emitOpError("(C4) expects label ")
             << label << " in both operands, or in one and in the result";
  }
  return success();
}

/// Rows and groups are not to be split: which belong together is data.
Factors GroupedContractOp::factors() {
  Factors factors;
  llvm::DenseMap<int64_t, int64_t> of;
  auto dims = [&](ArrayRef<int64_t> labels, ArrayRef<int64_t> shape) {
    std::vector<Factors::Dim> result;
    for (auto [label, size] : llvm::zip(labels, shape)) {
      bool whole = label == int64_t(getRow()) || label == int64_t(getGroup());
      bool kept = llvm::is_contained(getOutDims(), label);
      if (!of.count(label))
        of[label] = factors.add(size, whole  ? FactorKind::Whole
                                      : kept ? FactorKind::Parallel
                                             : FactorKind::Reduced);
      result.push_back({of[label]});
    }
    return result;
  };
  factors.operands = {dims(getLhsDims(), shapeOf(getLhs())),
                      dims(getRhsDims(), shapeOf(getRhs()))};
  factors.results = {dims(getOutDims(), shapeOf(getOutput()))};
  factors.operands.push_back(
      {{factors.add(shapeOf(getOffsets())[0], FactorKind::Whole)}});
  return factors;
}

/// Each row meets one group.
double GroupedContractOp::flops() {
  LabelSizes sizes;
  double points = 2;
  (void)addLabels(*this, getLhs(), getLhsDims(), sizes);
  (void)addLabels(*this, getRhs(), getRhsDims(), sizes);
  for (auto [label, size] : sizes)
    if (label != int64_t(getGroup()))
      points *= double(size);
  return points;
}

bool GroupedContractOp::cheapToRecompute() { return false; }

std::vector<HostTensor>
GroupedContractOp::evaluate(ArrayRef<const HostTensor *> in) {
  LabelSizes sizes;
  (void)addLabels(*this, getLhs(), getLhsDims(), sizes);
  (void)addLabels(*this, getRhs(), getRhsDims(), sizes);
  (void)addLabels(*this, getOutput(), getOutDims(), sizes);
  HostTensor out(shapeOf(getOutput()).vec());
  std::vector<int64_t> labels, space;
  for (auto [label, size] : sizes) {
    labels.push_back(label);
    space.push_back(label == int64_t(getGroup()) ? 1 : size);
  }
  auto strides = [&](ArrayRef<int64_t> of, ArrayRef<int64_t> shape) {
    Strides result(space.size(), 0), own = stridesOf(shape);
    for (auto [i, label] : llvm::enumerate(of))
      result[llvm::find(labels, label) - labels.begin()] = own[i];
    return result;
  };
  Strides l = strides(getLhsDims(), in[0]->shape),
          r = strides(getRhsDims(), in[1]->shape),
          o = strides(getOutDims(), out.shape);
  size_t row = llvm::find(labels, int64_t(getRow())) - labels.begin();
  size_t group = llvm::find(labels, int64_t(getGroup())) - labels.begin();
  const std::vector<double> &offsets = in[2]->data;
  forEachPoint(space, [&](ArrayRef<int64_t> point) {
    SmallVector<int64_t, 6> p(point);
    while (double(p[row]) >= offsets[p[group] + 1])
      ++p[group];
    out.data[offsetAt(p, o)] +=
        in[0]->data[offsetAt(p, l)] * in[1]->data[offsetAt(p, r)];
  });
  return {out};
}

// By (C3), the row and group of a gradient are again as (C3) wants them.
FailureOr<SmallVector<Value>>
GroupedContractOp::gradient(OpBuilder &b, ArrayRef<Value> dResults,
                            ArrayRef<bool> wanted) {
  Value dy = dResults[0];
  SmallVector<Value> grads(3);
  if (dy && wanted[0])
    grads[0] = GroupedContractOp::create(
        b, getLoc(), getLhs().getType(), dy, getRhs(), getOffsets(), getRow(),
        getGroup(), getOutDims(), getRhsDims(), getLhsDims());
  if (dy && wanted[1])
    grads[1] = GroupedContractOp::create(
        b, getLoc(), getRhs().getType(), dy, getLhs(), getOffsets(), getRow(),
        getGroup(), getOutDims(), getLhsDims(), getRhsDims());
  return grads;
}
