// SPDX-License-Identifier: Apache-2.0
// A built program that the interpreter runs by the names of its arguments, and
// golden/make.py's weights and batch.
#pragma once
#include "frontend/graph/TestRequest.h"
#include "ir/interfaces/Interpreter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "nlohmann/json.hpp"
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <map>

namespace ltc::graph::test {

inline nlohmann::json golden(const std::string &file, const std::string &name) {
  std::ifstream in(file);
  return nlohmann::json::parse(in).at(name);
}

inline double formula(int64_t order, int64_t i, bool ones) {
  return (ones ? 1.0 : 0.0) + 0.4 * std::sin(1.3 * double(i) + double(order));
}

/// A built module whose functions are called by the names of their arguments.
struct TestProgram {
  Built built;
  std::map<std::string, HostTensor> values; ///< by name or key
  explicit TestProgram(const Request &request) : built(request) {
    EXPECT_TRUE(built.module) << built.said;
  }

  /// "w" a parameter, input, scalar or result; "d w" its gradient, "x w" what
  /// it is evaluated with, "m of w" a state; "1/w" a term's inverse count;
  /// "parameter0" a group.
  static std::string nameOf(mlir::DictionaryAttr bind) {
    std::string kind = bind.getAs<mlir::StringAttr>("class").str();
    bool grouped = bind.contains("group");
    std::string result = kind == "inverse_count"           ? "1/"
                         : kind == "gradient" && !grouped ? "d "
                         : kind == "evaluation" && !grouped
                             ? "x "
                             : "";
    for (const char *key : {"name", "key"})
      if (auto name = bind.getAs<mlir::StringAttr>(key))
        result += name.str();
    if (auto parameter = bind.getAs<mlir::StringAttr>("parameter"))
      result += " of " + parameter.str();
    if (auto group = bind.getAs<mlir::IntegerAttr>("group"))
      result += kind + std::to_string(group.getInt());
    if (!result.empty())
      return result;
    return kind == "position" ? "class position" : kind;
  }

  /// Runs @symbol; its results by name.
  std::map<std::string, HostTensor> call(const char *symbol) {
    auto f = built.module->lookupSymbol<mlir::func::FuncOp>(symbol);
    std::vector<HostTensor> arguments;
    for (unsigned i = 0; i < f.getNumArguments(); ++i) {
      auto bind = f.getArgAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind");
      std::string name = nameOf(bind);
      EXPECT_TRUE(values.count(name)) << symbol << " reads " << name;
      HostTensor value = values[name];
      auto type = mlir::cast<mlir::RankedTensorType>(f.getArgumentTypes()[i]);
      value.shape = type.getShape().vec();
      value.data.resize(type.getNumElements()); // @predict: the first row
      arguments.push_back(value);
    }
    std::map<std::string, HostTensor> results;
    auto out = Interpreter(*built.module).call(symbol, arguments);
    EXPECT_TRUE(mlir::succeeded(out)) << symbol;
    for (unsigned i = 0; mlir::succeeded(out) && i < out->size(); ++i)
      results[nameOf(f.getResultAttrOfType<mlir::DictionaryAttr>(
          i, "ltc.bind"))] = (*out)[i];
    return results;
  }

  /// Weights by the formula, in order of name; scalars at their values.
  void fill() {
    std::map<std::string, mlir::DictionaryAttr> parameters;
    for (auto parameter : list("ltc.parameters"))
      parameters[text(parameter, "name")] = parameter;
    int64_t order = 0;
    for (auto &[name, parameter] : parameters) {
      auto shape = parameter.getAs<mlir::DenseI64ArrayAttr>("shape");
      HostTensor value(shape.asArrayRef().vec());
      bool ones = text(parameter, "init") == "ones";
      for (int64_t i = 0; i < value.size(); ++i)
        value.data[i] = formula(order, i, ones);
      values[name] = value;
      ++order;
    }
    for (auto scalar : list("ltc.scalars"))
      values[text(scalar, "key")] = HostTensor::scalar(
          scalar.getAs<mlir::FloatAttr>("value").getValueAsDouble());
  }
  std::vector<mlir::DictionaryAttr> list(const char *name) {
    std::vector<mlir::DictionaryAttr> result;
    for (mlir::Attribute item :
         (*built.module)->getAttrOfType<mlir::ArrayAttr>(name))
      result.push_back(mlir::cast<mlir::DictionaryAttr>(item));
    return result;
  }
  static std::string text(mlir::DictionaryAttr from, const char *key) {
    return from.getAs<mlir::StringAttr>(key).str();
  }
};

/// make.py's rows: documents of 6, and of 4 and 2 tokens.
inline void addBatch(TestProgram &program) {
  program.values["tokens"] =
      HostTensor({2, 6}, {1, 4, 7, 2, 9, 3, 5, 0, 10, 6, 8, 2});
  program.values["labels"] =
      HostTensor({2, 6}, {4, 7, 2, 9, 3, 0, 0, 10, 6, 0, 2, 0});
  program.values["mask"] =
      HostTensor({2, 6}, {1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0});
  program.values["position"] =
      HostTensor({2, 6}, {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 0, 1});
  program.values["document"] =
      HostTensor({2, 6}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1});
}

} // namespace ltc::graph::test
