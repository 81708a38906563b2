// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/FileTensors.h"
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>

namespace ltc {
using namespace artifact;

/// visit(from, to) for each element of a move.
template <typename Visit>
static void eachElement(const MoveT &move, size_t digit, int64_t from,
                        int64_t to, const Visit &visit) {
  if (digit == move.sizes.size())
    return visit(from, to);
  for (int64_t i = 0; i < move.sizes[digit]; ++i)
    eachElement(move, digit + 1, from + i * move.from_steps[digit],
                to + i * move.to_steps[digit], visit);
}

void putIn(const FileTensorT &file, std::span<const float> from,
           std::span<float> parameter) {
  for (const auto &move : file.moves)
    eachElement(*move, 0, move->from, move->to, [&](int64_t at, int64_t to) {
      parameter[to] = from[at];
    });
}

namespace {

/// A file's tensor and the parameters that hold it.
struct Maker {
  struct Part {
    const FileTensorT *file;
    TensorSource parameter;
  };
  std::vector<Part> parts;
  std::vector<float> made; ///< while it is being written

  Result<void> make(uint64_t elements) {
    made.assign(elements, 0);
    for (const Part &part : parts) {
      std::vector<float> whole(part.parameter.bytes / sizeof(float));
      LTC_TRY(part.parameter.read(
          0, {reinterpret_cast<char *>(whole.data()), part.parameter.bytes}));
      for (const auto &move : part.file->moves)
        eachElement(*move, 0, move->from, move->to,
                    [&](int64_t from, int64_t at) { made[from] = whole[at]; });
    }
    return {};
  }
};

} // namespace

static TensorSource sourceOf(const FileTensorT &file,
                             std::shared_ptr<Maker> maker) {
  uint64_t elements = std::accumulate(file.shape.begin(), file.shape.end(),
                                      uint64_t(1), std::multiplies<uint64_t>());
  uint64_t bytes = elements * sizeof(float);
  auto read = [maker, elements, bytes](uint64_t offset,
                                       std::span<char> to) -> Result<void> {
    if (maker->made.empty())
      LTC_TRY(maker->make(elements));
    std::memcpy(to.data(),
                reinterpret_cast<char *>(maker->made.data()) + offset,
                to.size());
    if (offset + to.size() == bytes)
      std::vector<float>().swap(maker->made);
    return {};
  };
  return {file.name, "F32", file.shape, bytes, read};
}

std::vector<TensorSource> asInFiles(const ArtifactT &table,
                                    std::vector<TensorSource> parameters) {
  std::vector<TensorSource> result;
  std::map<std::string, std::shared_ptr<Maker>> makers;
  std::map<std::string, const ParameterT *> named;
  for (const auto &parameter : table.parameters)
    named[parameter->name] = parameter.get();
  for (TensorSource &source : parameters) {
    const ParameterT &parameter = *named.at(source.name);
    if (parameter.files.empty())
      result.push_back(source);
    for (const auto &file : parameter.files) {
      std::shared_ptr<Maker> &maker = makers[file->name];
      if (!maker) {
        maker = std::make_shared<Maker>();
        result.push_back(sourceOf(*file, maker));
      }
      maker->parts.push_back({file.get(), source});
    }
  }
  return result;
}

} // namespace ltc
