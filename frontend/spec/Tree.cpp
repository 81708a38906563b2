// SPDX-License-Identifier: Apache-2.0
#include "frontend/spec/Tree.h"
#include "runtime/base/File.h"
#include "runtime/schema/Schema.h"
#include <algorithm>
#include <yaml-cpp/yaml.h>

namespace ltc::spec {

// A spec is a page; what is larger is a wrong file or an attack (aliases of
// aliases grow without bound).
static constexpr size_t kMaxBytes = 1 << 20;
static constexpr int kMaxDepth = 64, kMaxValues = 20000, kMaxProblems = 20;

const Tree::Entry *Tree::find(const std::string &key) const {
  for (const Entry &entry : entries)
    if (entry.key == key)
      return &entry;
  return nullptr;
}

namespace {

/// Characters that would act on the terminal that shows them.
bool hasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 32 || c == 127; });
}

/// Bytes of the UTF-8 sequence at the front of `text`, or 0.
size_t sequenceLength(std::string_view text) {
  unsigned char first = text[0];
  size_t length = first < 0x80                    ? 1
                  : first >= 0xc2 && first < 0xe0 ? 2
                  : first >= 0xe0 && first < 0xf0 ? 3
                  : first >= 0xf0 && first < 0xf5 ? 4
                                                  : 0;
  if (length > text.size())
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((text[i] & 0xc0) != 0x80)
      return 0;
  return length;
}

class Converter {
public:
  Converter(const std::string &file, std::vector<Problem> &problems)
      : file(file), problems(problems) {}

  Place placeOf(const YAML::Mark &mark) const {
    if (mark.is_null())
      return {file, 1, 1};
    return {file, mark.line + 1, mark.column + 1};
  }
  Tree convert(const YAML::Node &node, int depth = 0);

private:
  void error(const Place &place, std::string message) {
    problems.push_back({place, std::move(message)});
  }
  void addEntry(Tree &tree, const YAML::Node &key, const YAML::Node &value,
                int depth);

  const std::string &file;
  std::vector<Problem> &problems;
  int values = 0;
};

void Converter::addEntry(Tree &tree, const YAML::Node &key,
                         const YAML::Node &value, int depth) {
  Place place = placeOf(key.Mark());
  if (!key.IsScalar())
    return error(place, "a key must be a plain name");
  std::string name = key.Scalar();
  if (name == "<<")
    return error(place, "merge keys (<<) are not read: write the keys out");
  if (tree.find(name))
    return error(place, "key '" + shown(name) + "' stands here twice");
  if (hasControl(name))
    return error(place, "a control character in '" + shown(name) + "'");
  tree.entries.push_back({name, place, convert(value, depth + 1)});
  if (value.IsNull()) // its mark is where the next thing begins
    tree.entries.back().value.place = place;
}

Tree Converter::convert(const YAML::Node &node, int depth) {
  Tree tree;
  tree.place = placeOf(node.Mark());
  if (++values > kMaxValues) {
    if (values == kMaxValues + 1)
      error(tree.place, "more than " + std::to_string(kMaxValues) +
                            " values, aliases (*name) counted each time");
    return tree;
  }
  if (depth > kMaxDepth) {
    error(tree.place,
          "nested more than " + std::to_string(kMaxDepth) + " deep");
    values = kMaxValues + 1;
    return tree;
  }
  const std::string &tag = node.Tag();
  if (!tag.empty() && tag != "?" && tag != "!")
    error(tree.place, "tags are not read: leave out " + shown(tag));
  if (node.IsMap()) {
    tree.kind = Tree::Map;
    for (const auto &pair : node)
      addEntry(tree, pair.first, pair.second, depth);
  } else if (node.IsSequence()) {
    tree.kind = Tree::List;
    for (const YAML::Node &item : node)
      tree.items.push_back(convert(item, depth + 1));
  } else if (node.IsScalar()) {
    tree.text = node.Scalar();
    if (hasControl(tree.text))
      error(tree.place, "a control character in '" + shown(tree.text) + "'");
  }
  return tree;
}

/// What keeps the bytes from being a text at all: no UTF-8, or a tab that
/// indents a line (which YAML forbids; its own message would not say so).
bool checkBytes(std::string_view text, const std::string &file,
                std::vector<Problem> &problems) {
  int line = 1, column = 1, depth = 0;
  bool indent = true;
  for (size_t at = 0, length = 1; at < text.size(); at += length) {
    char c = text[at];
    length = sequenceLength(text.substr(at));
    if (c == '\0' || length == 0) {
      problems.push_back({{file, line, column},
                          "this is not a text in UTF-8: it holds the byte " +
                              shown(text.substr(at, 1))});
      return false;
    }
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    if (c == '\t' && indent && depth <= 0) {
      problems.push_back({{file, line, column},
                          "a tab indents this line: YAML takes spaces only"});
      return false;
    }
    indent = c == '\n' || (indent && c == ' ');
    line += c == '\n';
    column = c == '\n' ? 1 : column + 1;
  }
  return true;
}

/// Brackets open at once. yaml-cpp descends by recursion.
bool tooDeep(std::string_view text) {
  int depth = 0, deepest = 0;
  for (char c : text) {
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    deepest = std::max(deepest, depth);
  }
  return deepest > 2 * kMaxDepth;
}

} // namespace

Tree readTree(const std::string &path, std::vector<Problem> &problems) {
  auto mapped = MappedFile::open(path);
  if (!mapped) {
    problems.push_back({{"", 0, 0}, mapped.error().message});
    return {};
  }
  std::string text(mapped->bytes().begin(), mapped->bytes().end());
  Converter converter(path, problems);
  try {
    if (text.size() > kMaxBytes || tooDeep(text)) {
      problems.push_back({{path, 1, 1},
                          text.size() > kMaxBytes
                              ? "larger than a spec may be, 1 MiB"
                              : "nested more than 64 deep"});
      return {};
    }
    if (!checkBytes(text, path, problems))
      return {};
    std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      problems.push_back({converter.placeOf(documents[1].Mark()),
                          "a second document (---): a spec is one"});
      return {};
    }
    if (!documents.empty() && !documents[0].IsNull())
      return converter.convert(documents[0]);
    problems.push_back({{path, 1, 1},
                        "the spec is empty: it begins with model: "
                        "{architecture: llama, ...}"});
  } catch (const YAML::Exception &error) {
    // What yaml-cpp says of too deep a recursion; it opens no file here.
    bool deep = error.msg == YAML::ErrorMsg::BAD_FILE;
    problems.push_back({converter.placeOf(error.mark),
                        deep ? "nested more than 64 deep" : error.msg});
  }
  return {};
}

std::string show(const std::vector<Problem> &problems) {
  std::string text;
  int count = 0;
  for (const Problem &problem : problems) {
    if (++count > kMaxProblems)
      return text + "and " + std::to_string(problems.size() - kMaxProblems) +
             " more errors\n";
    if (problem.place.line > 0)
      text += problem.place.file + ":" + std::to_string(problem.place.line) +
              ":" + std::to_string(problem.place.column) + ": ";
    text += "error: " + problem.message + "\n";
  }
  return text;
}

} // namespace ltc::spec
