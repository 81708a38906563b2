// SPDX-License-Identifier: Apache-2.0
#include "runtime/formats/Safetensors.h"
#include "runtime/formats/SafetensorsHeader.h"
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ltc {

static constexpr uint64_t kMaxHeader = 100'000'000;

Result<SafetensorsFile>
SafetensorsFile::open(const std::filesystem::path &path) {
  SafetensorsFile result;
  LTC_ASSIGN(result.file, MappedFile::open(path));
  std::span<const char> bytes = result.file.bytes();
  auto refuse = [&](const std::string &why) {
    return fail(path.string() + " is not a valid safetensors file: " + why);
  };
  if (bytes.size() < 8)
    return refuse("it has " + std::to_string(bytes.size()) +
                  " bytes, at least 8 are needed");
  uint64_t n;
  std::memcpy(&n, bytes.data(), 8);
  if (n > kMaxHeader)
    return refuse("its header has " + std::to_string(n) + " bytes, at most " +
                  std::to_string(kMaxHeader) + " are allowed");
  if (n > bytes.size() - 8)
    return refuse("its header ends after the file's end; was it cut off?");
  std::span<const char> data = bytes.subspan(8 + n);
  auto header = parseSafetensorsHeader({bytes.data() + 8, n}, data.size());
  if (!header)
    return refuse(header.error().message);
  result.notes = std::move(header->metadata);
  for (SafetensorsEntry &entry : header->entries)
    result.entries[entry.name] = {
        std::string(entry.dtype), std::move(entry.shape),
        data.subspan(entry.begin, entry.end - entry.begin)};
  return result;
}

const TensorView *SafetensorsFile::find(const std::string &name) const {
  auto found = entries.find(name);
  return found == entries.end() ? nullptr : &found->second;
}

static Result<void> checkTensor(const TensorData &tensor) {
  LTC_ASSIGN(uint64_t bytes, tensorBytes(tensor.dtype, tensor.shape));
  if (bytes == tensor.data.size())
    return {};
  return fail("tensor '" + tensor.name + "': " + tensor.dtype + " " +
              shapeText(tensor.shape) + " has " + std::to_string(bytes) +
              " bytes, but " + std::to_string(tensor.data.size()) +
              " were given");
}

Result<void> writeSafetensors(const std::filesystem::path &path,
                              std::vector<TensorData> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorData &a, const TensorData &b) {
              int wa = dtypeBits(a.dtype), wb = dtypeBits(b.dtype);
              return wa != wb ? wa > wb : a.name < b.name;
            });
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  std::vector<std::span<const char>> pieces(1);
  uint64_t offset = 0;
  for (const TensorData &tensor : tensors) {
    LTC_TRY(checkTensor(tensor));
    if (header.contains(tensor.name))
      return fail("tensor '" + tensor.name + "' was given twice");
    header[tensor.name] = {
        {"dtype", tensor.dtype},
        {"shape", tensor.shape},
        {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
    pieces.push_back(tensor.data);
  }
  std::string text = header.dump(-1, ' ', false,
                                 nlohmann::json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t n = text.size();
  text.insert(0, reinterpret_cast<const char *>(&n), 8);
  pieces[0] = text;
  return writeFile(path, pieces);
}

std::string shapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

} // namespace ltc
