// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Residuals.h"
#include "tools/ltc/Commands.h"
#include <algorithm>
#include <cstdio>

namespace ltc::tool {
namespace {

using json = nlohmann::ordered_json;

/// "layer.3.forward": block layer, call 3, part forward. A phase's own
/// commands have its name alone.
struct Segment {
  std::string block, part;
  int64_t call = -1;

  explicit Segment(const std::string &text) : block(text) {
    size_t last = text.rfind('.');
    size_t first = last == std::string::npos || last == 0
                       ? std::string::npos
                       : text.rfind('.', last - 1);
    if (first == std::string::npos)
      return;
    block = text.substr(0, first);
    call = std::atoll(text.substr(first + 1, last - first - 1).c_str());
    part = text.substr(last + 1);
  }
};

/// Where a buffer is made, and whether a backward reads it.
struct Use {
  const artifact::CommandT *made = nullptr;
  size_t at = 0;
  bool saved = false;
};

/// A forward's values, and what the phase itself makes before the last of them.
bool isForward(const artifact::PhaseT &phase, const Use &use) {
  Segment segment(use.made->segment);
  if (segment.part == "forward")
    return true;
  auto later = [](const auto &command) {
    return Segment(command->segment).part == "forward";
  };
  return segment.block == phase.name &&
         std::any_of(phase.commands.begin() + long(use.at),
                     phase.commands.end(), later);
}

void follow(const artifact::ArtifactT &table, const artifact::PhaseT &phase,
            std::vector<Use> &uses) {
  for (size_t n = 0; n < phase.commands.size(); ++n) {
    const artifact::CommandT &command = *phase.commands[n];
    if (command.kind != artifact::CommandKind::launch)
      continue;
    bool backward = Segment(command.segment).part == "backward";
    const auto &arguments = table.kernels[command.kernel]->arguments;
    for (size_t i = 0; i < command.bindings.size(); ++i) {
      Use &use = uses[command.bindings[i].buffer()];
      bool written = i < arguments.size() && arguments[i].written();
      if (!use.made && written) {
        use.made = &command;
        use.at = n;
      } else if (backward && !written) {
        use.saved = true;
      }
    }
  }
}

std::string typeOf(const artifact::BufferT &buffer) {
  std::string text = artifact::EnumNameDType(buffer.dtype);
  text += "[";
  for (size_t i = 0; i < buffer.shape.size(); ++i)
    text += (i ? "," : "") + std::to_string(buffer.shape[i]);
  return text + "]";
}

/// "0-3, 5" of ascending numbers.
std::string rangesOf(const std::vector<int64_t> &numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1)
      ++end;
    text += (text.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (end > i)
      text += "-" + std::to_string(numbers[end]);
    i = end + 1;
  }
  return text;
}

double stepFlops(const artifact::ArtifactT &table) {
  return table.flops_per_token * double(table.micro_batch * table.length);
}

} // namespace

std::vector<Residual> residualsOf(const artifact::ArtifactT &table) {
  std::vector<Use> uses(table.buffers.size());
  std::vector<std::pair<size_t, size_t>> saved; // when made, buffer
  for (const auto &phase : table.phases) {
    if (phase->name != "accumulate")
      continue;
    follow(table, *phase, uses);
    for (size_t i = 0; i < uses.size(); ++i)
      if (uses[i].made && uses[i].saved &&
          table.buffers[i]->class_ == artifact::BufferClass::activation &&
          isForward(*phase, uses[i]))
        saved.push_back({uses[i].at, i});
  }
  std::sort(saved.begin(), saved.end());
  std::vector<Residual> residuals;
  for (auto [at, i] : saved) {
    const artifact::BufferT &buffer = *table.buffers[i];
    Segment segment(uses[i].made->segment);
    auto same = [&](const Residual &r) {
      return r.block == segment.block && r.line == buffer.line &&
             r.type == typeOf(buffer) &&
             (r.calls.empty() || r.calls.back() < segment.call);
    };
    auto found = std::find_if(residuals.begin(), residuals.end(), same);
    if (found == residuals.end() || segment.call < 0)
      found = residuals.insert(residuals.end(),
                               {segment.block, {}, typeOf(buffer), buffer.line,
                                buffer.bytes});
    if (segment.call >= 0)
      found->calls.push_back(segment.call);
  }
  return residuals;
}

void printRecompute(const artifact::ArtifactT &table) {
  if (!table.memory_budget)
    return;
  std::printf("memory budget   %s\n",
              shortBytes(double(table.memory_budget)).c_str());
  for (const auto &block : table.recompute) {
    if (!block->recomputed) {
      std::printf("  %-12s all %u calls keep %s for the backward\n",
                  block->block.c_str(), block->calls,
                  shortBytes(double(block->kept_bytes)).c_str());
      continue;
    }
    std::vector<int64_t> first(block->recomputed);
    for (size_t i = 0; i < first.size(); ++i)
      first[i] = int64_t(i);
    std::printf("  %-12s %s of %u calls compute again: they keep %s, not %s; "
                "%.1f %% more FLOPs in a step\n",
                block->block.c_str(), rangesOf(first).c_str(), block->calls,
                shortBytes(double(block->recomputed_kept_bytes)).c_str(),
                shortBytes(double(block->kept_bytes)).c_str(),
                100 * block->flops * block->recomputed / stepFlops(table));
  }
}

void printResiduals(const artifact::ArtifactT &table) {
  std::printf("values saved for the backward\n");
  uint64_t total = 0;
  for (const Residual &residual : residualsOf(table)) {
    uint64_t count = std::max<size_t>(1, residual.calls.size());
    total += count * residual.bytes;
    std::string calls = residual.block;
    if (!residual.calls.empty())
      calls += " " + rangesOf(residual.calls);
    std::printf("  %10s  %-14s %-22s %s\n",
                shortBytes(double(residual.bytes)).c_str(), calls.c_str(),
                residual.type.c_str(), residual.line.c_str());
  }
  std::printf("  %10s  in all, of a micro batch\n",
              shortBytes(double(total)).c_str());
}

json recomputeJson(const artifact::ArtifactT &table) {
  json list = json::array();
  for (const auto &block : table.recompute)
    list.push_back({{"block", block->block},
                    {"calls", block->calls},
                    {"recomputed", block->recomputed},
                    {"kept_bytes", block->kept_bytes},
                    {"recomputed_kept_bytes", block->recomputed_kept_bytes},
                    {"flops", block->flops}});
  return list;
}

json residualsJson(const artifact::ArtifactT &table) {
  json list = json::array();
  for (const Residual &residual : residualsOf(table))
    list.push_back({{"block", residual.block},
                    {"calls", residual.calls},
                    {"type", residual.type},
                    {"line", residual.line},
                    {"bytes", residual.bytes}});
  return list;
}

} // namespace ltc::tool
