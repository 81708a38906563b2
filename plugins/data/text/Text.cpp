// SPDX-License-Identifier: Apache-2.0
// The `text` source: each file of a glob is one document.
#include "plugins/sdk/cpp/Files.h"
#include "plugins/sdk/cpp/Source.h"
#include <memory>
#include <nlohmann/json.hpp>

namespace {

class TextSource {
public:
  static constexpr char kind[] = "text";
  static TextSource *open(const std::string &config) {
    auto json = nlohmann::json::parse(config);
    auto source = std::make_unique<TextSource>();
    for (const std::string &path :
         ltc::sdk::filesOf(json.at("path").get<std::string>()))
      source->files.emplace_back(path);
    return source.release();
  }
  uint64_t count() const { return files.size(); }
  uint64_t length(uint64_t i) { return files.at(i).bytes().size(); }
  std::string_view read(uint64_t i) { return files.at(i).bytes(); }

private:
  std::vector<ltc::sdk::Mapping> files;
};

} // namespace

extern "C" const LtcSourceApi *ltcSource_text() {
  return ltc::sdk::sourceApi<TextSource>();
}
