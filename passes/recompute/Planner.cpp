// SPDX-License-Identifier: Apache-2.0
#include "passes/recompute/Planner.h"
#include "passes/program/Program.h"

using namespace mlir;

namespace ltc {

using artifact::BufferClass;

std::optional<Budget> budgetOf(ModuleOp module) {
  auto dict = module->getAttrOfType<DictionaryAttr>("ltc.memory_budget");
  if (!dict)
    return std::nullopt;
  auto at = dict.getAs<LocationAttr>("at");
  return Budget{uint64_t(numberOf(dict, "bytes", 0)),
                uint64_t(numberOf(dict, "beside", 0)),
                uint64_t(numberOf(dict, "before", 0)),
                numberOf(dict, "threads", 1),
                at ? Location(at) : module.getLoc()};
}

Planner::Planner(ModuleOp module, Target *target, Budget budget)
    : module(module), target(target), budget(budget), layout(module, scrap) {}

/// Everything that no choice changes, and what each costs.
LogicalResult Planner::prepare() {
  if (failed(layout.build()))
    return failure();
  probe = ModuleOp::create(module.getLoc());
  SymbolTable symbols(module);
  for (StringRef name : kPhases) {
    auto function = symbols.lookup<func::FuncOp>(name);
    if (!function || name == "accumulate")
      continue;
    layout.readEvaluationWeights(readsEvaluationWeights(function));
    auto flat = flatten(function, layout);
    if (failed(flat))
      return failure();
    auto own = ownOf(*flat);
    if (failed(own))
      return failure();
    uint64_t bytes = planActivations(*flat).plan.bytes;
    if (bytes > others.activations || others.phase.empty()) {
      others.activations = bytes;
      others.phase = name.str();
    }
    othersOwn.workspace = std::max(othersOwn.workspace, own->workspace);
    othersOwn.scratch = std::max(othersOwn.scratch, own->scratch);
  }
  layout.readEvaluationWeights(false);
  auto accumulate = symbols.lookup<func::FuncOp>("accumulate");
  if (!accumulate)
    return success();
  for (BlockCall &call : blockCalls(accumulate)) {
    std::vector<double> &mine = costs.emplace_back();
    auto keep = variantOf(
        symbols.lookup<func::FuncOp>(call.forward.getCallee()));
    for (int64_t level = 0; keep && level <= keep->levels; ++level) {
      auto variant = variantOf(symbols.lookup<func::FuncOp>(
          variantName(keep->block, level) + ".backward"));
      mine.push_back(variant ? variant->cost : 0);
    }
    levels = std::max(levels, keep ? keep->levels : 0);
  }
  // A level whose types differ from keep's cannot stand in its place.
  while (levels > 0 && failed(flattened({levels, calls()})))
    --levels;
  return success();
}

/// A copy of @accumulate under the choice, flattened.
FailureOr<FlatPhase> Planner::flattened(Choice choice) {
  auto accumulate = module.lookupSymbol<func::FuncOp>("accumulate");
  OpBuilder b(accumulate);
  auto trial = cast<func::FuncOp>(b.clone(*accumulate));
  trial.setSymName("accumulate.trial");
  FailureOr<FlatPhase> flat = failure();
  if (choice.level == 0 || useLevel(trial, choice.calls, choice.level))
    flat = flatten(trial, layout);
  trial.erase();
  return flat;
}

FailureOr<Planner::Own> Planner::ownOf(const FlatPhase &flat) {
  Own most;
  for (const FlatCommand &command : flat.commands) {
    auto own = ownOf(command.kernel);
    if (failed(own))
      return failure();
    most.workspace = std::max(most.workspace, own->workspace);
    most.scratch = std::max(most.scratch, own->scratch);
  }
  return most;
}

FailureOr<Planner::Own> Planner::ownOf(KernelOp kernel) {
  auto found = owns.find(kernel);
  if (found != owns.end())
    return found->second;
  Own own;
  if (target) {
    auto lowered = target->lower(kernel, *probe);
    if (failed(lowered))
      return failure();
    for (uint64_t bytes : lowered->workspaceBytes)
      own.workspace += alignUp(bytes);
    for (const KernelLaunch &launch : lowered->launches)
      own.scratch = std::max(own.scratch, launch.scratchBytes);
  }
  owns[kernel] = own;
  return own;
}

FailureOr<Need> Planner::need(Choice choice) {
  auto [found, fresh] = known.try_emplace({choice.level, choice.calls});
  if (!fresh)
    return found->second;
  Need need = others;
  Own own = othersOwn;
  if (module.lookupSymbol("accumulate")) {
    auto flat = flattened(choice);
    if (failed(flat))
      return failure();
    uint64_t bytes = planActivations(*flat).plan.bytes;
    if (bytes >= need.activations) {
      need.activations = bytes;
      need.phase = "accumulate";
    }
    auto mine = ownOf(*flat);
    if (failed(mine))
      return failure();
    own.workspace = std::max(own.workspace, mine->workspace);
    own.scratch = std::max(own.scratch, mine->scratch);
  }
  need.weights = layout.arenaBytes(BufferClass::parameter);
  need.gradients = layout.arenaBytes(BufferClass::gradient);
  need.state = layout.arenaBytes(BufferClass::state);
  need.inputs = layout.arenaBytes(BufferClass::io) +
                layout.arenaBytes(BufferClass::scalar) +
                layout.arenaBytes(BufferClass::output);
  need.workspace = own.workspace;
  need.scratch = own.scratch * uint64_t(budget.threads);
  need.beside = budget.beside;
  need.before = budget.before;
  found->second = need;
  return need;
}

FailureOr<bool> Planner::holds(Choice choice) {
  auto wanted = need(choice);
  if (failed(wanted))
    return failure();
  return wanted->total() <= budget.bytes;
}

/// The fewest calls that must use `level`; 0 if not even all of them will do.
/// Each call more frees what it kept; only the last ones may not, since their
/// own backwards need it all again.
FailureOr<int64_t> Planner::fewest(int64_t level) {
  int64_t low = 0, high = 0;
  for (int64_t count : {calls(), calls() - 1}) {
    auto held = holds({level, count});
    if (failed(held))
      return failure();
    if (*held && count > 0)
      high = count;
  }
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    auto held = holds({level, middle});
    if (failed(held))
      return failure();
    (*held ? high : low) = middle;
  }
  return high;
}

FailureOr<std::optional<Choice>> Planner::choose() {
  auto kept = holds({});
  if (failed(kept))
    return failure();
  if (*kept)
    return std::optional<Choice>(Choice());
  std::optional<Choice> best;
  double least = 0;
  for (int64_t level = 1; level <= levels; ++level) {
    auto count = fewest(level);
    if (failed(count))
      return failure();
    if (*count == 0)
      continue;
    double cost = 0;
    for (int64_t n = 0; n < *count; ++n)
      if (costs[n].size() > 1)
        cost += costs[n][std::min<size_t>(level, costs[n].size() - 1)];
    if (best && cost >= least)
      continue;
    best = Choice{level, *count};
    least = cost;
  }
  return best;
}

FailureOr<std::pair<Choice, Need>> Planner::least() {
  std::pair<Choice, Need> best;
  auto kept = need({});
  if (failed(kept))
    return failure();
  best.second = *kept;
  for (int64_t level = 1; level <= levels; ++level)
    for (int64_t count : {calls() - 1, calls()}) {
      auto wanted = need({level, count});
      if (failed(wanted))
        return failure();
      if (wanted->total() < best.second.total())
        best = {{level, count}, *wanted};
    }
  return best;
}

static std::string typeText(const Storage &storage) {
  std::string text = artifact::EnumNameDType(storage.dtype);
  text += "[";
  for (size_t i = 0; i < storage.shape.size(); ++i)
    text += (i ? "," : "") + std::to_string(storage.shape[i]);
  return text + "]";
}

FailureOr<std::vector<Planner::Live>> Planner::worst(Choice choice,
                                                     std::string &segment) {
  auto wanted = need(choice);
  if (failed(wanted))
    return failure();
  auto function = module.lookupSymbol<func::FuncOp>(wanted->phase);
  layout.readEvaluationWeights(readsEvaluationWeights(function));
  auto flat = wanted->phase == "accumulate" ? flattened(choice)
                                            : flatten(function, layout);
  if (failed(flat))
    return failure();
  Activations found = planActivations(*flat);
  std::vector<uint64_t> alive(flat->commands.size() + 1, 0);
  for (const Lifetime &life : found.lives)
    for (int64_t at = life.first; at <= life.last; ++at)
      alive[at] += alignUp(life.bytes);
  int64_t worst = std::max_element(alive.begin(), alive.end()) - alive.begin();
  if (worst < int64_t(flat->commands.size()))
    segment = flat->commands[worst].segment;
  std::vector<Live> live;
  for (auto [n, life] : llvm::enumerate(found.lives))
    if (life.first <= worst && worst <= life.last) {
      const Storage &storage = flat->storages[found.storages[n]];
      live.push_back({storage.bytes, storage.line, typeText(storage)});
    }
  return live;
}

} // namespace ltc
