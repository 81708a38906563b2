// SPDX-License-Identifier: Apache-2.0
// An artifact on a device: arenas allocated, symbols found, every binding a
// pointer. Running a phase is one walk over a flat array.
#pragma once
#include "runtime/artifact/File.h"
#include "runtime/device/Device.h"
#include "runtime/device/Profile.h"
#include <map>
#include <vector>

namespace ltc {

/// The device that an artifact's kernels are for.
std::string deviceOf(const artifact::ArtifactT &table);

class Program {
public:
  /// `file` and `device` outlive the program. Without `caches` it has no
  /// memory for them and no phase that touches them: a run that trains.
  static Result<std::unique_ptr<Program>>
  load(const ArtifactFile &file, Device &device, bool caches = false);

  const artifact::ArtifactT &table() const { return file.program; }
  Device &device() const { return target; }
  /// Null if the artifact has no such phase.
  const artifact::PhaseT *phase(const std::string &name) const;
  Result<void> runPhase(const std::string &name);
  /// From now on every command is timed into `into`; null: none is.
  void profileInto(Profile *into) { profile = into; }

  /// Copies `bytes` of a buffer, from `offset` on, to or from the device.
  Result<void> write(uint32_t buffer, const void *from, uint64_t bytes,
                     uint64_t offset = 0);
  Result<void> read(uint32_t buffer, void *to, uint64_t bytes,
                    uint64_t offset = 0) const;
  template <typename T> Result<void> set(uint32_t buffer, T value) {
    return write(buffer, &value, sizeof value);
  }
  template <typename T> Result<T> get(uint32_t buffer) const {
    T value{};
    LTC_TRY(read(buffer, &value, sizeof value));
    return value;
  }
  uint64_t arenaBytes() const; ///< of all that it holds

private:
  /// A launch, or (no kernel) zeros over the first binding.
  struct Command {
    LtcKernel *kernel;
    int64_t kernelIndex; ///< into the artifact's kernels; -1: none
    uint32_t firstBinding, bindingCount; ///< into Phase::bindings
    int64_t tiles;
    uint64_t bytes; ///< scratch of a launch; how many zeros
  };
  struct Phase {
    std::vector<Command> commands;
    std::vector<void *> bindings;
  };

  Program(const ArtifactFile &file, Device &device)
      : file(file), target(device) {}
  Result<void> allocateArenas(bool caches);
  Result<void> findKernels();
  void resolve(const artifact::PhaseT &phase);
  bool touchesCaches(const artifact::PhaseT &phase) const;
  Result<void> give(const Command &command, void *const *bindings);
  Result<void> runTimed(const std::string &name, const Phase &phase);
  char *address(uint32_t buffer) const;
  Result<void> checkRange(uint32_t buffer, uint64_t bytes,
                          uint64_t offset) const;

  const ArtifactFile &file;
  Device &target;
  char *arenas[int(artifact::BufferClass::MAX) + 1] = {};
  std::vector<LtcKernel *> kernels;
  std::map<std::string, Phase> phases;
  Profile *profile = nullptr;
};

} // namespace ltc
