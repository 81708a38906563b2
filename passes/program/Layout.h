// SPDX-License-Identifier: Apache-2.0
// The buffers that outlive a phase: what ltc.bind names. Each group of
// parameters is contiguous, a parameter padded to 16 floats, the groups one
// after another; gradients are laid out alike, and so is a state of the
// weight's shape. States follow one another by name, then group.
#pragma once
#include "ir/interfaces/Line.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "runtime/artifact/Artifact_generated.h"
#include <map>
#include <optional>
#include <string>

namespace ltc {

artifact::DType dtypeOf(mlir::Type element);
uint64_t bytesOf(mlir::RankedTensorType type);

/// Fields of the dictionaries in the module's attributes; the default where
/// a field is absent.
std::string textOf(mlir::DictionaryAttr dict, llvm::StringRef key);
int64_t numberOf(mlir::DictionaryAttr dict, llvm::StringRef key, int64_t other);

class Layout {
public:
  Layout(mlir::ModuleOp module, artifact::ArtifactT &artifact)
      : module(module), artifact(artifact) {}

  /// Parameters, gradients, states, the scalar table, terms and the buffers of
  /// fixed meaning, from the module's attributes.
  mlir::LogicalResult build();
  /// The buffer that a function's argument or result is bound to; made at the
  /// first use where the module's attributes do not name it (inputs).
  mlir::FailureOr<uint32_t> bound(mlir::DictionaryAttr bind,
                                  mlir::RankedTensorType type,
                                  mlir::Location loc);
  /// A buffer at a place of an arena that somebody else planned.
  uint32_t addBuffer(std::string name, artifact::BufferClass kind,
                     artifact::DType dtype, llvm::ArrayRef<int64_t> shape,
                     uint64_t offset, uint64_t bytes, std::string line);
  /// Makes the arena at least so large.
  void reserve(artifact::BufferClass kind, uint64_t bytes);
  uint64_t arenaBytes(artifact::BufferClass kind) { return arenas[int(kind)]; }
  /// Sizes of all arenas into the artifact.
  void finish();

  /// Gradients of a whole group each: zeroed when a step is done.
  std::vector<uint32_t> groupGradients;
  /// Of the groups that are evaluated with other weights than they train:
  /// those weights lie over the gradients, which are zero between steps.
  std::vector<uint32_t> evaluationWeights;
  std::vector<uint32_t> caches; ///< zero before a context's first token
  /// Parameters that a phase reads are from now on those for evaluation.
  void readEvaluationWeights(bool reads) { evaluating = reads; }

private:
  struct Place {
    uint64_t offset = 0, bytes = 0; ///< in each of the three arenas
  };
  /// A state of one parameter, or of all of a group (no shape: one number).
  struct StatePlace {
    std::string name;
    Place place;
    std::optional<std::vector<int64_t>> shape; ///< none: the weight's
    int64_t ranges = 0; ///< leading dimensions that names in files range over
  };
  mlir::LogicalResult placeParameters();
  mlir::LogicalResult placeStates(uint64_t groupCount);
  void addParameter(mlir::DictionaryAttr dict, Place place);
  artifact::ParameterT *addNamed(mlir::DictionaryAttr dict, std::string name,
                                 llvm::ArrayRef<int64_t> shape, Place place,
                                 int64_t part, int64_t parts);
  void addState(artifact::ParameterT &parameter, StatePlace state, Place weight,
                const Place &group, int64_t part, int64_t parts);
  void addGroups();
  void addScalars();
  void addTerms();
  void addWellknown();
  /// A buffer behind what the arena holds so far.
  uint32_t append(std::string name, artifact::BufferClass kind,
                  artifact::DType dtype, llvm::ArrayRef<int64_t> shape,
                  uint64_t bytes, std::string line = "");

  mlir::ModuleOp module;
  artifact::ArtifactT &artifact;
  uint64_t arenas[int(artifact::BufferClass::MAX) + 1] = {};
  std::vector<Place> groups;
  std::vector<std::vector<StatePlace>> statesOfGroup;
  std::map<std::string, std::vector<StatePlace>> statesOfParameter;
  bool evaluating = false;
  std::map<std::string, uint32_t> byKey; ///< of a bind
};

} // namespace ltc
