// SPDX-License-Identifier: Apache-2.0
// safetensors files: u64 length of a JSON header, the header, packed tensors.
// The reader trusts nothing: it refuses holes, overlaps, trailing bytes,
// duplicate names and sizes that do not follow from shape and dtype.
#pragma once
#include "runtime/base/File.h"
#include <cstdint>
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

/// Writes atomically, tensors ordered widest dtype first, then by name.
Result<void> writeSafetensors(const std::filesystem::path &path,
                              std::vector<TensorData> tensors);

/// "[2, 3]", for messages.
std::string shapeText(std::span<const int64_t> shape);

} // namespace ltc
