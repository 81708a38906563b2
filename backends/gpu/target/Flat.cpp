// SPDX-License-Identifier: Apache-2.0
// Kernels without rows: maps, views and gathers, and reductions over
// everything. The vectors of a result are cut into blocks; a thread takes a few
// of them, a block's width apart, and loads all before it stores any. With a
// reduction it goes on in a loop and leaves one number a block.
#include "backends/gpu/target/Block.h"
#include "passes/fusion/KernelForm.h"
#include <deque>

using namespace mlir;

namespace ltc::gpu {
namespace {

constexpr int64_t kThreads = 256;
/// Vectors that fill a large GPU once: 132 processors of 2048 threads.
constexpr int64_t kFill = 132 * 2048;
/// Vectors of a thread at most where nothing is reduced.
constexpr int64_t kSteps = 4;
/// Blocks at most where each leaves a number, vectors of a thread at least.
constexpr int64_t kPartials = 1024, kMinSteps = 8;

/// What happens at the points of one shape.
struct Section {
  explicit Section(ArrayRef<int64_t> sizes) : spread(sizes) {}
  Spread spread;
  SmallVector<Stored> stored;
  SmallVector<size_t> sums; ///< numbers of reductions of such a value
  int64_t chunk = 0;        ///< vectors of a block
  int64_t blocks() const { return llvm::divideCeil(spread.vectors, chunk); }
};

class Flat {
public:
  Flat(KernelOp kernel, const Machine &machine)
      : kernel(kernel), emit(kernel.getLoc(), machine), machine(machine),
        linear(isFlat(kernel)),
        reduces(kernel.getBody().front().getOps<ReduceOp>()) {}

  FailureOr<LoweredKernel> run(ModuleOp into) {
    plan();
    KernelLaunch launch = launchOf(kernel, symbolOf(kernel, machine), blocks,
                                   kThreads, reduces.size());
    emit.begin(into, launch);
    lowered.launches.push_back(std::move(launch));
    connect();
    PointEmitter points(emit, kernel, emit.bindings);
    points.alignment = machine.aligned ? kAlignment : 1;
    for (Section &section : sections)
      section.sums.empty() ? emitSteps(section, points)
                           : emitLoop(section, points);
    if (failed(checked(kernel, points.problem)))
      return failure();
    SmallVector<FinalSum> sums;
    for (ReduceOp reduce : reduces)
      sums.push_back({reduce, blocks, 1});
    if (!sums.empty() &&
        failed(lowerFinish(kernel, into, machine, sums, lowered)))
      return failure();
    return lowered;
  }

private:
  Section &sectionOf(Value tensor) {
    SmallVector<int64_t> sizes(shapeOf(tensor));
    // One index does for all dimensions.
    if (linear && sizes.size() > 1)
      sizes = {cast<RankedTensorType>(tensor.getType()).getNumElements()};
    for (Section &section : sections)
      if (section.spread.sizes == sizes)
        return section;
    return sections.emplace_back(sizes);
  }

  /// The grid; what is stored has no address before the function is begun.
  void plan() {
    for (Value value : yields(kernel))
      if (!isFinal(value, reduces))
        for (const Stored &part : partsOf(value, {}, 0))
          sectionOf(part.tensor).stored.clear();
    for (auto [n, reduce] : llvm::enumerate(reduces))
      sectionOf(reduce.getInput()).sums.push_back(n);
    for (Section &section : sections) {
      int64_t vectors = section.spread.vectors;
      int64_t steps =
          section.sums.empty()
              ? std::clamp<int64_t>(vectors / kFill, 1, kSteps)
              : std::max<int64_t>(
                    kMinSteps, llvm::divideCeil(vectors, kPartials * kThreads));
      section.chunk = kThreads * steps;
      blocks = std::max(blocks, section.blocks());
    }
    for (ReduceOp reduce : reduces)
      lowered.workspaceBytes.push_back(blocks *
                                       bytesOf(elementOf(reduce.getOutput())));
  }

  void connect() {
    size_t first = kernel.getBody().front().getNumArguments();
    for (auto [n, value] : llvm::enumerate(yields(kernel)))
      if (!isFinal(value, reduces))
        for (Stored &part : partsOf(value, emit.bindings[first + n], 0))
          sectionOf(part.tensor).stored.push_back(part);
  }

  Indices point(const Section &section, Value tensor, Value vector,
                Level level) {
    Indices at = section.spread.point(emit, vector, level);
    size_t rank = shapeOf(tensor).size();
    if (at.size() == rank)
      return at;
    Indices whole(rank);
    whole.back() = at.back();
    return whole;
  }

  void emitSteps(Section &section, PointEmitter &points) {
    const Spread &spread = section.spread;
    bool some = section.blocks() < blocks;
    emit.width = spread.width;
    emit.guarded(some ? emit.less(emit.block, section.blocks()) : Value(), [&] {
      points.enter(kOnce, nullptr);
      Value begin =
          emit.add(emit.mul(emit.block, section.chunk), emit.thread);
      struct Step {
        Value vector, valid;
        SmallVector<Value> values;
      };
      SmallVector<Step> steps;
      for (int64_t k = 0; k < section.chunk / kThreads; ++k) {
        Step step{emit.add(begin, k * kThreads), {}, {}};
        if (spread.vectors % section.chunk) {
          step.valid = emit.less(step.vector, spread.vectors);
          step.vector = emit.min(step.vector, emit.i64(spread.vectors - 1));
        }
        for (const Stored &one : section.stored)
          step.values.push_back(points.evaluate(
              one.tensor, point(section, one.tensor, step.vector, kRow)));
        steps.push_back(std::move(step));
      }
      for (Step &step : steps)
        emit.guarded(step.valid, [&] {
          for (auto [one, value] : llvm::zip(section.stored, step.values))
            one.store(points, value,
                      point(section, one.tensor, step.vector, kInner));
        });
    });
  }

  void emitLoop(Section &section, PointEmitter &points) {
    const Spread &spread = section.spread;
    emit.width = spread.width;
    SmallVector<Value> neutral;
    for (size_t n : section.sums) {
      Type element = elementOf(reduces[n].getInput());
      neutral.push_back(
          identity(emit, reduces[n].getKind(),
                   spread.width > 1 ? Type(emit.wide(element)) : element));
    }
    Value first = emit.mul(emit.block, section.chunk);
    Value end = emit.min(emit.add(first, section.chunk),
                         emit.i64(spread.vectors));
    auto body = [&](Value vector, ValueRange sums) {
      points.enter(kOnce, vector.getParentBlock()->getParentOp());
      points.enterInner();
      SmallVector<Value> values, next;
      for (const Stored &one : section.stored)
        values.push_back(points.evaluate(
            one.tensor, point(section, one.tensor, vector, kInner)));
      for (auto [sum, n] : llvm::zip(sums, section.sums)) {
        Value input = reduces[n].getInput();
        Indices at = point(section, input, vector, kInner);
        Value value = spread.width > 1 ? points.evaluateLanes(input, at)
                                       : points.evaluate(input, at);
        next.push_back(combine(emit, reduces[n].getKind(), sum, value));
      }
      for (auto [one, value] : llvm::zip(section.stored, values))
        one.store(points, value, point(section, one.tensor, vector, kInner));
      return next;
    };
    SmallVector<Value> sums = emit.loop(emit.add(first, emit.thread), end,
                                        kThreads, neutral, body);
    points.enter(kOnce, nullptr);
    SmallVector<Partial> partials;
    for (auto [sum, n] : llvm::zip(sums, section.sums)) {
      ReduceKind kind = reduces[n].getKind();
      partials.push_back({emit.fold(sum, kind), kind});
    }
    SmallVector<Value> totals = emit.teamFold(partials, kThreads, false);
    emit.guarded(emit.isZero(emit.thread), [&] {
      size_t base = emit.bindings.size() - reduces.size();
      for (auto [total, n] : llvm::zip(totals, section.sums))
        emit.store(total, emit.at(emit.bindings[base + n], total.getType(),
                                  emit.block));
    });
  }

  KernelOp kernel;
  Block emit;
  const Machine &machine;
  bool linear;
  SmallVector<ReduceOp> reduces;
  std::deque<Section> sections;
  int64_t blocks = 1;
  LoweredKernel lowered;
};

} // namespace

FailureOr<LoweredKernel> lowerFlat(KernelOp kernel, ModuleOp into,
                                   const Machine &machine) {
  return Flat(kernel, machine).run(into);
}

} // namespace ltc::gpu
