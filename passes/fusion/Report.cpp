// SPDX-License-Identifier: Apache-2.0
#include "passes/fusion/Report.h"
#include "ir/interfaces/Line.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace ltc {

void FusionReport::add(StringRef name, StringRef function,
                       const Group &group) {
  auto [found, fresh] = indices.try_emplace(name, kernels.size());
  if (fresh)
    kernels.emplace_back().name = name.str();
  Kernel &kernel = kernels[found->second];
  if (!llvm::is_contained(kernel.functions, function))
    kernel.functions.push_back(function.str());
  if (!fresh)
    return;
  kernel.form = kernelKindName(group.form.kind).str();
  for (Operation *op : group.ops)
    kernel.ops.emplace_back(op->getName().getStringRef().str(),
                            lineOf(op->getLoc()));
}

void FusionReport::add(const Refusal &refusal, StringRef function) {
  Apart apart{lineOf(refusal.reader), lineOf(refusal.producer), function.str(),
              refusal.why};
  if (!llvm::is_contained(aparts, apart))
    aparts.push_back(std::move(apart));
}

static std::string shown(const std::string &line) {
  return line.empty() ? "?" : line;
}

void FusionReport::writeText(llvm::raw_ostream &out) const {
  for (const Kernel &kernel : kernels) {
    out << "@" << kernel.name << " (" << kernel.form << ") in";
    for (const std::string &function : kernel.functions)
      out << " @" << function;
    out << "\n";
    for (auto &[op, line] : kernel.ops)
      out << "  " << shown(line) << ": " << op << "\n";
  }
  for (const Apart &apart : aparts)
    out << shown(apart.reader) << ": @" << apart.function
        << ": not fused with " << shown(apart.producer) << ": " << apart.why
        << "\n";
}

void FusionReport::writeJson(llvm::raw_ostream &out) const {
  llvm::json::OStream json(out, 1);
  json.object([&] {
    json.attributeArray("kernels", [&] {
      for (const Kernel &kernel : kernels)
        json.object([&] {
          json.attribute("name", kernel.name);
          json.attribute("form", kernel.form);
          json.attribute("functions", llvm::json::Array(kernel.functions));
          json.attributeArray("ops", [&] {
            for (auto &[op, line] : kernel.ops)
              json.value(llvm::json::Object{{"op", op}, {"line", line}});
          });
        });
    });
    json.attributeArray("not_fused", [&] {
      for (const Apart &apart : aparts)
        json.value(llvm::json::Object{{"line", apart.reader},
                                      {"with", apart.producer},
                                      {"function", apart.function},
                                      {"why", apart.why}});
    });
  });
  out << "\n";
}

LogicalResult FusionReport::write(StringRef path, Location loc) const {
  auto print = [&](llvm::raw_ostream &out) {
    path.ends_with(".json") ? writeJson(out) : writeText(out);
    return llvm::Error::success();
  };
  if (path == "-")
    return LogicalResult(success(!print(llvm::errs())));
  llvm::Error error = llvm::writeToOutput(path, print);
  if (!error)
    return success();
  return emitError(loc) << "cannot write the fusion report: "
                        << llvm::toString(std::move(error));
}

} // namespace ltc
