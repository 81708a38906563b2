// SPDX-License-Identifier: Apache-2.0
#include "passes/program/Flatten.h"
#include "llvm/ADT/StringMap.h"
#include "passes/recompute/Variants.h"

using namespace mlir;

namespace ltc {

Place FlatPhase::resolve(Place place) const {
  while (storages[place.storage].parent >= 0) {
    const Storage &inner = storages[place.storage];
    place.offset += inner.offset;
    place.storage = inner.parent;
  }
  return place;
}

namespace {

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

class Flattener {
public:
  Flattener(func::FuncOp entry, Layout &layout)
      : entry(entry), layout(layout),
        symbols(entry->getParentOfType<ModuleOp>()) {}

  FailureOr<FlatPhase> run() {
    SmallVector<Place> arguments;
    for (BlockArgument argument : entry.getArguments()) {
      auto bind = entry.getArgAttrOfType<DictionaryAttr>(
          argument.getArgNumber(), "ltc.bind");
      if (!bind)
        return entry.emitError("argument ")
               << argument.getArgNumber() << " of @" << entry.getSymName()
               << " has no ltc.bind, so no buffer";
      auto place = boundPlace(bind, argument);
      if (failed(place))
        return failure();
      arguments.push_back(*place);
      if (textOf(bind, "class") == "input")
        addInput(bind, place->storage);
    }
    auto results = runBody(entry, arguments, entry.getSymName().str());
    if (failed(results) || failed(bindResults(*results)))
      return failure();
    return std::move(phase);
  }

private:
  using Places = llvm::DenseMap<Value, Place>;

  FailureOr<Place> boundPlace(DictionaryAttr bind, Value value) {
    auto buffer = layout.bound(bind, typeOf(value), value.getLoc());
    if (failed(buffer))
      return failure();
    auto found = storageOfBuffer.find(*buffer);
    if (found == storageOfBuffer.end()) {
      int64_t storage = newStorage(value, "");
      phase.storages[storage].buffer = *buffer;
      found = storageOfBuffer.try_emplace(*buffer, storage).first;
    }
    return Place{found->second, 0, phase.storages[found->second].version};
  }

  void addInput(DictionaryAttr bind, int64_t storage) {
    artifact::InputT input;
    input.name = textOf(bind, "name");
    input.kind = textOf(bind, "kind");
    input.buffer = uint32_t(phase.storages[storage].buffer);
    phase.inputs.push_back(input);
  }

  int64_t newStorage(Value value, std::string name) {
    Storage storage;
    storage.bytes = bytesOf(typeOf(value));
    storage.dtype = dtypeOf(typeOf(value).getElementType());
    storage.shape.assign(typeOf(value).getShape().begin(),
                         typeOf(value).getShape().end());
    storage.name = std::move(name);
    storage.line = lineOf(value.getLoc());
    phase.storages.push_back(std::move(storage));
    return int64_t(phase.storages.size() - 1);
  }

  FailureOr<SmallVector<Place>> runBody(func::FuncOp function,
                                        ArrayRef<Place> arguments,
                                        const std::string &segment) {
    Places places;
    llvm::StringMap<int> total, seen;
    for (auto [argument, place] :
         llvm::zip(function.getArguments(), arguments))
      places[argument] = place;
    for (auto call : function.getBody().getOps<func::CallOp>())
      ++total[partOf(call)];
    for (Operation &op : function.getBody().front().without_terminator()) {
      if (auto call = dyn_cast<func::CallOp>(op)) {
        std::string called = partOf(call);
        int n = seen[called]++;
        std::string name = segmentOf(called, n, total[called]);
        if (failed(runCall(call, places, name)))
          return failure();
      } else if (failed(runOp(op, places, segment))) {
        return failure();
      }
    }
    SmallVector<Place> results;
    for (Value value :
         function.getBody().front().getTerminator()->getOperands())
      results.push_back(places.lookup(value));
    return results;
  }

  /// What is called, whichever variant: layer.forward.
  std::string partOf(func::CallOp call) {
    StringRef callee = call.getCallee();
    auto variant = variantOf(symbols.lookup<func::FuncOp>(callee));
    return variant ? variant->block + "." + callee.rsplit('.').second.str()
                   : callee.str();
  }

  /// layer.forward, the fourth of its calls: layer.3.forward. Backwards run
  /// through the blocks from the last to the first.
  static std::string segmentOf(StringRef callee, int n, int total) {
    auto [block, part] = callee.rsplit('.');
    if (part == "backward")
      n = total - 1 - n;
    std::string name = block.str() + "." + std::to_string(n);
    return part.empty() ? name : name + "." + part.str();
  }

  LogicalResult runCall(func::CallOp call, Places &places,
                        const std::string &segment) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee || callee.isExternal())
      return call.emitError("calls @") << call.getCallee()
                                       << ", which has no body";
    SmallVector<Place> arguments;
    for (Value operand : call.getOperands())
      arguments.push_back(places.lookup(operand));
    auto results = runBody(callee, arguments, segment);
    if (failed(results))
      return failure();
    for (auto [value, place] : llvm::zip(call.getResults(), *results))
      places[value] = place;
    return success();
  }

  LogicalResult runOp(Operation &op, Places &places,
                      const std::string &segment) {
    if (auto launch = dyn_cast<LaunchOp>(op))
      return runLaunch(launch, places, segment);
    if (auto reshape = dyn_cast<ReshapeOp>(op)) {
      places[reshape.getOutput()] = places.lookup(reshape.getInput());
      return success();
    }
    if (auto slice = dyn_cast<SliceOp>(op)) {
      if (!isView(&op))
        return op.emitError("a slice between kernels should be outermost");
      Place place = places.lookup(slice.getInput());
      RankedTensorType type = typeOf(slice.getInput());
      uint64_t row = bytesOf(type) / type.getDimSize(slice.getDim());
      place.offset += row * slice.getOffset();
      places[slice.getOutput()] = place;
      return success();
    }
    if (auto join = dyn_cast<JoinOp>(op))
      return runJoin(join, places, segment);
    return op.emitError("is no command of a program");
  }

  LogicalResult runLaunch(LaunchOp launch, Places &places,
                          const std::string &segment) {
    FlatCommand command;
    command.kernel = symbols.lookup<KernelOp>(launch.getKernel());
    command.segment = segment;
    command.line = lineOf(launch.getLoc());
    for (Value input : launch.getInputs()) {
      Place place = places.lookup(input);
      if (place.version != phase.storages[place.storage].version)
        return launch.emitError("reads a value after another was stored over "
                                "it; this is a mistake of the compiler");
      command.places.push_back(place);
    }
    ArrayRef<int64_t> inplace = command.kernel.getInplace();
    for (auto [j, result] : llvm::enumerate(launch.getOutputs())) {
      Place place;
      if (inplace[j] >= 0) {
        place = command.places[inplace[j]];
        place.version = ++phase.storages[place.storage].version;
      } else {
        place.storage = newStorage(
            result, segment + ":" + launch.getKernel().str() + "." +
                        std::to_string(j));
      }
      places[result] = place;
      command.places.push_back(place);
    }
    phase.commands.push_back(std::move(command));
    return success();
  }

  /// A join only says where its operands lie.
  LogicalResult runJoin(JoinOp join, Places &places,
                        const std::string &segment) {
    int64_t whole = newStorage(join.getOutput(), segment + ":join");
    uint64_t offset = 0;
    for (Value input : join.getInputs()) {
      if (failed(putInto(places.lookup(input), whole, offset)))
        return join.emitError("joins a value that lies elsewhere already; "
                              "this is a mistake of the compiler");
      offset += bytesOf(typeOf(input));
    }
    places[join.getOutput()] = Place{whole, 0, 0};
    return success();
  }

  LogicalResult putInto(Place place, int64_t whole, uint64_t offset) {
    Storage &inner = phase.storages[place.storage];
    if (place.offset != 0 || inner.buffer >= 0 || inner.parent >= 0)
      return failure();
    inner.parent = whole;
    inner.offset = offset;
    return success();
  }

  LogicalResult bindResults(ArrayRef<Place> results) {
    for (auto [r, made] : llvm::enumerate(results)) {
      Place place = made;
      auto bind = entry.getResultAttrOfType<DictionaryAttr>(r, "ltc.bind");
      if (!bind)
        return entry.emitError("result ") << r << " of @" << entry.getSymName()
                                          << " has no ltc.bind, so no buffer";
      Value value = entry.getBody().front().getTerminator()->getOperand(r);
      auto target = boundPlace(bind, value);
      if (failed(target))
        return failure();
      Place at = phase.resolve(place);
      if (at.storage == target->storage && at.offset == 0)
        continue;
      bool updated = phase.storages[target->storage].version > 0 ||
                     isArgument(bind);
      // Two results may be one value (equal fills); its launch runs twice.
      bool taken = phase.storages[place.storage].parent >= 0;
      if (!updated && taken)
        if (std::optional<Place> again = runAgain(place))
          place = *again;
      if (updated || failed(putInto(place, target->storage, 0)))
        return entry.emitError("result ")
               << r << " of @" << entry.getSymName() << ", bound to " << bind
               << ", is not made in place; this is a mistake of the compiler";
    }
    return success();
  }

  /// Repeats the launch that made `place`, into storage of its own.
  std::optional<Place> runAgain(Place place) {
    for (size_t c = 0; c < phase.commands.size(); ++c) {
      FlatCommand again = phase.commands[c];
      ArrayRef<int64_t> inplace = again.kernel.getInplace();
      size_t inputs = again.places.size() - inplace.size();
      std::optional<Place> made;
      bool stores = llvm::any_of(inplace, [](int64_t at) { return at >= 0; });
      bool makes = false;
      for (size_t j = 0; j < inplace.size(); ++j)
        makes |= again.places[inputs + j].storage == place.storage;
      for (size_t j = 0; j < inplace.size() && makes && !stores; ++j) {
        Place &result = again.places[inputs + j];
        bool wanted = result.storage == place.storage;
        Storage copy = phase.storages[result.storage];
        copy.parent = copy.buffer = -1;
        copy.offset = 0;
        phase.storages.push_back(copy);
        result = Place{int64_t(phase.storages.size() - 1), 0, 0};
        if (wanted)
          made = result;
      }
      if (!made)
        continue;
      phase.commands.insert(phase.commands.begin() + c + 1, again);
      return made;
    }
    return std::nullopt;
  }

  bool isArgument(DictionaryAttr bind) {
    for (unsigned a = 0; a < entry.getNumArguments(); ++a)
      if (entry.getArgAttr(a, "ltc.bind") == bind)
        return true;
    return false;
  }

  func::FuncOp entry;
  Layout &layout;
  SymbolTable symbols;
  FlatPhase phase;
  std::map<uint32_t, int64_t> storageOfBuffer;
};

} // namespace

FailureOr<FlatPhase> flatten(func::FuncOp function, Layout &layout) {
  return Flattener(function, layout).run();
}

} // namespace ltc
