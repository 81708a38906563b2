// SPDX-License-Identifier: Apache-2.0
#include "passes/autodiff/Chunks.h"
#include "ir/interfaces/Points.h"
#include "ir/ops/Build.h"
#include "passes/autodiff/Reverse.h"

using namespace mlir;

namespace ltc {
namespace {
/// Adds the sums so far as arguments: result j becomes argument + result j.
void accumulateResults(func::FuncOp function, unsigned first, unsigned count) {
  Block &body = function.getBody().front();
  Operation *end = body.getTerminator();
  OpBuilder b(end);
  for (unsigned j = first; j < first + count; ++j) {
    Value value = end->getOperand(j);
    Value before = body.addArgument(value.getType(), value.getLoc());
    end->setOperand(j, buildAdd(b, value.getLoc(), before, value));
  }
  function.setType(b.getFunctionType(body.getArgumentTypes(),
                                     end->getOperandTypes()));
}

/// The part of `value` that belongs to the chunk at `point`.
Value sliceAt(OpBuilder &b, Location loc, Value value, const Tokens &tokens,
              ArrayRef<int64_t> sizes, ArrayRef<int64_t> point) {
  for (auto [dim, token] : llvm::enumerate(tokens)) {
    if (token < 0)
      continue;
    SmallVector<int64_t> shape(shapeOf(value));
    if (shape[dim] == sizes[token])
      continue;
    shape[dim] = sizes[token];
    value = SliceOp::create(b, loc,
                            RankedTensorType::get(shape, elementOf(value)),
                            value, dim, point[token] * sizes[token]);
  }
  return value;
}

SmallVector<int64_t> gridOf(const Head &head, ArrayRef<int64_t> sizes) {
  SmallVector<int64_t> grid;
  for (auto [whole, size] : llvm::zip(head.sizes, sizes))
    grid.push_back(whole / size);
  return grid;
}
} // namespace

ChunkFunction buildValueChunk(const Head &head, int64_t chunkBytes) {
  ChunkFunction chunk;
  chunk.sizes = head.chunkSizes(chunkBytes);
  std::string name =
      (func::FuncOp(head.function).getSymName() + ".value").str();
  chunk.function = cloneForChunk(head, name, chunk.sizes);
  accumulateResults(chunk.function, 0, chunk.function.getNumResults());
  return chunk;
}

FailureOr<ChunkFunction> buildGradientChunk(const Head &head,
                                            ArrayRef<bool> wanted,
                                            ArrayRef<bool> seeded,
                                            int64_t chunkBytes) {
  ChunkFunction chunk;
  chunk.sizes = head.chunkSizes(chunkBytes);
  std::string name =
      (func::FuncOp(head.function).getSymName() + ".chunk").str();
  chunk.function = cloneForChunk(head, name, chunk.sizes);
  Block &body = chunk.function.getBody().front();
  Operation *end = body.getTerminator();
  SmallVector<Value> sums(end->getOperands()), arguments;
  SmallVector<Operation *> ops;
  for (Operation &op : body.without_terminator())
    ops.push_back(&op);
  for (auto [i, argument] : llvm::enumerate(body.getArguments()))
    if (wanted[i])
      arguments.push_back(argument);
  SmallVector<std::pair<Value, Value>> seeds;
  for (auto [j, sum] : llvm::enumerate(sums))
    if (seeded[j])
      seeds.push_back({sum, body.addArgument(sum.getType(), sum.getLoc())});
  OpBuilder b(end);
  auto noCalls = [](OpBuilder &, func::CallOp call, ArrayRef<Value>,
                    ArrayRef<bool>) -> FailureOr<SmallVector<Value>> {
    return call.emitError("a wide value is read by a call");
  };
  auto grads = buildGradients(b, ops, seeds, arguments, noCalls);
  if (failed(grads))
    return failure();
  SmallVector<Value> slices, totals;
  for (unsigned i = 0, n = 0; i < wanted.size(); ++i) {
    if (!wanted[i] || !(*grads)[n++])
      continue;
    bool isChunk = llvm::any_of(head.arguments[i],
                                [](int64_t token) { return token >= 0; });
    (isChunk ? chunk.sliced : chunk.summed).push_back(i);
    (isChunk ? slices : totals).push_back((*grads)[n - 1]);
  }
  SmallVector<Value> results = slices;
  llvm::append_range(results, sums);
  llvm::append_range(results, totals);
  end->setOperands(results);
  accumulateResults(chunk.function, slices.size(),
                    sums.size() + totals.size());
  simplify(chunk.function);
  return chunk;
}

SmallVector<SmallVector<Value>> callChunks(OpBuilder &b, const Head &head,
                                           const ChunkFunction &chunk,
                                           ValueRange inputs, ValueRange seeds,
                                           SmallVector<Value> &totals) {
  SmallVector<SmallVector<Value>> slices(chunk.sliced.size());
  Location loc = func::FuncOp(head.function).getLoc();
  forEachPoint(gridOf(head, chunk.sizes), [&](ArrayRef<int64_t> point) {
    SmallVector<Value> operands;
    for (auto [input, tokens] : llvm::zip(inputs, head.arguments))
      operands.push_back(
          sliceAt(b, loc, input, tokens, chunk.sizes, point));
    llvm::append_range(operands, seeds);
    llvm::append_range(operands, totals);
    auto call = func::CallOp::create(b, loc, chunk.function, operands);
    for (auto [n, parts] : llvm::enumerate(slices))
      parts.push_back(call.getResult(n));
    for (auto [n, total] : llvm::enumerate(totals))
      total = call.getResult(slices.size() + n);
  });
  return slices;
}

Value joinChunks(OpBuilder &b, const Head &head, const ChunkFunction &chunk,
                 unsigned i, SmallVector<Value> parts) {
  Location loc = parts[0].getLoc();
  const Tokens &tokens = head.arguments[i];
  SmallVector<int64_t> grid = gridOf(head, chunk.sizes);
  for (int64_t token = static_cast<int64_t>(grid.size()) - 1; token >= 0;
       --token) {
    if (grid[token] == 1)
      continue;
    auto dim = llvm::find(tokens, token) - tokens.begin();
    SmallVector<Value> joined;
    for (size_t i = 0; i < parts.size(); i += grid[token]) {
      auto some = ArrayRef<Value>(parts).slice(i, grid[token]);
      if (dim == static_cast<int64_t>(tokens.size())) {
        Value sum; // the value does not vary along this token dimension
        for (Value part : some)
          sum = buildAdd(b, loc, sum, part);
        joined.push_back(sum);
        continue;
      }
      SmallVector<int64_t> shape(shapeOf(some[0]));
      shape[dim] *= grid[token];
      joined.push_back(JoinOp::create(
          b, loc, RankedTensorType::get(shape, elementOf(some[0])), some,
          dim));
    }
    parts = joined;
  }
  return parts[0];
}

} // namespace ltc
