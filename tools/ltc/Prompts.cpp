// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Prompts.h"
#include <fstream>
#include <nlohmann/json.hpp>

namespace ltc::tool {

static Result<std::string> promptOf(const std::string &line,
                                    const std::string &where) {
  nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (object.is_discarded() || !object.is_object())
    return fail(where + " is no JSON object; write {\"prompt\": \"...\"}");
  auto prompt = object.find("prompt");
  if (prompt == object.end() || !prompt->is_string())
    return fail(where + " has no text \"prompt\"; write {\"prompt\": \"...\"}");
  return prompt->get<std::string>();
}

Result<std::vector<std::string>>
readPrompts(const std::filesystem::path &path) {
  std::ifstream in(path, std::ios::binary);
  std::error_code ignored;
  if (!in || std::filesystem::is_directory(path, ignored))
    return fail("cannot read the prompts in " + path.string() +
                "; give a file with one prompt a line");
  bool json = path.extension() == ".jsonl";
  std::vector<std::string> prompts;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    if (line.empty())
      continue;
    if (json) {
      LTC_ASSIGN(std::string prompt,
                 promptOf(line, path.string() + ":" + std::to_string(number)));
      prompts.push_back(std::move(prompt));
    } else {
      prompts.push_back(line);
    }
  }
  if (in.bad())
    return fail("cannot read " + path.string() + " to its end");
  if (prompts.empty())
    return fail(path.string() + " has no prompt; write one a line");
  return prompts;
}

} // namespace ltc::tool
