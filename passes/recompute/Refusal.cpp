// SPDX-License-Identifier: Apache-2.0
#include "passes/recompute/Refusal.h"
#include "mlir/IR/Diagnostics.h"
#include "runtime/base/Units.h"
#include <cmath>
#include <map>

using namespace mlir;

namespace ltc {
namespace {

constexpr double kMiB = 1048576;

/// The place behind "file:line:column"; `other` if the text is none.
Location placeOf(StringRef line, Location other) {
  auto [rest, column] = line.rsplit(':');
  auto [file, row] = rest.rsplit(':');
  unsigned r = 0, c = 0;
  if (row.getAsInteger(10, r) || column.getAsInteger(10, c))
    return other;
  return FileLineColLoc::get(other.getContext(), file, r, c);
}

/// Tensors of one line and type, together.
struct Many {
  Planner::Live each;
  int64_t count = 0;
};

std::vector<Many> grouped(const std::vector<Planner::Live> &live) {
  std::map<std::string, Many> groups;
  for (const Planner::Live &tensor : live) {
    Many &many = groups[tensor.line + " " + tensor.type];
    many.each = tensor;
    ++many.count;
  }
  std::vector<Many> all;
  for (auto &[key, many] : groups)
    all.push_back(many);
  std::stable_sort(all.begin(), all.end(), [](const Many &a, const Many &b) {
    return a.each.bytes * a.count > b.each.bytes * b.count;
  });
  return all;
}

std::string partsText(const Need &need) {
  std::string text;
  auto part = [&](const char *name, uint64_t bytes) {
    text += (text.empty() ? "" : ", ") + (name + (" " + shortBytes(bytes)));
  };
  part("weights", need.weights);
  part("gradients", need.gradients);
  part("optimizer state", need.state);
  part("activations", need.activations);
  part("workspace and scratch", need.workspace + need.scratch);
  part("inputs", need.inputs);
  part("loader, checkpoint buffer, kernels and ltc itself", need.beside);
  if (need.before)
    part("before all that, to measure the machine,", need.before);
  return text;
}

std::string helpText(ModuleOp module, const Need &need, uint64_t budget) {
  std::string text = "train.memory_budget: " +
                     std::to_string(int64_t(
                         std::ceil(double(need.total()) / kMiB))) +
                     "MiB is the least for this spec";
  auto micro = module->getAttrOfType<IntegerAttr>("ltc.micro_batch");
  auto precision = module->getAttrOfType<StringAttr>("ltc.precision");
  uint64_t fixed = need.fixed();
  if (need.total() == need.before)
    return text;
  if (fixed + need.weights > budget)
    return text + "; a smaller micro batch does not help, since all but "
                  "activations is " +
           shortBytes(fixed + need.weights) +
           ": a smaller model or an optimizer with less state does";
  if (micro && micro.getInt() > 1) {
    auto fits = int64_t(double(micro.getInt()) * double(budget - fixed) /
                        double(need.activations));
    text += "; a smaller train.micro_batch helps, " +
            std::to_string(micro.getInt()) + " now, " +
            std::to_string(std::max<int64_t>(1, fits)) + " about fits";
  } else {
    text += "; a smaller data.length helps";
  }
  if (!precision || precision.getValue() == "fp32")
    text += "; train.precision: bf16 halves what products save";
  return text;
}

} // namespace

LogicalResult refuse(ModuleOp module, Planner &planner, const Budget &budget) {
  auto least = planner.least();
  if (failed(least))
    return failure();
  auto [choice, need] = *least;
  std::string segment;
  auto live = planner.worst(choice, segment);
  if (failed(live))
    return failure();
  InFlightDiagnostic error =
      emitError(budget.at)
      << "train.memory_budget = " << shortBytes(budget.bytes)
      << " cannot be met: this run takes " << shortBytes(need.total())
      << " at least";
  if (choice.calls > 0)
    error << ", with " << choice.calls << " of " << planner.calls()
          << " blocks computing again";
  error.attachNote(budget.at) << partsText(need);
  constexpr size_t kShown = 8;
  std::vector<Many> all = grouped(*live);
  for (const Many &many : ArrayRef(all).take_front(kShown)) {
    Diagnostic &note =
        error.attachNote(placeOf(many.each.line, budget.at));
    if (many.count > 1)
      note << many.count << " x ";
    note << shortBytes(many.each.bytes) << ", " << many.each.type
         << ", alive at the peak, in " << segment;
  }
  error.attachNote(budget.at) << helpText(module, need, budget.bytes);
  return error;
}

} // namespace ltc
