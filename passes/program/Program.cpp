// SPDX-License-Identifier: Apache-2.0
// Assembles the artifact: layout, phases, native kernels, counts.
#include "passes/program/Program.h"
#include "passes/program/Activations.h"

using namespace mlir;

namespace ltc {
namespace {

using artifact::BufferClass;

/// Tokens of a chunk that generation computes at once; 0 of other phases.
int64_t chunkOf(func::FuncOp phase) {
  auto chunk = phase->getAttrOfType<IntegerAttr>("ltc.length");
  return chunk ? chunk.getInt() : 0;
}

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

  FailureOr<Listed> list(Target::Listing listing) {
    if (failed(assemble()))
      return failure();
    auto text = target.list(*native, listing);
    if (failed(text))
      return failure();
    return Listed{std::move(*text), std::move(result)};
  }

  FailureOr<std::unique_ptr<artifact::ArtifactT>> run() {
    if (failed(assemble()))
      return failure();
    auto binary = target.link(*native, timing);
    if (failed(binary))
      return failure();
    addObject(*binary);
    addUses();
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
    int64_t chunk = chunkOf(function);
    bool predicts = phase->name == "predict" || chunk;
    layout.readEvaluationWeights(readsEvaluationWeights(function));
    auto flat = flatten(function, layout);
    if (failed(flat))
      return failure();
    if (predicts || phase->name == "evaluate" || phase->name == "accumulate") {
      phase->batch = predicts ? 1 : moduleNumber("ltc.micro_batch");
      phase->length = chunk ? chunk : moduleNumber("ltc.length");
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
    Activations found = planActivations(flat);
    phase.activation_peak = found.plan.bytes;
    for (auto [n, owner] : llvm::enumerate(found.storages)) {
      Storage &storage = flat.storages[owner];
      storage.buffer = layout.addBuffer(
          storage.name, BufferClass::activation, storage.dtype, storage.shape,
          found.plan.offsets[n], storage.bytes, storage.line);
    }
  }

  LogicalResult addCommand(const FlatPhase &flat, const FlatCommand &flatCommand,
                           artifact::PhaseT &phase) {
    const Native *kernel =
        lower(flatCommand.kernel, isAligned(flat, flatCommand));
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

  /// True if all that the command binds begins where the target wants it to;
  /// a number may begin anywhere.
  bool isAligned(const FlatPhase &flat, const FlatCommand &command) {
    return llvm::all_of(command.places, [&](Place place) {
      Place at = flat.resolve(place);
      const artifact::BufferT &buffer =
          *result->buffers[flat.storages[at.storage].buffer];
      return buffer.bytes <= 8 ||
             (buffer.offset + at.offset) % target.alignment() == 0;
    });
  }

  const Native *lower(KernelOp kernel, bool aligned) {
    auto found = natives.find({kernel, aligned});
    if (found != natives.end())
      return &found->second;
    auto lowered = aligned ? target.lower(kernel, *native)
                           : target.lowerUnaligned(kernel, *native);
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
      item->threads = launch.threads;
      item->missing = launch.missing;
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
    return &natives.try_emplace({kernel, aligned}, std::move(entry))
                .first->second;
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

  void addUses() {
    std::map<std::string, KernelUse> uses;
    for (const KernelUse &use : target.uses())
      uses[use.symbol] = use;
    for (auto &kernel : result->kernels) {
      auto found = uses.find(kernel->symbol);
      if (found == uses.end())
        continue;
      kernel->registers = found->second.registers;
      kernel->spill_bytes = found->second.spillBytes;
      kernel->shared_bytes = found->second.sharedBytes;
    }
  }

  void addModuleFacts() {
    result->micro_batch = moduleNumber("ltc.micro_batch");
    result->length = moduleNumber("ltc.length");
    result->vocab = moduleNumber("ltc.vocab");
    if (auto text = module->getAttrOfType<StringAttr>("ltc.config_json"))
      result->config_json = text.getValue().str();
    if (auto text = module->getAttrOfType<StringAttr>("ltc.no_cache_why"))
      result->no_cache_why = text.getValue().str();
    if (auto budget = module->getAttrOfType<DictionaryAttr>("ltc.memory_budget"))
      result->memory_budget = uint64_t(numberOf(budget, "bytes", 0));
    if (auto choice = module->getAttrOfType<ArrayAttr>("ltc.recompute"))
      for (Attribute entry : choice)
        addRecompute(cast<DictionaryAttr>(entry));
  }

  void addRecompute(DictionaryAttr dict) {
    auto entry = std::make_unique<artifact::RecomputeT>();
    entry->block = textOf(dict, "block");
    entry->calls = uint32_t(numberOf(dict, "calls", 0));
    entry->recomputed = uint32_t(numberOf(dict, "recomputed", 0));
    entry->kept_bytes = uint64_t(numberOf(dict, "kept_bytes", 0));
    entry->recomputed_kept_bytes =
        uint64_t(numberOf(dict, "recomputed_kept_bytes", 0));
    if (auto flops = dict.getAs<FloatAttr>("flops"))
      entry->flops = flops.getValueAsDouble();
    result->recompute.push_back(std::move(entry));
  }

  ModuleOp module;
  Target &target;
  TimingScope &timing;
  std::unique_ptr<artifact::ArtifactT> result;
  Layout layout;
  OwningOpRef<ModuleOp> native;
  std::map<std::pair<Operation *, bool>, Native> natives; ///< and: aligned
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> workspaces;
};

} // namespace

bool readsEvaluationWeights(func::FuncOp phase) {
  StringRef name = phase.getSymName();
  return chunkOf(phase) || name == "predict" || name == "evaluate" ||
         name == "prepare";
}

FailureOr<std::unique_ptr<artifact::ArtifactT>>
buildProgram(ModuleOp module, Target &target, TimingScope &timing) {
  return Assembler(module, target, timing).run();
}

FailureOr<Listed> listKernels(ModuleOp module, Target &target,
                              Target::Listing listing) {
  TimingScope none;
  return Assembler(module, target, none).list(listing);
}

} // namespace ltc
