// SPDX-License-Identifier: Apache-2.0
#include "ir/interfaces/Interfaces.h"

using namespace mlir;

namespace ltc {

RankedTensorType TimeStep::typeOf(Type whole, TimeDim time) const {
  auto type = cast<RankedTensorType>(whole);
  if (!time)
    return type;
  SmallVector<int64_t> shape(type.getShape());
  shape[time.dim] = time.each * chunk;
  return type.clone(shape);
}

SmallVector<Value> TimeStep::again(Operation *op) {
  Operation *copy = builder.clone(*op);
  copy->setOperands(operands);
  for (auto [result, time] : llvm::zip(copy->getResults(), results))
    result.setType(typeOf(result.getType(), time));
  return llvm::to_vector_of<Value>(copy->getResults());
}

/// Elements behind the outermost factor of a dimension.
static int64_t behindFirst(const Factors &factors, const Factors::Dim &dim) {
  int64_t each = 1;
  for (int64_t factor : ArrayRef<int64_t>(dim).drop_front())
    each *= factors.all[factor].size;
  return each;
}

FailureOr<SmallVector<Value>> TimeStep::pointwise(Operation *op) {
  auto stated = dyn_cast<FactorsInterface>(op);
  if (!stated)
    return refuse("it does not say how its dimensions belong together");
  Factors factors = stated.factors();
  int64_t factor = -1, each = 1; // elements of the factor for one time
  for (auto [dims, time] : llvm::zip(factors.operands, times)) {
    if (!time)
      continue;
    const Factors::Dim &dim = dims[time.dim];
    if (dim.empty() || time.each % behindFirst(factors, dim) != 0)
      return refuse("it takes some times and leaves others");
    if (factor >= 0 && dim[0] != factor)
      return refuse("it pairs every time with every other");
    factor = dim[0];
    each = time.each / behindFirst(factors, dim);
  }
  if (factors.all[factor].kind != FactorKind::Parallel)
    return refuse(factors.all[factor].kind == FactorKind::Reduced
                      ? "it combines all times"
                      : "what it gives at one time depends on all of them");
  for (unsigned n = 0; n < times.size(); ++n)
    for (auto [d, dim] : llvm::enumerate(factors.operands[n]))
      if (!times[n] && llvm::is_contained(dim, factor)) {
        operands[n] = sliceOf(op->getOperand(n), int64_t(d));
        if (!operands[n])
          return refuse("it reads a value with one part for each time that no "
                        "input makes");
      }
  for (const auto &dims : factors.results) {
    TimeDim time;
    for (auto [d, dim] : llvm::enumerate(dims))
      if (llvm::is_contained(dim, factor)) {
        if (dim[0] != factor)
          return refuse("it mixes times with another dimension");
        time = {int64_t(d), each * behindFirst(factors, dim)};
      }
    results.push_back(time);
  }
  return again(op);
}

} // namespace ltc
