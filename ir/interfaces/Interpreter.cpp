// SPDX-License-Identifier: Apache-2.0
#include "ir/interfaces/Interpreter.h"
#include "ir/ops/Ops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace ltc {
namespace {
using Tensors = std::vector<HostTensor>;

Tensors copies(ArrayRef<const HostTensor *> inputs) {
  Tensors result;
  for (const HostTensor *input : inputs)
    result.push_back(*input);
  return result;
}

/// A dense arith.constant of tensor type.
FailureOr<Tensors> constant(arith::ConstantOp op) {
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!dense)
    return op.emitError("the interpreter runs tensors only");
  HostTensor out(dense.getType().getShape().vec());
  int64_t at = 0;
  if (isa<FloatType>(dense.getElementType()))
    for (APFloat value : dense.getValues<APFloat>())
      out.data[at++] = FloatAttr::getValueAsDouble(value);
  else
    for (APInt value : dense.getValues<APInt>())
      out.data[at++] = static_cast<double>(
          value.getBitWidth() == 1 ? value.getZExtValue()
                                   : value.getSExtValue());
  return Tensors{out};
}
} // namespace

FailureOr<Tensors> Interpreter::call(StringRef symbol,
                                     ArrayRef<HostTensor> arguments) {
  Operation *callee = SymbolTable::lookupSymbolIn(module, symbol);
  if (auto kernel = dyn_cast_or_null<KernelOp>(callee))
    return run(kernel.getBody().front(), arguments);
  auto function = dyn_cast_or_null<func::FuncOp>(callee);
  if (!function || function.isExternal())
    return module.emitError("the interpreter finds no body of @") << symbol;
  return run(function.getBody().front(), arguments);
}

FailureOr<Tensors> Interpreter::run(Block &body,
                                    ArrayRef<HostTensor> arguments) {
  Operation *parent = body.getParentOp();
  if (body.getNumArguments() != arguments.size())
    return parent->emitError("takes ") << body.getNumArguments()
                                       << " arguments, not "
                                       << arguments.size();
  DenseMap<Value, HostTensor> values;
  for (auto [argument, tensor] : llvm::zip(body.getArguments(), arguments)) {
    if (shapeOf(argument) != ArrayRef<int64_t>(tensor.shape))
      return parent->emitError("argument ")
             << argument.getArgNumber() << " is " << argument.getType()
             << ", but the tensor given has another shape";
    values[argument] = tensor;
  }
  for (Operation &op : body) {
    SmallVector<const HostTensor *> inputs;
    for (Value operand : op.getOperands())
      inputs.push_back(&values.find(operand)->second);
    if (op.hasTrait<OpTrait::IsTerminator>())
      return copies(inputs);
    FailureOr<Tensors> results = evaluate(op, inputs);
    if (failed(results))
      return failure();
    for (auto [value, tensor] : llvm::zip(op.getResults(), *results))
      values[value] = std::move(tensor);
  }
  return Tensors();
}

FailureOr<Tensors>
Interpreter::evaluate(Operation &op, ArrayRef<const HostTensor *> inputs) {
  if (auto reference = dyn_cast<EvaluateInterface>(op))
    return reference.evaluate(inputs);
  if (auto inner = dyn_cast<func::CallOp>(op))
    return call(inner.getCallee(), copies(inputs));
  if (auto launch = dyn_cast<LaunchOp>(op))
    return call(launch.getKernel(), copies(inputs));
  if (auto value = dyn_cast<arith::ConstantOp>(op))
    return constant(value);
  return op.emitError("has no reference");
}

} // namespace ltc
