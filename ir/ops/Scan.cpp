// SPDX-License-Identifier: Apache-2.0
// Verifier, folder, meaning and gradient of ltc.scan; labels: Scan.td.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace ltc;

LogicalResult ltc::ScanOp::verify() {
  auto type = cast<RankedTensorType>(getInput().getType());
  if (!isa<FloatType>(type.getElementType()) ||
      getDim() >= uint64_t(type.getRank()))
    return emitOpError("(C1) expects floats with dimension ")
           << getDim() << ", but x is " << type;
  if (getDecay() && getDecay().getType() != type)
    return emitOpError("(C2) expects a decay of type ")
           << type << ", but it is " << getDecay().getType();
  if (getDocument() &&
      (!elementOf(getDocument()).isInteger(32) ||
       shapeOf(getDocument()) != type.getShape().take_front(getDim() + 1)))
    return emitOpError("(C3) expects an i32 document with the dimensions of ")
           << type << " up to and including " << getDim();
  return success();
}

/// One element has nothing before it; a decay of 0 or 1 is no operand.
OpFoldResult ltc::ScanOp::fold(FoldAdaptor) {
  if (shapeOf(getInput())[getDim()] == 1)
    return getInput();
  arith::ConstantOp fill = getDecay() ? fillOf(getDecay()) : nullptr;
  auto number = fill ? dyn_cast<FloatAttr>(fill.getValue()) : FloatAttr();
  if (number && number.getValue().isZero())
    return getInput();
  if (!number || !number.getValue().isExactlyValue(1))
    return {};
  getDecayMutable().clear();
  return getOutput();
}

Factors ScanOp::factors() {
  return sequenceFactors(shapeOf(getInput()), getDim(), getDecay() ? 2 : 1,
                         bool(getDocument()));
}

double ScanOp::flops() {
  double elements = ShapedType::getNumElements(shapeOf(getInput()));
  return (getDecay() ? 2 : 1) * elements;
}
bool ScanOp::cheapToRecompute() { return false; }

std::vector<HostTensor> ScanOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(in[0]->shape);
  const HostTensor *decay = getDecay() ? in[1] : nullptr;
  const HostTensor *document = getDocument() ? in.back() : nullptr;
  int64_t inner = stridesOf(out.shape)[getDim()], size = out.shape[getDim()];
  int64_t step = getReverse() ? -1 : 1;
  for (int64_t n = 0; n < out.size(); ++n) {
    int64_t i = getReverse() ? out.size() - 1 - n : n;
    int64_t before = i / inner % size - step;
    bool goesOn = before >= 0 && before < size;
    // A document's element for each position up to and including dim.
    if (goesOn && document)
      goesOn = document->data[i / inner] == document->data[i / inner - step];
    out.data[i] = in[0]->data[i];
    if (goesOn)
      out.data[i] +=
          (decay ? decay->data[i] : 1) * out.data[i - step * inner];
  }
  return {out};
}

// With s = 1, in reverse -1: x[t] reaches y[t], and y[t] reaches y[t + s]
// times decay[t + s]. So dx is the scan of dy the other way, by the decay
// shifted, and decay[t] meets y[t - s].
FailureOr<SmallVector<Value>> ScanOp::gradient(OpBuilder &b,
                                               ArrayRef<Value> dResults,
                                               ArrayRef<bool> wanted) {
  SmallVector<Value> grads(getNumOperands());
  Value decay = getDecay(), document = getDocument();
  if (!dResults[0] || !(wanted[0] || (decay && wanted[1])))
    return grads;
  Type type = getInput().getType();
  int64_t step = getReverse() ? -1 : 1;
  Value next;
  if (decay)
    next = ShiftOp::create(b, getLoc(), type, decay, document, getDim(), -step);
  Value dInput = ScanOp::create(b, getLoc(), type, dResults[0], next, document,
                                getDim(), !getReverse());
  if (wanted[0])
    grads[0] = dInput;
  if (!decay || !wanted[1])
    return grads;
  Value before =
      ShiftOp::create(b, getLoc(), type, getOutput(), document, getDim(), step);
  AffineMap same = b.getMultiDimIdentityMap(shapeOf(before).size());
  grads[1] = buildMap(b, getLoc(), type, {dInput, before}, {same, same},
                      [&](OpBuilder &b, ValueRange x) {
                        Value product =
                            arith::MulFOp::create(b, getLoc(), x[0], x[1]);
                        return SmallVector<Value>{product};
                      })
                 .getResult(0);
  return grads;
}
