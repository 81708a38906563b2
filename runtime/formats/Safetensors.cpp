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

static Result<void> checkTensor(const TensorSource &tensor) {
  LTC_ASSIGN(uint64_t bytes, tensorBytes(tensor.dtype, tensor.shape));
  if (bytes == tensor.bytes)
    return {};
  return fail("tensor '" + tensor.name + "': " + tensor.dtype + " " +
              shapeText(tensor.shape) + " has " + std::to_string(bytes) +
              " bytes, but " + std::to_string(tensor.bytes) + " were given");
}

/// The length and the header, padded to a multiple of 8 bytes.
static Result<std::string>
headerOf(const std::vector<TensorSource> &tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  uint64_t offset = 0;
  for (const TensorSource &tensor : tensors) {
    LTC_TRY(checkTensor(tensor));
    if (header.contains(tensor.name))
      return fail("tensor '" + tensor.name + "' was given twice");
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump(-1, ' ', false,
                                 nlohmann::json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t n = text.size();
  return text.insert(0, reinterpret_cast<const char *>(&n), 8);
}

static Result<void> copyTensor(const TensorSource &tensor,
                               std::span<char> buffer, FileWriter &file) {
  for (uint64_t at = 0; at < tensor.bytes;) {
    std::span<char> piece =
        buffer.first(std::min<uint64_t>(buffer.size(), tensor.bytes - at));
    LTC_TRY(tensor.read(at, piece));
    LTC_TRY(file.write(piece));
    at += piece.size();
  }
  return {};
}

Result<FileFacts> writeSafetensors(const std::filesystem::path &path,
                                   std::vector<TensorSource> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorSource &a, const TensorSource &b) {
              int wa = dtypeBits(a.dtype), wb = dtypeBits(b.dtype);
              return wa != wb ? wa > wb : a.name < b.name;
            });
  LTC_ASSIGN(std::string header, headerOf(tensors));
  LTC_ASSIGN(FileWriter file, FileWriter::create(path));
  LTC_TRY(file.write(header));
  std::vector<char> buffer(kWriteBuffer);
  for (const TensorSource &tensor : tensors)
    LTC_TRY(copyTensor(tensor, buffer, file));
  return file.finish();
}

Result<void> writeSafetensors(const std::filesystem::path &path,
                              std::vector<TensorData> tensors) {
  std::vector<TensorSource> sources;
  for (TensorData &tensor : tensors) {
    std::span<const char> data = tensor.data;
    sources.push_back({std::move(tensor.name), std::move(tensor.dtype),
                       std::move(tensor.shape), data.size(),
                       [data](uint64_t at, std::span<char> to) -> Result<void> {
                         std::memcpy(to.data(), data.data() + at, to.size());
                         return {};
                       }});
  }
  LTC_TRY(writeSafetensors(path, std::move(sources)));
  return {};
}

std::string shapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

} // namespace ltc
