// SPDX-License-Identifier: Apache-2.0
// Which attention a kernel holds, and whether the target can do it.
#include "backends/cpu/target/AttentionBlock.h"

using namespace mlir;

namespace ltc::cpu {
namespace {

/// Keys of a block: their scores by kRows take 16 KiB of the L1 cache.
constexpr int64_t kMostKeys = 64;

bool isIdentity(Region &score) {
  return score.empty() || score.front().getTerminator()->getOperand(0) ==
                              Value(score.front().getArgument(0));
}

/// The score's block with the derivatives that a gradient needs.
template <typename Op> LogicalResult readScore(Op op, AttentionForm &form) {
  if (isIdentity(op.getScore()))
    return success();
  SmallVector<unsigned> by;
  if (std::is_same_v<Op, AttentionGradOp>)
    by.push_back(0);
  for (int64_t n : form.extraGrads)
    by.push_back(3 + n);
  form.score = std::make_shared<Region>();
  return scoreWithSlopes(op.getScore(), by, *form.score);
}

template <typename Op>
LogicalResult checkElements(KernelOp kernel, Op op, Type element) {
  if (!element.isF32() && !element.isBF16())
    return kernel.emitError("the CPU target's attention expects f32 or bf16, "
                            "not ")
           << element;
  if constexpr (std::is_same_v<Op, AttentionGradOp>)
    if (!elementOf(op.getDKey()).isF32() ||
        !elementOf(op.getDValue()).isF32() ||
        elementOf(op.getOutput()) != element)
      return kernel.emitError("the CPU target's attention_grad gives f32 "
                              "gradients of key and value, and reads an output "
                              "of the query's type");
  return success();
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
                     .score = {},
                     .extraGrads = {},
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
  if constexpr (std::is_same_v<Op, AttentionGradOp>) {
    form.extraGrads = op.getExtraGrads();
  } else {
    form.sink = op.getSink();
    form.offset = op.getOffset();
    form.vectors = std::min<int64_t>(
        kRowVectors, llvm::divideCeil(form.rows(), kLanes));
  }
  if (failed(readScore(op, form)))
    return failure();
  for (unsigned n = 0; n < form.extras.size(); ++n)
    if (form.extraKind(n) == ExtraKind::Pair &&
        elementOf(form.extras[n]).getIntOrFloatBitWidth() != 32)
      return kernel.emitError("the CPU target's attention reads a value by "
                              "query and key only as f32 or i32");
  if (failed(checkElements(kernel, op, form.element)))
    return failure();
  form.bounds = keepBounds(op.getKeep());
  return form;
}

} // namespace

ExtraKind AttentionForm::extraKind(unsigned extra) const {
  AffineMap map = maps[extra];
  bool byKey = map.isFunctionOfDim(4),
       byRow = map.isFunctionOfDim(2) || map.isFunctionOfDim(3);
  if (byKey)
    return byRow ? ExtraKind::Pair : ExtraKind::Key;
  return ExtraKind::Row;
}

FailureOr<AttentionForm> attentionForm(KernelOp kernel) {
  Operation *found = nullptr;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    if (isa<ReshapeOp, MapOp, SliceOp, JoinOp, ShiftOp>(op))
      continue;
    if (found || !isa<AttentionOp, AttentionGradOp>(op))
      return kernel.emitError("the CPU target's attention takes maps of its "
                              "query, key and value, but this kernel also "
                              "holds ")
             << op.getName();
    found = &op;
  }
  for (auto [n, operand] : llvm::enumerate(found->getOperands()))
    if (n > 2 && isMade(operand))
      return kernel.emitError("the CPU target's attention reads all but its "
                              "query, key and value as arguments");
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
