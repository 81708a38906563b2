// SPDX-License-Identifier: Apache-2.0
#include "frontend/lower/Lower.h"
#include "frontend/graph/Lexer.h"
#include "frontend/graph/Parser.h"
#include "frontend/texts/Texts.h"
#include "runtime/base/File.h"
#include "llvm/Support/raw_ostream.h"
#include <filesystem>
#include <set>

namespace ltc {
namespace {

graph::Place convert(const spec::Place &place) {
  return {place.file, place.line, place.column};
}

std::string kindName(graph::Function::Kind kind) {
  using graph::Function;
  return kind == Function::Model       ? "model"
         : kind == Function::Loss      ? "loss"
         : kind == Function::Optimizer ? "optimizer"
                                       : "schedule";
}

class Collector {
public:
  Collector(const spec::Spec &spec, std::vector<spec::Problem> &problems)
      : problems(problems),
        base(std::filesystem::absolute(spec.path).parent_path()) {
    for (const LibraryText &text : libraryTexts())
      request.texts.push_back(
          {std::string(text.path), std::string(text.text)});
  }

  /// A name of the library, or a path ending in .ltc that is read now: then
  /// the only text of that kind in the file, or the one with the file's name.
  graph::TextUse use(const spec::Use &from, graph::Function::Kind kind,
                     const std::string &key) {
    graph::TextUse result;
    result.name = from.name;
    result.place = convert(from.place);
    result.key = key;
    for (const spec::Setting &setting : from.settings)
      result.settings.push_back(
          {setting.name, setting.text, convert(setting.place)});
    std::filesystem::path path = from.name;
    if (path.extension() == ".ltc") {
      read(base / path, from.place);
      result.name = nameIn((base / path).lexically_normal(), kind, from.place);
    }
    return result;
  }

  void refuse(const spec::Place &place, const std::string &message) {
    problems.push_back({place, message});
  }

  graph::Request request;

private:
  void read(std::filesystem::path path, const spec::Place &place) {
    path = path.lexically_normal();
    if (!seen.insert(path.string()).second)
      return;
    auto file = MappedFile::open(path);
    if (!file) {
      problems.push_back({place, file.error().message});
      return;
    }
    std::string text(file->bytes().begin(), file->bytes().end());
    request.texts.push_back({path.string(), text});
    try {
      graph::File parsed = graph::parse(text, path.string());
      auto &own = names[path.string()];
      for (const auto &function : parsed.functions)
        own[function->kind].push_back(function->name);
      for (auto &[used, at] : parsed.uses)
        read(path.parent_path() / used, {at.file, at.line, at.column});
    } catch (const graph::Refusal &) {
      // Reported, with its place, when the program is built.
    }
  }

  std::string nameIn(const std::filesystem::path &path,
                     graph::Function::Kind kind, const spec::Place &place) {
    std::string stem = path.stem().string();
    auto text = names.find(path.string());
    if (text == names.end())
      return stem; // unreadable, or broken: said elsewhere
    const std::vector<std::string> &found = text->second[kind];
    if (found.size() == 1)
      return found[0];
    if (!llvm::is_contained(found, stem))
      refuse(place, path.string() + " has " +
                        (found.empty() ? "no " : "several texts of kind ") +
                        kindName(kind) +
                        (found.empty() ? "" : ", none named " + stem));
    return stem;
  }

  std::vector<spec::Problem> &problems;
  std::filesystem::path base;
  /// By path and kind, what the texts read so far define.
  std::map<std::string,
           std::map<graph::Function::Kind, std::vector<std::string>>>
      names;
  std::set<std::string> seen;
};

} // namespace

graph::Request makeRequest(const spec::Spec &spec,
                           std::vector<spec::Problem> &problems) {
  Collector collector(spec, problems);
  graph::Request &request = collector.request;
  using graph::Function;
  request.model = collector.use(spec.model, Function::Model, "model");
  request.optimizer =
      collector.use(spec.optimizer, Function::Optimizer, "train.optimizer");
  request.schedule =
      collector.use(spec.schedule, Function::Schedule, "train.schedule");
  for (const spec::Loss &loss : spec.losses) {
    graph::LossUse use;
    static_cast<graph::TextUse &>(use) =
        collector.use(loss, Function::Loss, "loss." + loss.name);
    for (const graph::LossUse &other : request.losses)
      if (other.name == use.name)
        collector.refuse(loss.place, "two losses are named '" + use.name +
                                         "': rename the one of the text");
    use.weight = loss.weight;
    use.weightKey = "loss." + loss.name;
    if (!loss.settings.empty())
      use.weightKey += ".weight";
    request.losses.push_back(use);
  }
  // A schedule that ends with the run need not say so twice.
  if (spec.duration.unit == "steps")
    request.schedule.offered.push_back(
        {"total", std::to_string(int64_t(spec.duration.amount)),
         request.schedule.place});
  if (spec.clip)
    request.clip = graph::ScalarSetting{
        "train.clip",  "", "> 0", "largest global gradient norm", *spec.clip,
        convert(spec.clipPlace)};
  request.guard = {"train.guard", "", "> 0",
                   "a step whose gradient norm is not below changes nothing",
                   spec.guard, convert(spec.guardPlace)};
  request.microBatch = spec.microBatch;
  request.length = spec.length;
  request.precision = spec.precision;
  // What the packer makes of every source (runtime/data).
  request.columns = {"tokens", "labels", "position", "document", "mask"};
  return request;
}

std::string structureText(graph::Request request, mlir::MLIRContext &context) {
  using namespace mlir;
  request.microBatch = 1;
  request.precision = graph::Request().precision;
  OwningOpRef<ModuleOp> copy = graph::buildProgram(request, context);
  if (!copy)
    return "";
  Builder builder(&context);
  auto keep = [&](StringRef list, ArrayRef<StringRef> left) {
    SmallVector<Attribute> rows;
    if (auto old = copy.get()->getAttrOfType<ArrayAttr>(list))
      for (Attribute row : old) {
        NamedAttrList entries(cast<DictionaryAttr>(row));
        for (StringRef name : left)
          entries.erase(name);
        rows.push_back(entries.getDictionary(&context));
      }
    copy.get()->setAttr(list, builder.getArrayAttr(rows));
  };
  keep("ltc.parameters", {"line"});
  keep("ltc.scalars", {"line", "value", "help", "check", "unit"});
  std::string text;
  llvm::raw_string_ostream(text) << *copy;
  return text;
}

/// The data section without the spec's lines: what a run must go on with.
static std::string dataText(nlohmann::ordered_json data) {
  auto strip = [](nlohmann::ordered_json &sources) {
    for (auto &source : sources)
      source.erase("line");
  };
  strip(data["train"]);
  if (data.contains("eval"))
    for (auto &[name, sources] : data["eval"].items())
      strip(sources);
  return data.dump();
}

void describe(const spec::Spec &spec, const std::string &structure,
              artifact::ArtifactT &artifact) {
  nlohmann::ordered_json resolved = spec.resolved();
  artifact.spec_json = resolved.dump();
  for (const spec::Spec::Host &host : spec.host) {
    auto entry = std::make_unique<artifact::EntryT>();
    entry->key = host.key->name;
    entry->value = host.value.dump();
    entry->kind = nameOf(host.key->kind);
    entry->type = nameOf(host.key->type);
    entry->check = host.key->check;
    entry->initial = host.key->initial;
    entry->help = host.key->help;
    entry->line = host.written ? spec::show(host.place) : "";
    artifact.host.push_back(std::move(entry));
  }
  artifact.structure_hash = hexHash(hashBytes(structure));
  artifact.data_hash = hexHash(hashBytes(dataText(resolved["data"])));
}

} // namespace ltc
