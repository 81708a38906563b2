// SPDX-License-Identifier: Apache-2.0
// Verifier, meaning and gradient of ltc.contract; labels (C1..): Contract.td.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "ir/ops/Labels.h"

using namespace mlir;
using namespace ltc;

LogicalResult ltc::addLabels(Operation *op, Value value,
                             ArrayRef<int64_t> labels, LabelSizes &sizes) {
  ArrayRef<int64_t> shape = ltc::shapeOf(value);
  llvm::DenseSet<int64_t> seen;
  if (labels.size() != shape.size())
    return op->emitOpError("(C1) expects one label per dimension of ")
           << value.getType();
  for (auto [label, size] : llvm::zip(labels, shape)) {
    if (!seen.insert(label).second)
      return op->emitOpError("(C1) expects distinct labels, but ")
             << label << " repeats";
    auto known = sizes.insert({label, size}).first;
    if (known->second != size)
      return op->emitOpError("(C2) expects equal sizes for label ")
             << label << ", but they are " << known->second << " and " << size;
  }
  return success();
}

LogicalResult ltc::ContractOp::verify() {
  LabelSizes sizes;
  if (failed(addLabels(*this, getLhs(), getLhsDims(), sizes)) ||
      failed(addLabels(*this, getRhs(), getRhsDims(), sizes)))
    return failure();
  for (int64_t label : getOutDims())
    if (!sizes.count(label))
      return emitOpError("(C3) expects label ")
             << label << " of the result in an operand";
  if (failed(addLabels(*this, getOutput(), getOutDims(), sizes)))
    return failure();
  for (auto [label, size] : sizes) {
    bool left = llvm::is_contained(getLhsDims(), label);
    bool right = llvm::is_contained(getRhsDims(), label);
    if (left != right && !llvm::is_contained(getOutDims(), label))
      return emitOpError("(C3) expects label ")
             << label << ", of one operand only, in the result";
  }
  Type element = elementOf(getLhs());
  if (elementOf(getRhs()) != element)
    return emitOpError("(C4) expects operands of one element type");
  Type sum = element.isBF16() ? Type(Float32Type::get(getContext())) : element;
  if (elementOf(getOutput()) != sum)
    return emitOpError("(C4) expects a sum of ")
           << sum << ", but it is " << elementOf(getOutput());
  return success();
}

bool ContractOp::isMatrixProduct() {
  auto hasOwn = [&](ArrayRef<int64_t> own, ArrayRef<int64_t> other) {
    return llvm::any_of(own, [&](int64_t label) {
      return !llvm::is_contained(other, label);
    });
  };
  ArrayRef<int64_t> out = getOutDims();
  if (out.empty())
    return false;
  bool lastIsShared = llvm::is_contained(getLhsDims(), out.back()) &&
                      llvm::is_contained(getRhsDims(), out.back());
  return hasOwn(getLhsDims(), getRhsDims()) &&
         hasOwn(getRhsDims(), getLhsDims()) && !lastIsShared;
}

namespace {
/// Labels become factors; a label that the result lacks is reduced.
struct Labels {
  ltc::Factors factors;
  llvm::DenseMap<int64_t, int64_t> factorOf;

  std::vector<ltc::Factors::Dim> dims(ArrayRef<int64_t> labels,
                                      ArrayRef<int64_t> shape,
                                      ArrayRef<int64_t> out) {
    std::vector<ltc::Factors::Dim> dims;
    for (auto [label, size] : llvm::zip(labels, shape)) {
      if (!factorOf.count(label))
        factorOf[label] =
            factors.add(size, llvm::is_contained(out, label)
                                  ? ltc::FactorKind::Parallel
                                  : ltc::FactorKind::Reduced);
      dims.push_back({factorOf[label]});
    }
    return dims;
  }
};
} // namespace

Factors ContractOp::factors() {
  Labels labels;
  auto lhs = labels.dims(getLhsDims(), shapeOf(getLhs()), getOutDims());
  auto rhs = labels.dims(getRhsDims(), shapeOf(getRhs()), getOutDims());
  auto out = labels.dims(getOutDims(), shapeOf(getOutput()), getOutDims());
  labels.factors.operands = {lhs, rhs};
  labels.factors.results = {out};
  return labels.factors;
}

double ContractOp::flops() {
  double points = 2;
  for (const Factors::Factor &factor : factors().all)
    points *= static_cast<double>(factor.size);
  return points;
}

bool ContractOp::cheapToRecompute() { return false; }

std::vector<HostTensor> ContractOp::evaluate(ArrayRef<const HostTensor *> in) {
  Factors all = factors();
  std::vector<int64_t> space;
  for (const Factors::Factor &factor : all.all)
    space.push_back(factor.size);
  HostTensor out(shapeOf(getOutput()).vec());
  auto strides = [&](const std::vector<Factors::Dim> &dims,
                     ArrayRef<int64_t> shape) {
    Strides result(space.size(), 0), own = stridesOf(shape);
    for (auto [i, dim] : llvm::enumerate(dims))
      result[dim[0]] = own[i];
    return result;
  };
  Strides l = strides(all.operands[0], in[0]->shape);
  Strides r = strides(all.operands[1], in[1]->shape);
  Strides o = strides(all.results[0], out.shape);
  forEachPoint(space, [&](ArrayRef<int64_t> p) {
    out.data[offsetAt(p, o)] +=
        in[0]->data[offsetAt(p, l)] * in[1]->data[offsetAt(p, r)];
  });
  return {out};
}

// By (C3), a label of one operand is in the other or in the result, so each
// gradient is a contraction again.
FailureOr<SmallVector<Value>> ContractOp::gradient(OpBuilder &b,
                                                   ArrayRef<Value> dResults,
                                                   ArrayRef<bool> wanted) {
  Value dy = dResults[0], dLhs, dRhs;
  if (elementOf(getLhs()).isBF16())
    return emitOpError("is differentiated before a precision policy narrows "
                       "its operands");
  if (dy && wanted[0])
    dLhs = ContractOp::create(b, getLoc(), getLhs().getType(), dy, getRhs(),
                              getOutDims(), getRhsDims(), getLhsDims(),
                              getF32());
  if (dy && wanted[1])
    dRhs = ContractOp::create(b, getLoc(), getRhs().getType(), dy, getLhs(),
                              getOutDims(), getLhsDims(), getRhsDims(),
                              getF32());
  return SmallVector<Value>{dLhs, dRhs};
}
