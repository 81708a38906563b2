// SPDX-License-Identifier: Apache-2.0
// Assembles the artifact: layout, phases, native kernels, counts.
#include "passes/program/Program.h"
#include "llvm/ADT/MapVector.h"
#include "passes/memory/Plan.h"
#include "passes/program/Flatten.h"

using namespace mlir;

namespace ltc {
namespace {

using artifact::BufferClass;

constexpr const char *kPhases[] = {
    "init",    "accumulate", "apply",   "evaluate",
    "predict", "prepare",    "prefill", "decode",
    "enter_evaluation"};

class Assembler {
public:
  Assembler(ModuleOp module, Target &target, TimingScope &timing)
      : module(module), target(target), timing(timing),
        result(std::make_unique<artifact::ArtifactT>()),
        layout(module, *result) {}

  LogicalResult assemble() {
    TimingScope assembly = timing.nest("commands, memory and kernels' loops");
    if (failed(layout.build()))
      return failure();
    native = ModuleOp::create(module.getLoc());
    for (const char *name : kPhases)
      if (auto function = module.lookupSymbol<func::FuncOp>(name))
        if (failed(addPhase(function)))
          return failure();
    if (!layout.caches.empty())
      addZeros("clear_caches", layout.caches);
    return success();
  }

  FailureOr<std::string> list(Target::Listing listing) {
    if (failed(assemble()))
      return failure();
    return target.list(*native, listing);
  }

  FailureOr<std::unique_ptr<artifact::ArtifactT>> run() {
    if (failed(assemble()))
      return failure();
    auto binary = target.link(*native, timing);
    if (failed(binary))
      return failure();
    addObject(*binary);
    addModuleFacts();
    layout.finish();
    return std::move(result);
  }

private:
  struct Native {
    LoweredKernel lowered;
    std::vector<uint32_t> kernels; ///< one per launch
  };

  LogicalResult addPhase(func::FuncOp function) {
    auto phase = std::make_unique<artifact::PhaseT>();
    phase->name = function.getSymName().str();
    auto chunk = function->getAttrOfType<IntegerAttr>("ltc.length");
    bool predicts = phase->name == "predict" || chunk;
    layout.readEvaluationWeights(predicts || phase->name == "evaluate" ||
                                 phase->name == "prepare");
    auto flat = flatten(function, layout);
    if (failed(flat))
      return failure();
    if (predicts || phase->name == "evaluate" || phase->name == "accumulate") {
      phase->batch = predicts ? 1 : moduleNumber("ltc.micro_batch");
      phase->length = chunk ? chunk.getInt() : moduleNumber("ltc.length");
    }
    for (const artifact::InputT &input : flat->inputs)
      phase->inputs.push_back(std::make_unique<artifact::InputT>(input));
    placeActivations(*flat, *phase);
    for (const FlatCommand &command : flat->commands)
      if (failed(addCommand(*flat, command, *phase)))
        return failure();
    // A step ends with gradients of zero: the next begins by adding to them.
    if (phase->name == "apply")
      zero(*phase, layout.groupGradients, "zero gradients");
    if (phase->name == "evaluate")
      countFlops(*flat);
    bool enters = phase->name == "enter_evaluation";
    result->phases.push_back(std::move(phase));
    // Weights for evaluation lie over the gradients: zero again afterwards.
    if (enters)
      addZeros("leave_evaluation", layout.evaluationWeights);
    return success();
  }

  int64_t moduleNumber(StringRef name) {
    auto number = module->getAttrOfType<IntegerAttr>(name);
    return number ? number.getInt() : 0;
  }

  /// Gives every storage without a buffer one in the activation arena.
  void placeActivations(FlatPhase &flat, artifact::PhaseT &phase) {
    std::vector<Lifetime> lives(flat.storages.size());
    std::vector<bool> used(flat.storages.size(), false);
    for (auto [n, command] : llvm::enumerate(flat.commands))
      for (Place place : command.places) {
        int64_t at = flat.resolve(place).storage;
        if (!used[at])
          lives[at] = {flat.storages[at].bytes, int64_t(n), int64_t(n)};
        used[at] = true;
        lives[at].last = int64_t(n);
      }
    std::vector<Lifetime> blocks;
    std::vector<size_t> owners;
    for (size_t i = 0; i < lives.size(); ++i)
      if (used[i] && flat.storages[i].buffer < 0) {
        blocks.push_back(lives[i]);
        owners.push_back(i);
      }
    MemoryPlan plan = planMemory(blocks);
    phase.activation_peak = plan.bytes;
    for (auto [n, owner] : llvm::enumerate(owners)) {
      Storage &storage = flat.storages[owner];
      storage.buffer = layout.addBuffer(
          storage.name, BufferClass::activation, storage.dtype, storage.shape,
          plan.offsets[n], storage.bytes, storage.line);
    }
  }

  LogicalResult addCommand(const FlatPhase &flat, const FlatCommand &flatCommand,
                           artifact::PhaseT &phase) {
    const Native *kernel = lower(flatCommand.kernel);
    if (!kernel)
      return failure();
    for (auto [n, launch] : llvm::enumerate(kernel->lowered.launches)) {
      auto command = std::make_unique<artifact::CommandT>();
      command->kernel = kernel->kernels[n];
      command->line = flatCommand.line;
      command->segment = flatCommand.segment;
      for (int binding : launch.bindings) {
        if (binding < 0) {
          command->bindings.emplace_back(
              workspace(kernel->lowered.workspaceBytes, -1 - binding), 0);
          continue;
        }
        Place at = flat.resolve(flatCommand.places[binding]);
        command->bindings.emplace_back(
            uint32_t(flat.storages[at.storage].buffer), at.offset);
      }
      phase.commands.push_back(std::move(command));
    }
    return success();
  }

  /// Workspaces live for one kernel only: all start at the arena's start.
  uint32_t workspace(const std::vector<uint64_t> &sizes, int index) {
    uint64_t offset = 0;
    for (int i = 0; i < index; ++i)
      offset += alignUp(sizes[i]);
    auto [found, fresh] =
        workspaces.try_emplace({offset, sizes[index]}, 0);
    if (fresh)
      found->second = layout.addBuffer(
          "workspace", BufferClass::workspace, artifact::DType::u8,
          {int64_t(sizes[index])}, offset, sizes[index], "");
    return found->second;
  }

  const Native *lower(KernelOp kernel) {
    auto found = natives.find(kernel);
    if (found != natives.end())
      return &found->second;
    auto lowered = target.lower(kernel, *native);
    if (failed(lowered))
      return nullptr;
    Native entry{*lowered, {}};
    std::string why;
    auto form = analyseKernel(kernel, why);
    for (const KernelLaunch &launch : lowered->launches) {
      auto item = std::make_unique<artifact::KernelT>();
      item->symbol = launch.symbol;
      item->form = form ? kernelKindName(form->kind).str() : "";
      item->arguments = argumentsOf(kernel, *lowered, launch);
      item->tiles = launch.tiles;
      item->scratch_bytes = launch.scratchBytes;
      item->flops = launch.flops;
      item->read_bytes = launch.readBytes;
      item->written_bytes = launch.writtenBytes;
      item->flops_share = launch.flopsShare;
      item->bytes_share = launch.bytesShare;
      item->line = lineOf(kernel.getLoc());
      entry.kernels.push_back(uint32_t(result->kernels.size()));
      result->kernels.push_back(std::move(item));
    }
    return &natives.try_emplace(kernel, std::move(entry)).first->second;
  }

  static std::vector<artifact::Argument>
  argumentsOf(KernelOp kernel, const LoweredKernel &lowered,
              const KernelLaunch &launch) {
    auto type = cast<FunctionType>(kernel.getFunctionType());
    int inputs = int(type.getNumInputs());
    std::vector<artifact::Argument> arguments;
    for (int binding : launch.bindings) {
      uint64_t bytes =
          binding < 0 ? lowered.workspaceBytes[-1 - binding]
                      : bytesOf(cast<RankedTensorType>(
                            binding < inputs
                                ? type.getInput(binding)
                                : type.getResult(binding - inputs)));
      arguments.emplace_back(bytes, binding < 0 || binding >= inputs);
    }
    return arguments;
  }

  /// A phase that only fills with zeros.
  void addZeros(const char *name, ArrayRef<uint32_t> buffers) {
    auto phase = std::make_unique<artifact::PhaseT>();
    phase->name = name;
    zero(*phase, buffers, name);
    result->phases.push_back(std::move(phase));
  }

  void zero(artifact::PhaseT &phase, ArrayRef<uint32_t> buffers,
            const char *segment) {
    for (uint32_t buffer : buffers) {
      auto command = std::make_unique<artifact::CommandT>();
      command->kind = artifact::CommandKind::fill_zero;
      command->bytes = result->buffers[buffer]->bytes;
      command->bindings.emplace_back(buffer, 0);
      command->segment = segment;
      phase.commands.push_back(std::move(command));
    }
  }

  /// Three times the forward's contractions; of attention what keep's bounds
  /// allow: the causal half, a window.
  void countFlops(const FlatPhase &flat) {
    double forward = 0, attending = 0;
    for (const FlatCommand &command : flat.commands) {
      KernelOp kernel = command.kernel;
      kernel.walk([&](Operation *op) {
        if (auto contract = dyn_cast<ContractOp>(op))
          forward += contract.flops();
        if (auto grouped = dyn_cast<GroupedContractOp>(op))
          forward += grouped.flops();
        if (auto attention = dyn_cast<AttentionOp>(op))
          attending += attention.flops();
      });
    }
    double tokens =
        double(moduleNumber("ltc.micro_batch") * moduleNumber("ltc.length"));
    if (tokens <= 0)
      return;
    result->flops_per_token = 3 * (forward + attending) / tokens;
    result->attention_flops_per_token = 3 * attending / tokens;
  }

  void addObject(const std::vector<char> &bytes) {
    auto object = std::make_unique<artifact::ObjectT>();
    object->target = target.name();
    object->feature_level = target.featureLevel();
    object->bytes.assign(bytes.begin(), bytes.end());
    result->objects.push_back(std::move(object));
  }

  void addModuleFacts() {
    result->micro_batch = moduleNumber("ltc.micro_batch");
    result->length = moduleNumber("ltc.length");
    result->vocab = moduleNumber("ltc.vocab");
    if (auto text = module->getAttrOfType<StringAttr>("ltc.config_json"))
      result->config_json = text.getValue().str();
    if (auto text = module->getAttrOfType<StringAttr>("ltc.no_cache_why"))
      result->no_cache_why = text.getValue().str();
  }

  ModuleOp module;
  Target &target;
  TimingScope &timing;
  std::unique_ptr<artifact::ArtifactT> result;
  Layout layout;
  OwningOpRef<ModuleOp> native;
  llvm::MapVector<Operation *, Native> natives;
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> workspaces;
};

} // namespace

FailureOr<std::unique_ptr<artifact::ArtifactT>>
buildProgram(ModuleOp module, Target &target, TimingScope &timing) {
  return Assembler(module, target, timing).run();
}

FailureOr<std::string> listKernels(ModuleOp module, Target &target,
                                   Target::Listing listing) {
  TimingScope none;
  return Assembler(module, target, none).list(listing);
}

} // namespace ltc
