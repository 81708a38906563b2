// SPDX-License-Identifier: Apache-2.0
// Kernels of rows: reductions along each row with what feeds and follows them,
// and reductions over the rows. A row is one point of P, the leading dimensions
// that all values share; a team of threads takes it, and holds a short row in
// registers from its first reduction to what is stored.
//
// A reduction over P: a team takes a range of rows, keeps a sum for each of its
// columns in registers (of long rows in the workspace itself), and leaves one
// row of partial sums; a second launch adds them. Which rows share a team, and
// which vectors a thread, follows from the sizes of the row and of P alone.
#include "backends/gpu/target/Block.h"
#include "passes/fusion/KernelForm.h"
#include <deque>

using namespace mlir;

namespace ltc::gpu {
namespace {

/// Vectors of a row that a thread holds; longer rows are read in a loop. With 4
/// of them a LayerNorm's backward needs more registers than there are.
constexpr int64_t kHeld = 2;
constexpr int64_t kMaxTeam = 512, kMinBlock = 128;
/// Teams at most where each leaves a partial row, rows of a team at least.
constexpr int64_t kPartialRows = 512, kMinRows = 8;

/// One shape of what a row holds, spread over a team.
struct Rest {
  explicit Rest(ArrayRef<int64_t> sizes) : spread(sizes) {
    int64_t wanted = llvm::divideCeil(spread.vectors, kHeld);
    threads = std::min<int64_t>(kMaxTeam, llvm::PowerOf2Ceil(wanted));
    steps = llvm::divideCeil(spread.vectors, threads);
  }
  bool held() const { return steps <= kHeld; }

  Spread spread;
  int64_t threads = 1; ///< of the team that have some; a power of two
  int64_t steps = 1;   ///< vectors of a thread
  SmallVector<Indices> at; ///< if held, of each step
  SmallVector<Value> valid; ///< of each step; null: always
};

class Rows {
public:
  Rows(KernelOp kernel, const Machine &machine, const KernelForm &form)
      : kernel(kernel), machine(machine), form(form),
        stages(rowStages(form.rowReduces)), emit(kernel.getLoc(), machine) {}

  FailureOr<LoweredKernel> run(ModuleOp into) {
    plan();
    KernelLaunch launch =
        launchOf(kernel, symbolOf(kernel, machine), blocks, teams * team,
                 form.finalReduces.size());
    emit.begin(into, launch);
    lowered.launches.push_back(std::move(launch));
    PointEmitter points(emit, kernel, emit.bindings);
    points.alignment = machine.aligned ? kAlignment : 1;
    emitTeam(points);
    if (failed(checked(kernel, points.problem)))
      return failure();
    if (!sums.empty() &&
        failed(lowerFinish(kernel, into, machine, sums, lowered)))
      return failure();
    return lowered;
  }

private:
  using Step = std::function<SmallVector<Value>(
      const Indices &rest, Value valid, int64_t step, ValueRange carried)>;

  Rest &restOf(Value tensor) {
    ArrayRef<int64_t> sizes = shapeOf(tensor).drop_front(form.rows.size());
    for (Rest &rest : rests)
      if (ArrayRef<int64_t>(rest.spread.sizes) == sizes)
        return rest;
    return rests.emplace_back(sizes);
  }
  bool isAll(ReduceOp reduce) { return shapeOf(reduce.getOutput()).empty(); }
  Type typeOf(const Rest &rest, Value tensor) {
    Type element = elementOf(tensor);
    return rest.spread.width > 1
               ? Type(Emitter::lanes(element, rest.spread.width))
               : element;
  }
  SmallVector<Stored> storedParts() {
    SmallVector<Stored> parts;
    size_t first = kernel.getBody().front().getNumArguments();
    for (auto [n, value] : llvm::enumerate(yields(kernel)))
      if (!isFinal(value, form.finalReduces))
        parts.append(partsOf(
            value, emit.bindings.empty() ? Value() : emit.bindings[first + n],
            form.rows.size()));
    return parts;
  }

  void plan() {
    for (int64_t size : form.rows)
      rows *= size;
    for (ReduceOp reduce : form.rowReduces)
      restOf(reduce.getInput());
    for (ReduceOp reduce : form.finalReduces)
      restOf(reduce.getInput());
    for (const Stored &part : storedParts())
      restOf(part.tensor);
    for (Rest &rest : rests)
      team = std::max(team, rest.threads);
    teams = std::max<int64_t>(1, kMinBlock / team);
    if (!form.finalReduces.empty())
      rowsOfTeam = std::max<int64_t>(kMinRows,
                                     llvm::divideCeil(rows, kPartialRows));
    blocks = llvm::divideCeil(rows, rowsOfTeam * teams);
    for (ReduceOp reduce : form.finalReduces) {
      auto type = cast<RankedTensorType>(reduce.getOutput().getType());
      int64_t stride =
          isAll(reduce) ? 1 : llvm::alignTo(type.getNumElements(), kVector);
      sums.push_back({reduce, blocks * teams, stride});
      lowered.workspaceBytes.push_back(blocks * teams * stride *
                                       bytesOf(type.getElementType()));
    }
  }

  void emitTeam(PointEmitter &points) {
    lane = emit.rem(emit.thread, team);
    number = emit.add(emit.mul(emit.block, teams), emit.div(emit.thread, team));
    for (Rest &rest : rests)
      if (rest.held())
        holdSteps(rest);
    stored = storedParts();
    SmallVector<Value> neutral = beginSums();
    SmallVector<Value> totals =
        emit.loop(emit.i64(0), emit.i64(rowsOfTeam), 1, neutral,
                  [&](Value row, ValueRange carried) {
                    points.enter(kOnce, row.getParentBlock()->getParentOp());
                    return emitRow(row, carried, points);
                  });
    points.enter(kOnce, nullptr);
    endSums(totals, points);
  }

  /// Points of the vectors lane, lane + threads, ..: the same for every row.
  void holdSteps(Rest &rest) {
    Value taking;
    if (rest.threads < team)
      taking = emit.less(lane, rest.threads);
    for (int64_t k = 0; k < rest.steps; ++k) {
      Value vector = emit.add(lane, k * rest.threads), valid = taking;
      int64_t count = rest.spread.vectors;
      if ((k + 1) * rest.threads > count)
        valid = emit.both(valid, emit.less(vector, count));
      if (valid)
        vector = emit.min(vector, emit.i64(count - 1));
      rest.at.push_back(rest.spread.point(emit, vector, kOnce));
      rest.valid.push_back(valid);
    }
  }

  /// body(point in the row, whether it counts, number of the step or -1,
  /// carried values) for each of the thread's vectors.
  SmallVector<Value> overRest(Rest &rest, SmallVector<Value> carried,
                              PointEmitter &points, const Step &body) {
    emit.width = rest.spread.width;
    if (rest.held()) {
      for (int64_t k = 0; k < rest.steps; ++k)
        carried = body(rest.at[k], rest.valid[k], k, carried);
      return carried;
    }
    Value first = lane, count = emit.i64(rest.spread.vectors);
    if (rest.threads < team)
      first = emit.select(emit.less(lane, rest.threads), lane, count);
    SmallVector<Value> result = emit.loop(
        first, count, rest.threads, carried,
        [&](Value vector, ValueRange inner) {
          points.enter(kRow, vector.getParentBlock()->getParentOp());
          points.enterInner();
          return body(rest.spread.point(emit, vector, kInner), {}, -1, inner);
        });
    points.enter(kRow, nullptr);
    return result;
  }

  Indices joined(const Indices &rest) {
    Indices at = prefix;
    at.append(rest.begin(), rest.end());
    return at;
  }
  Value valueAt(Value tensor, const Rest &rest, const Indices &at,
                PointEmitter &points) {
    return rest.spread.width > 1 ? points.evaluateLanes(tensor, at)
                                 : points.evaluate(tensor, at);
  }

  SmallVector<Value> emitRow(Value inTeam, ValueRange carried,
                             PointEmitter &points) {
    points.enter(kRow, nullptr);
    Value row = emit.add(emit.mul(number, rowsOfTeam), inTeam);
    rowValid = {};
    if (rows % (rowsOfTeam * teams)) {
      // Every thread goes on: the others of its warp need it in shuffles.
      rowValid = emit.less(row, rows);
      row = emit.min(row, emit.i64(rows - 1));
    }
    prefix = Indices(form.rows.size());
    for (int64_t dim = int64_t(form.rows.size()) - 1; dim >= 0; --dim) {
      prefix[dim] = {dim ? emit.rem(row, form.rows[dim]) : row, 0, false, kRow};
      row = emit.div(row, form.rows[dim]);
    }
    for (ArrayRef<ReduceOp> stage : stages)
      emitStage(stage, points);
    SmallVector<Value> next(carried);
    for (Rest &rest : rests)
      next = emitRest(rest, next, points);
    return next;
  }

  /// The reductions of one stage, whose totals meet at one barrier.
  void emitStage(ArrayRef<ReduceOp> stage, PointEmitter &points) {
    SmallVector<Partial> partials;
    SmallVector<Value> outputs;
    for (Rest &rest : rests) {
      SmallVector<ReduceOp> mine;
      SmallVector<Value> neutral;
      emit.width = rest.spread.width;
      for (ReduceOp reduce : stage)
        if (&restOf(reduce.getInput()) == &rest) {
          mine.push_back(reduce);
          neutral.push_back(identity(emit, reduce.getKind(),
                                     typeOf(rest, reduce.getInput())));
        }
      if (mine.empty())
        continue;
      auto add = [&](const Indices &at, Value valid, int64_t,
                     ValueRange carried) {
        SmallVector<Value> next;
        for (auto [reduce, sum] : llvm::zip(mine, carried)) {
          ReduceOp op = reduce;
          Value value = valueAt(op.getInput(), rest, joined(at), points);
          value = emit.where(valid, value, op.getKind());
          next.push_back(combine(emit, op.getKind(), sum, value));
        }
        return next;
      };
      SmallVector<Value> totals = overRest(rest, neutral, points, add);
      for (auto [reduce, total] : llvm::zip(mine, totals)) {
        ReduceOp op = reduce;
        partials.push_back({emit.fold(total, op.getKind()), op.getKind()});
        outputs.push_back(op.getOutput());
      }
    }
    SmallVector<Value> totals = emit.teamFold(partials, team, rowsOfTeam > 1);
    for (auto [output, total] : llvm::zip(outputs, totals))
      points.bind(output, total, kRow);
  }

  /// Stores and sums over P of one shape.
  SmallVector<Value> emitRest(Rest &rest, SmallVector<Value> carried,
                              PointEmitter &points) {
    SmallVector<Stored> mine;
    for (const Stored &one : stored)
      if (&restOf(one.tensor) == &rest)
        mine.push_back(one);
    bool sumsUp = llvm::any_of(form.finalReduces, [&](ReduceOp reduce) {
      return &restOf(reduce.getInput()) == &rest;
    });
    if (mine.empty() && !sumsUp)
      return carried;
    auto body = [&](const Indices &at, Value valid, int64_t step,
                    ValueRange sums) {
      SmallVector<Value> values;
      for (const Stored &one : mine)
        values.push_back(points.evaluate(one.tensor, joined(at)));
      SmallVector<Value> next =
          addSums(rest, at, valid, step, SmallVector<Value>(sums), points);
      emit.guarded(emit.both(valid, rowValid), [&] {
        for (auto [one, value] : llvm::zip(mine, values))
          one.store(points, value, joined(at));
      });
      return next;
    };
    return overRest(rest, carried, points, body);
  }

  /// Where the sums of reduction `n` begin among the carried values, and how
  /// many there are: one per step, one, or none if they are in the workspace.
  size_t sumsOf(ReduceOp reduce) {
    const Rest &rest = restOf(reduce.getInput());
    return isAll(reduce) ? 1 : rest.held() ? rest.steps : 0;
  }

  SmallVector<Value> addSums(Rest &rest, const Indices &at, Value valid,
                             int64_t step, SmallVector<Value> carried,
                             PointEmitter &points) {
    size_t first = 0;
    for (auto [n, op] : llvm::enumerate(form.finalReduces)) {
      ReduceOp reduce = op;
      size_t count = sumsOf(reduce);
      if (&restOf(reduce.getInput()) == &rest) {
        ReduceKind kind = reduce.getKind();
        Value value = valueAt(reduce.getInput(), rest, joined(at), points);
        value = emit.where(emit.both(valid, rowValid), value, kind);
        if (count) {
          Value &sum = carried[first + (isAll(reduce) ? 0 : step)];
          sum = combine(emit, kind, sum, value);
        } else {
          Value to = partialAt(n, at, points);
          Value sum = emit.load(value.getType(), to, rest.spread.width);
          emit.store(combine(emit, kind, sum, value), to, rest.spread.width);
        }
      }
      first += count;
    }
    return carried;
  }

  /// Address in this team's row of the workspace of reduction `n`.
  Value partialRow(size_t n) {
    Value base = emit.bindings[emit.bindings.size() - sums.size() + n];
    return emit.at(base, elementOf(sums[n].reduce.getOutput()),
                   emit.mul(number, sums[n].stride));
  }
  Value partialAt(size_t n, const Indices &at, PointEmitter &points) {
    auto type = cast<RankedTensorType>(sums[n].reduce.getOutput().getType());
    return points.address(partialRow(n), type, at).pointer;
  }

  SmallVector<Value> beginSums() {
    SmallVector<Value> neutral;
    for (auto [n, op] : llvm::enumerate(form.finalReduces)) {
      ReduceOp reduce = op;
      Rest &rest = restOf(reduce.getInput());
      emit.width = rest.spread.width;
      Value nothing = identity(emit, reduce.getKind(),
                               typeOf(rest, reduce.getInput()));
      neutral.append(sumsOf(reduce), nothing);
      if (sumsOf(reduce))
        continue;
      Value base = partialRow(n);
      Type element = elementOf(reduce.getInput());
      int64_t width = rest.spread.width;
      emit.loop(lane, emit.i64(rest.spread.vectors), team, [&](Value vector) {
        emit.store(nothing, emit.at(base, element, emit.mul(vector, width)),
                   width);
      });
    }
    return neutral;
  }

  void endSums(ArrayRef<Value> totals, PointEmitter &points) {
    size_t first = 0;
    for (auto [n, op] : llvm::enumerate(form.finalReduces)) {
      ReduceOp reduce = op;
      Rest &rest = restOf(reduce.getInput());
      size_t count = sumsOf(reduce);
      emit.width = rest.spread.width;
      if (isAll(reduce)) {
        ReduceKind kind = reduce.getKind();
        Value total = emit.fold(totals[first], kind);
        total = emit.teamFold({{total, kind}}, team, false)[0];
        emit.guarded(emit.isZero(lane),
                     [&] { emit.store(total, partialRow(n)); });
      } else {
        for (size_t k = 0; k < count; ++k)
          emit.guarded(rest.valid[k], [&] {
            emit.store(totals[first + k], partialAt(n, rest.at[k], points),
                       rest.spread.width);
          });
      }
      first += count;
    }
  }

  KernelOp kernel;
  const Machine &machine;
  const KernelForm &form;
  SmallVector<SmallVector<ReduceOp>> stages;
  Block emit;
  std::deque<Rest> rests;
  SmallVector<Stored> stored;
  SmallVector<FinalSum> sums;
  LoweredKernel lowered;
  int64_t rows = 1, rowsOfTeam = 1;
  int64_t team = 1, teams = 1; ///< threads of a team, teams of a block
  int64_t blocks = 1;
  Value lane, number; ///< this thread in its team, this team of all
  Value rowValid;     ///< null: always
  Indices prefix;     ///< of the row
};

} // namespace

FailureOr<LoweredKernel> lowerRows(KernelOp kernel, ModuleOp into,
                                   const Machine &machine) {
  std::string why;
  auto form = analyseKernel(kernel, why);
  return Rows(kernel, machine, *form).run(into);
}

} // namespace ltc::gpu
