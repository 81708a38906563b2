// SPDX-License-Identifier: Apache-2.0
// The artifact's file. Layout: FlatBuffer (Artifact.fbs), blobs on 64-byte
// borders, then a 24-byte trailer: u64 size of the FlatBuffer, u64 xxh3 of
// everything before the trailer, "LTCAEND1".
#pragma once
#include "runtime/artifact/Artifact_generated.h"
#include "runtime/base/File.h"

namespace ltc {

/// The version that this build writes, and the oldest that it reads.
inline constexpr uint32_t kArtifactVersion = 1;
inline constexpr uint32_t kOldestArtifactVersion = 1;

/// Writes `program`, whose objects hold their bytes, atomically.
Result<void> writeArtifact(const artifact::ArtifactT &program,
                           const std::filesystem::path &path);

/// A verified artifact: every index and offset in `program` has been checked.
class ArtifactFile {
public:
  static Result<ArtifactFile> open(const std::filesystem::path &path);

  artifact::ArtifactT program; ///< `objects[i]->bytes` are empty: see object()
  uint64_t hash = 0;           ///< of the whole file

  /// The bytes of `program.objects[i]`, inside the mapped file.
  std::span<const char> object(size_t i) const {
    return file.bytes().subspan(program.objects[i]->offset,
                                program.objects[i]->size);
  }

  std::span<const char> bytes() const { return file.bytes(); } ///< the file's

private:
  MappedFile file;
};

/// Checks what the FlatBuffer verifier cannot: indices, ranges, alignment.
/// `fileSize`: objects must lie before it.
Result<void> checkArtifact(const artifact::ArtifactT &program,
                           uint64_t fileSize);

} // namespace ltc
