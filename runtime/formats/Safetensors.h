// SPDX-License-Identifier: Apache-2.0
// safetensors files: u64 length of a JSON header, the header, packed tensors.
// The reader trusts nothing: it refuses holes, overlaps, trailing bytes,
// duplicate names and sizes that do not follow from shape and dtype.
#pragma once
#include "runtime/base/File.h"
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ltc {

/// A tensor to write. `data` is C-order, little-endian; not owned.
struct TensorData {
  std::string name;
  std::string dtype; ///< F32, I64, ... as the format spells it
  std::vector<int64_t> shape;
  std::span<const char> data;
};

/// A tensor to write whose bytes are asked for piece by piece.
struct TensorSource {
  std::string name, dtype;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
  /// Fills `to` with the tensor's bytes from `offset` on.
  std::function<Result<void>(uint64_t offset, std::span<char> to)> read;
};

/// A tensor in a mapped file; `data` lives as long as the file does.
struct TensorView {
  std::string dtype;
  std::vector<int64_t> shape;
  std::span<const char> data;
};

class SafetensorsFile {
public:
  static Result<SafetensorsFile> open(const std::filesystem::path &path);

  const std::map<std::string, TensorView> &tensors() const { return entries; }
  const std::map<std::string, std::string> &metadata() const { return notes; }
  /// Null if there is no tensor of this name.
  const TensorView *find(const std::string &name) const;

private:
  MappedFile file;
  std::map<std::string, TensorView> entries;
  std::map<std::string, std::string> notes;
};

/// Writes atomically, tensors ordered widest dtype first, then by name. Holds
/// no more of the tensors than kWriteBuffer bytes.
inline constexpr uint64_t kWriteBuffer = 1 << 20;
Result<FileFacts> writeSafetensors(const std::filesystem::path &path,
                                   std::vector<TensorSource> tensors);
Result<void> writeSafetensors(const std::filesystem::path &path,
                              std::vector<TensorData> tensors);

/// "[2, 3]", for messages.
std::string shapeText(std::span<const int64_t> shape);

} // namespace ltc
