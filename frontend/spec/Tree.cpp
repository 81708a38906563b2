// SPDX-License-Identifier: Apache-2.0
#include "frontend/spec/Tree.h"
#include <yaml-cpp/yaml.h>

namespace ltc::spec {

const Tree::Entry *Tree::find(const std::string &key) const {
  for (const Entry &entry : entries)
    if (entry.key == key)
      return &entry;
  return nullptr;
}

static Place placeOf(const std::string &file, const YAML::Mark &mark) {
  if (mark.is_null())
    return {file, 1, 1};
  return {file, mark.line + 1, mark.column + 1};
}

static Tree convert(const YAML::Node &node, const std::string &file,
                    std::vector<Problem> &problems, int depth = 0) {
  Tree tree;
  tree.place = placeOf(file, node.Mark());
  if (depth > 64) {
    problems.push_back({tree.place, "nested more than 64 deep"});
    return tree;
  }
  if (node.IsMap()) {
    tree.kind = Tree::Map;
    for (const auto &pair : node) {
      Place place = placeOf(file, pair.first.Mark());
      if (!pair.first.IsScalar()) {
        problems.push_back({place, "a key must be a plain name"});
        continue;
      }
      std::string key = pair.first.Scalar();
      if (tree.find(key)) {
        problems.push_back({place, "key '" + key + "' stands here twice"});
        continue;
      }
      tree.entries.push_back(
          {key, place, convert(pair.second, file, problems, depth + 1)});
    }
    return tree;
  }
  if (node.IsSequence()) {
    tree.kind = Tree::List;
    for (const YAML::Node &item : node)
      tree.items.push_back(convert(item, file, problems, depth + 1));
    return tree;
  }
  if (node.IsScalar())
    tree.text = node.Scalar();
  return tree;
}

Tree readTree(const std::string &path, std::vector<Problem> &problems) {
  try {
    return convert(YAML::LoadFile(path), path, problems);
  } catch (const YAML::BadFile &) {
    problems.push_back({{path, 1, 1}, "cannot read this file"});
  } catch (const YAML::Exception &error) {
    problems.push_back({placeOf(path, error.mark), error.msg});
  }
  return {};
}

} // namespace ltc::spec
