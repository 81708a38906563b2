// SPDX-License-Identifier: Apache-2.0
// Verifiers, meaning and gradients of ltc.gather, ltc.scatter_add and
// ltc.shift; labels: Gather.td.
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"

using namespace mlir;
using namespace ltc;

/// (C1) rows[I.., rest] belongs to ids[I..] and a table [n, rest].
static LogicalResult verifyRows(Operation *op, Value table, Value ids,
                                Value rows) {
  SmallVector<int64_t> expected(ltc::shapeOf(ids));
  if (ltc::shapeOf(table).empty())
    return op->emitOpError("(C1) expects a table of at least one dimension");
  llvm::append_range(expected, ltc::shapeOf(table).drop_front());
  if (ltc::shapeOf(rows) != ArrayRef<int64_t>(expected) ||
      ltc::elementOf(rows) != ltc::elementOf(table))
    return op->emitOpError("(C1) expects rows of type ")
           << RankedTensorType::get(expected, ltc::elementOf(table))
           << ", but they are " << rows.getType();
  if (!ltc::elementOf(ids).isInteger(32))
    return op->emitOpError("(C2) expects i32 ids");
  return success();
}

LogicalResult ltc::GatherOp::verify() {
  return verifyRows(*this, getTable(), getIds(), getOutput());
}

LogicalResult ltc::ScatterAddOp::verify() {
  return verifyRows(*this, getOutput(), getIds(), getUpdates());
}

LogicalResult ltc::ShiftOp::verify() {
  if (getInput().getType() != getOutput().getType())
    return emitOpError("expects a result of the operand's type");
  if (getDim() >= shapeOf(getInput()).size())
    return emitOpError("expects a dimension of ") << getInput().getType();
  if (!getDocument())
    return success();
  if (!elementOf(getDocument()).isInteger(32) ||
      shapeOf(getDocument()) != shapeOf(getInput()).take_front(getDim() + 1))
    return emitOpError("(C1) expects an i32 document with the dimensions of ")
           << getInput().getType() << " up to and including " << getDim();
  return success();
}

/// ids (I..), rows (I.., rest), table (n, rest); n is not to be split.
static Factors rowFactors(Value table, Value ids, std::vector<Factors::Dim> &i,
                          std::vector<Factors::Dim> &rows,
                          std::vector<Factors::Dim> &own, FactorKind kind) {
  Factors factors;
  for (int64_t size : shapeOf(ids))
    i.push_back({factors.add(size, kind)});
  rows = i;
  own.push_back({factors.add(shapeOf(table)[0], FactorKind::Whole)});
  for (int64_t size : shapeOf(table).drop_front()) {
    own.push_back({factors.add(size)});
    rows.push_back(own.back());
  }
  return factors;
}

Factors GatherOp::factors() {
  std::vector<Factors::Dim> ids, rows, table;
  Factors factors = rowFactors(getTable(), getIds(), ids, rows, table,
                               FactorKind::Parallel);
  factors.operands = {table, ids};
  factors.results = {rows};
  return factors;
}

Factors ScatterAddOp::factors() {
  std::vector<Factors::Dim> ids, rows, table;
  Factors factors = rowFactors(getOutput(), getIds(), ids, rows, table,
                               FactorKind::Reduced);
  factors.operands = {ids, rows};
  factors.results = {table};
  return factors;
}

double GatherOp::flops() { return 0; }
bool GatherOp::cheapToRecompute() { return true; }
double ScatterAddOp::flops() {
  return static_cast<double>(ShapedType::getNumElements(shapeOf(getUpdates())));
}
bool ScatterAddOp::cheapToRecompute() { return false; }

std::vector<HostTensor> GatherOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  int64_t row = in[0]->size() / in[0]->shape[0];
  for (int64_t i = 0; i < in[1]->size(); ++i) {
    int64_t id = static_cast<int64_t>(in[1]->data[i]);
    std::copy_n(in[0]->data.begin() + id * row, row,
                out.data.begin() + i * row);
  }
  return {out};
}

std::vector<HostTensor>
ScatterAddOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(shapeOf(getOutput()).vec());
  int64_t row = out.size() / out.shape[0];
  for (int64_t i = 0; i < in[0]->size(); ++i)
    for (int64_t j = 0; j < row; ++j)
      out.data[static_cast<int64_t>(in[0]->data[i]) * row + j] +=
          in[1]->data[i * row + j];
  return {out};
}

FailureOr<SmallVector<Value>> GatherOp::gradient(OpBuilder &b,
                                                 ArrayRef<Value> dResults,
                                                 ArrayRef<bool> wanted) {
  Value dTable;
  if (dResults[0] && wanted[0])
    dTable = ScatterAddOp::create(b, getLoc(), getTable().getType(), getIds(),
                                  dResults[0]);
  return SmallVector<Value>{dTable, Value()};
}

FailureOr<SmallVector<Value>> ScatterAddOp::gradient(OpBuilder &b,
                                                     ArrayRef<Value> dResults,
                                                     ArrayRef<bool> wanted) {
  Value dUpdates;
  if (dResults[0] && wanted[1])
    dUpdates = GatherOp::create(b, getLoc(), getUpdates().getType(),
                                dResults[0], getIds());
  return SmallVector<Value>{Value(), dUpdates};
}

Factors ltc::sequenceFactors(ArrayRef<int64_t> shape, int64_t dim,
                             unsigned operands, bool asksDocument) {
  Factors factors;
  std::vector<Factors::Dim> dims;
  for (auto [i, size] : llvm::enumerate(shape))
    dims.push_back({factors.add(
        size, i == dim ? FactorKind::Whole : FactorKind::Parallel)});
  factors.results = {dims};
  factors.operands.assign(operands, dims);
  if (asksDocument)
    factors.operands.push_back({dims.begin(), dims.begin() + dim + 1});
  return factors;
}

Factors ShiftOp::factors() {
  return sequenceFactors(shapeOf(getInput()), getDim(), 1,
                         bool(getDocument()));
}

double ShiftOp::flops() { return 0; }
bool ShiftOp::cheapToRecompute() { return true; }

std::vector<HostTensor> ShiftOp::evaluate(ArrayRef<const HostTensor *> in) {
  HostTensor out(in[0]->shape);
  Strides strides = stridesOf(out.shape);
  int64_t dim = getDim(), inner = strides[dim], size = out.shape[dim];
  int64_t offset = getOffset();
  for (int64_t i = 0; i < out.size(); ++i) {
    int64_t t = i / inner % size, source = t - offset;
    if (source < 0 || source >= size)
      continue;
    // A document's element for each position up to and including dim.
    if (in.size() > 1 &&
        in[1]->data[i / inner] != in[1]->data[i / inner - offset])
      continue;
    out.data[i] = in[0]->data[i - offset * inner];
  }
  return {out};
}

// x at s reaches y at s + offset, if both are of one document.
FailureOr<SmallVector<Value>> ShiftOp::gradient(OpBuilder &b,
                                                ArrayRef<Value> dResults,
                                                ArrayRef<bool> wanted) {
  SmallVector<Value> grads(getNumOperands());
  if (dResults[0] && wanted[0])
    grads[0] = ShiftOp::create(b, getLoc(), getInput().getType(), dResults[0],
                               getDocument(), getDim(),
                               -static_cast<int64_t>(getOffset()));
  return grads;
}
