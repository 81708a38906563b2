// SPDX-License-Identifier: Apache-2.0
// The `jsonl` source: each line of the files is one document, its text in the
// string `field`. All lines are checked when the source opens.
#include "plugins/sdk/cpp/Files.h"
#include "plugins/sdk/cpp/Source.h"
#include <memory>
#include <nlohmann/json.hpp>

namespace {

class JsonlSource {
public:
  static constexpr char kind[] = "jsonl";
  static JsonlSource *open(const std::string &config) {
    auto json = nlohmann::json::parse(config);
    auto source = std::make_unique<JsonlSource>();
    source->field = json.value("field", "text");
    for (const std::string &path :
         ltc::sdk::filesOf(json.at("path").get<std::string>()))
      source->add(path);
    return source.release();
  }
  uint64_t count() const { return lines.size(); }
  uint64_t length(uint64_t i) { return lines.at(i).length; }
  std::string_view read(uint64_t i) {
    text = textOf(lines.at(i).json, "");
    return text;
  }

private:
  struct Line {
    std::string_view json;
    uint64_t length;
  };

  std::string textOf(std::string_view line, const std::string &place) const {
    auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_discarded())
      throw std::runtime_error(place + ": this line is not JSON");
    if (!json.is_object() || !json.contains(field) ||
        !json[field].is_string())
      throw std::runtime_error(place + ": this line has no string \"" + field +
                               "\"");
    return json[field].get<std::string>();
  }

  void add(const std::string &path) {
    files.emplace_back(path);
    std::string_view rest = files.back().bytes();
    for (int number = 1; !rest.empty(); ++number) {
      size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos)
        continue;
      std::string place = path + ":" + std::to_string(number);
      lines.push_back({line, textOf(line, place).size()});
    }
  }

  std::vector<ltc::sdk::Mapping> files;
  std::vector<Line> lines;
  std::string field, text;
};

} // namespace

extern "C" const LtcSourceApi *ltcSource_jsonl() {
  return ltc::sdk::sourceApi<JsonlSource>();
}
