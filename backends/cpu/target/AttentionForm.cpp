// SPDX-License-Identifier: Apache-2.0
// Which attention a kernel holds, and what its keep region implies.
#include "backends/cpu/target/AttentionBlock.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Keys of a block: their scores by kRows take 16 KiB of the L1 cache.
constexpr int64_t kMostKeys = 64;

/// Which position a scalar of the keep region is.
bool isPosition(Value value, unsigned argument, int64_t dim) {
  if (auto block = dyn_cast<BlockArgument>(value))
    return block.getArgNumber() == argument;
  auto index = value.getDefiningOp<IndexOp>();
  return index && int64_t(index.getDim()) == dim;
}
bool isT(Value value) { return isPosition(value, 0, 3); }
bool isU(Value value) { return isPosition(value, 1, 4); }

/// Reads `lhs < rhs` (<= if `orEqual`) as a bound on u, if it is one.
void readBound(Value lhs, Value rhs, bool orEqual, AttentionForm &form) {
  if (isU(lhs) && isT(rhs))
    form.causal = true;
  auto difference = lhs.getDefiningOp<arith::SubIOp>();
  APInt limit;
  if (difference && isT(difference.getLhs()) && isU(difference.getRhs()) &&
      matchPattern(rhs, m_ConstantInt(&limit)))
    form.window = limit.getSExtValue() + (orEqual ? 1 : 0);
}

/// Looks through the conjuncts of the keep condition.
void readConjuncts(Value condition, AttentionForm &form) {
  if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
    readConjuncts(both.getLhs(), form);
    return readConjuncts(both.getRhs(), form);
  }
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return;
  Value lhs = compare.getLhs(), rhs = compare.getRhs();
  switch (compare.getPredicate()) {
  case arith::CmpIPredicate::sle:
    return readBound(lhs, rhs, true, form);
  case arith::CmpIPredicate::slt:
    return readBound(lhs, rhs, false, form);
  case arith::CmpIPredicate::sge:
    return readBound(rhs, lhs, true, form);
  case arith::CmpIPredicate::sgt:
    return readBound(rhs, lhs, false, form);
  default:
    return;
  }
}

bool isIdentityScore(Region &score) {
  if (score.empty())
    return true;
  Block &body = score.front();
  return body.getTerminator()->getOperand(0) == Value(body.getArgument(0));
}

/// (b,g,r,t,u) of an extra: one that varies with a key and with a query would
/// be a read per pair.
bool readsPairs(AffineMap map) {
  bool byKey = false, byRow = false;
  for (unsigned i = 0; i < map.getNumResults(); ++i) {
    byKey |= map.getDimPosition(i) == 4;
    byRow |= map.getDimPosition(i) == 2 || map.getDimPosition(i) == 3;
  }
  return byKey && byRow;
}

template <typename Op>
FailureOr<AttentionForm> readForm(KernelOp kernel, Op op) {
  ArrayRef<int64_t> q = shapeOf(op.getQuery()), v = shapeOf(op.getValue());
  AttentionForm form{.op = op,
                     .query = op.getQuery(),
                     .key = op.getKey(),
                     .value = op.getValue(),
                     .extras = op.getExtras(),
                     .maps = {},
                     .keep = &op.getKeep(),
                     .element = elementOf(op.getQuery()),
                     .scale = float(op.getScale().convertToDouble()),
                     .batches = q[0],
                     .queries = q[1],
                     .keys = v[1],
                     .groups = q[2],
                     .repeats = q[3],
                     .size = q[4],
                     .valueSize = v[3],
                     .keyBlock = std::min(v[1], kMostKeys)};
  for (AffineMap map : op.getExtraMaps().template getAsValueRange<AffineMapAttr>())
    form.maps.push_back(map);
  if (!isIdentityScore(op.getScore()))
    return kernel.emitError("the CPU target has no attention with a score "
                            "text yet; leave score out");
  if (llvm::any_of(form.maps, readsPairs))
    return kernel.emitError("the CPU target's attention reads no value that "
                            "varies with both the query and the key");
  if (!form.element.isF32() && !form.element.isBF16())
    return kernel.emitError("the CPU target's attention expects f32 or bf16, "
                            "not ")
           << form.element;
  if (auto grad = dyn_cast<AttentionGradOp>(op.getOperation()))
    if (!elementOf(grad.getDKey()).isF32() ||
        !elementOf(grad.getDValue()).isF32() ||
        elementOf(grad.getOutput()) != form.element)
      return kernel.emitError("the CPU target's attention_grad gives f32 "
                              "gradients of key and value, and reads an output "
                              "of the query's type");
  if (!form.keep->empty())
    readConjuncts(form.keep->front().getTerminator()->getOperand(0), form);
  return form;
}

} // namespace

FailureOr<AttentionForm> attentionForm(KernelOp kernel) {
  Operation *found = nullptr;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    if (isa<ReshapeOp>(op))
      continue;
    if (found || !isa<AttentionOp, AttentionGradOp>(op))
      return kernel.emitError("the CPU target's attention stands alone in its "
                              "kernel, but this one also holds ")
             << op.getName();
    found = &op;
  }
  for (Value operand : found->getOperands())
    if (!isa<BlockArgument>(throughReshapes(operand)))
      return kernel.emitError("the CPU target's attention reads arguments only");
  for (Value result : yields(kernel))
    if (throughReshapes(result).getDefiningOp() != found)
      return kernel.emitError("the CPU target's attention kernel yields results "
                              "of its attention only");
  if (auto forward = dyn_cast<AttentionOp>(found))
    return readForm(kernel, forward);
  return readForm(kernel, cast<AttentionGradOp>(found));
}

FailureOr<LoweredKernel> lowerAttention(KernelOp kernel, ModuleOp into) {
  auto form = attentionForm(kernel);
  if (failed(form))
    return failure();
  if (isa<AttentionOp>(form->op))
    return lowerAttentionForward(kernel, into, *form);
  return lowerAttentionBackward(kernel, into, *form);
}

} // namespace ltc::cpu
