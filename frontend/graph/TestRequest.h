// SPDX-License-Identifier: Apache-2.0
// Small requests for tests, and what the compiler said about them.
#pragma once
#include "frontend/graph/Request.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"
#include <string>

namespace ltc::graph::test {

inline Place specLine(int line) { return {"spec.yaml", line, 3}; }

inline TextUse use(const std::string &name,
                   std::vector<std::pair<std::string, std::string>> settings,
                   const std::string &key = "") {
  TextUse result{name, {}, specLine(1), key};
  int line = 2;
  for (auto &[setting, text] : settings)
    result.settings.push_back({setting, text, specLine(line++)});
  return result;
}

inline LossUse loss(const std::string &name, double weight) {
  LossUse result;
  static_cast<TextUse &>(result) = use(name, {}, "loss." + name);
  result.weight = weight;
  result.weightKey = "loss." + name + ".weight";
  return result;
}

using Settings = std::vector<std::pair<std::string, std::string>>;

inline Settings tinyLlama() {
  return {{"vocab", "11"}, {"layers", "2"}, {"d", "8"},   {"heads", "4"},
          {"kv", "2"},     {"k", "4"},      {"ffn", "12"}};
}
/// With Llama 3's kind of rope scaling and every bias.
inline Settings tinyLlama3() {
  return {{"vocab", "11"},           {"layers", "2"},
          {"d", "8"},                {"heads", "4"},
          {"kv", "2"},               {"k", "8"},
          {"ffn", "12"},             {"attention_bias", "true"},
          {"mlp_bias", "true"},      {"rope", "llama3"},
          {"rope_factor", "8"},      {"rope_low", "1"},
          {"rope_high", "4"},        {"rope_original", "64"}};
}
inline Settings tinyLinear() {
  return {{"vocab", "11"},      {"layers", "2"},
          {"d", "8"},           {"heads", "4"},
          {"kv", "2"},          {"k", "8"},
          {"ffn", "12"},        {"attention_bias", "true"},
          {"mlp_bias", "true"}, {"rope", "linear"},
          {"rope_factor", "4"}};
}
inline Settings tinyMistral() {
  Settings settings = tinyLlama();
  settings.push_back({"window", "3"});
  return settings;
}
inline Settings tinyGpt2() {
  return {{"vocab", "11"}, {"layers", "2"},    {"d", "8"},
          {"heads", "2"},  {"positions", "6"}, {"ffn", "12"}};
}

/// golden/make.py's Functions.
inline const char *const kFunctions = R"(
model functions(vocab, d, heads, k = d / heads)
input tokens[b, t]: token, position[b, t], document[b, t]
param a[vocab, d]       init normal(0.02)  as "a"
param wq[(heads k), d]  init normal(0.02)  as "wq"
param wo[d, (heads k)]  init normal(0.02)  as "wo"
x = a[tokens over vocab]
q = x @ wq
y = relu(x) + 0.9 * sigmoid(x) + 0.8 * softplus(x) + 0.7 * log_sigmoid(x) +
    0.6 * gelu(x) + 0.5 * softmax[d](x) + 0.4 * log_softmax[d](x) +
    rotary[d](x, position, layout = interleaved) +
    attention(q, q, q, keep = within(document)) @ wo
return y @ a
)";

/// A tiny model, cross entropy, adamw and cosine.
inline Request request(const std::string &model, Settings settings) {
  Request result;
  result.model = use(model, settings, "model");
  result.losses = {loss("cross_entropy", 1)};
  result.optimizer = use("adamw", {}, "train.optimizer.adamw");
  result.schedule =
      use("cosine", {{"peak", "1e-3"}, {"warmup", "2"}, {"total", "10"}},
          "train.schedule.cosine");
  result.clip = ScalarSetting{"train.clip", "", "", "", 1, specLine(20)};
  result.guard = ScalarSetting{"train.guard", "", "", "", 1e9, specLine(21)};
  result.microBatch = 2;
  result.length = 6;
  return result;
}

/// A module or the diagnostics, each as "file:line:column: text".
struct Built {
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string said, notes;

  explicit Built(const Request &request) {
    mlir::ScopedDiagnosticHandler handler(
        &context, [&](mlir::Diagnostic &diagnostic) {
          said += line(diagnostic);
          for (mlir::Diagnostic &note : diagnostic.getNotes())
            notes += line(note);
          return mlir::success();
        });
    module = buildProgram(request, context);
  }

  static std::string line(mlir::Diagnostic &diagnostic) {
    std::string text;
    llvm::raw_string_ostream out(text);
    if (auto at =
            llvm::dyn_cast<mlir::FileLineColLoc>(diagnostic.getLocation()))
      out << at.getFilename().getValue() << ":" << at.getLine() << ":"
          << at.getColumn() << ": ";
    out << diagnostic << "\n";
    return text;
  }
};

} // namespace ltc::graph::test
