// SPDX-License-Identifier: Apache-2.0
// Files: mapped reading, and writing that is complete or not there at all.
#pragma once
#include "runtime/base/Result.h"
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace ltc {

/// A whole file, mapped read-only. Moves; unmaps when it dies.
class MappedFile {
public:
  static Result<MappedFile> open(const std::filesystem::path &path);
  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();
  std::span<const char> bytes() const { return {data, size}; }

private:
  const char *data = nullptr;
  size_t size = 0;
};

struct FileFacts {
  uint64_t bytes = 0, hash = 0; ///< the hash as hashBytes gives it
  bool operator==(const FileFacts &) const = default;
};

/// A file in the making, under a temporary name beside `path`: finish() syncs
/// and renames it. A reader sees the old file or the new one, never a part;
/// without finish() nothing stays.
class FileWriter {
public:
  static Result<FileWriter> create(const std::filesystem::path &path);
  FileWriter(FileWriter &&other) noexcept;
  ~FileWriter();
  Result<void> write(std::span<const char> bytes);
  Result<FileFacts> finish();

private:
  struct State;
  explicit FileWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state;
};

/// Reads a file piece by piece: no more than a small buffer is in memory.
Result<FileFacts> examineFile(const std::filesystem::path &path);

/// Writes the pieces one after another, as a FileWriter does.
Result<void> writeFile(const std::filesystem::path &path,
                       std::span<const std::span<const char>> pieces);
Result<void> writeFile(const std::filesystem::path &path,
                       std::string_view text);

/// Makes the names inside `folder` survive a power cut.
Result<void> syncFolder(const std::filesystem::path &folder);

/// xxh3-64 of bytes; as 16 hexadecimal digits, the form that manifests hold.
uint64_t hashBytes(std::span<const char> bytes);
std::string hexHash(uint64_t hash);

} // namespace ltc
