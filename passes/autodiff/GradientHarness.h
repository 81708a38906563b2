// SPDX-License-Identifier: Apache-2.0
// Compares what ltc-differentiate builds with central differences in float64.
#pragma once
#include "ir/interfaces/Interpreter.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/autodiff/Passes.h"
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>

namespace ltc::test {

using Tensors = std::map<std::string, HostTensor>;

struct Harness {
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  Tensors inputs;                        ///< parameters and inputs by name
  std::map<std::string, double> weights; ///< by scalar key
  std::map<std::string, double> inverse; ///< by term
  double step = 1e-5;

  Harness() {
    context.loadDialect<LtcDialect, mlir::func::FuncDialect,
                        mlir::arith::ArithDialect, mlir::math::MathDialect>();
  }

  static std::string text(mlir::DictionaryAttr bind, llvm::StringRef key) {
    auto attr = bind ? bind.getAs<mlir::StringAttr>(key) : mlir::StringAttr();
    return attr ? attr.getValue().str() : "";
  }

  bool parse(const std::string &source) {
    module = mlir::parseSourceString<mlir::ModuleOp>(source, &context);
    EXPECT_TRUE(module) << source;
    return bool(module);
  }

  /// Uniform numbers for every float argument that has none yet.
  void fill(double low, double high, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(low, high);
    auto loss = module->lookupSymbol<mlir::func::FuncOp>("loss");
    for (mlir::BlockArgument argument : loss.getArguments()) {
      std::string name = text(bindOf(loss, argument.getArgNumber()), "name");
      if (inputs.count(name))
        continue;
      HostTensor value(shapeOf(argument).vec());
      for (double &x : value.data)
        x = uniform(random);
      inputs[name] = value;
    }
  }

  static mlir::DictionaryAttr bindOf(mlir::func::FuncOp f, unsigned i) {
    return f.getArgAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind");
  }

  /// Sums and gradients start at `start`.
  std::vector<HostTensor> arguments(mlir::func::FuncOp f, double start) {
    std::vector<HostTensor> result;
    for (mlir::BlockArgument argument : f.getArguments()) {
      auto bind = bindOf(f, argument.getArgNumber());
      std::string kind = text(bind, "class"), name = text(bind, "name");
      if (kind == "scalar")
        result.push_back(HostTensor::scalar(weights[text(bind, "key")]));
      else if (kind == "inverse_count")
        result.push_back(HostTensor::scalar(inverse[name]));
      else if (kind == "gradient" || kind == "term")
        result.push_back(HostTensor(shapeOf(argument).vec(), start));
      else
        result.push_back(inputs[name]);
    }
    return result;
  }

  /// Results of @function by the class and name of their bind.
  Tensors run(llvm::StringRef function, double start = 0) {
    auto f = module->lookupSymbol<mlir::func::FuncOp>(function);
    EXPECT_TRUE(f) << function.str();
    Tensors result;
    if (!f)
      return result;
    auto values = Interpreter(*module).call(function, arguments(f, start));
    EXPECT_TRUE(succeeded(values));
    if (failed(values))
      return result;
    for (unsigned i = 0; i < values->size(); ++i) {
      auto bind = f.getResultAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind");
      result[text(bind, "class") + " " + text(bind, "name")] = (*values)[i];
    }
    return result;
  }

  double weigh(const std::vector<HostTensor> &sums) {
    auto terms = (*module)->getAttrOfType<mlir::ArrayAttr>("ltc.terms");
    double total = 0;
    for (unsigned i = 0; i < sums.size(); ++i) {
      auto entry = mlir::cast<mlir::DictionaryAttr>(terms[i]);
      std::string key = text(entry, "weight_key");
      if (!key.empty())
        total += weights[key] * inverse[text(entry, "name")] * sums[i].data[0];
    }
    return total;
  }

  double loss() {
    auto f = module->lookupSymbol<mlir::func::FuncOp>("loss");
    auto sums = Interpreter(*module).call("loss", arguments(f, 0));
    EXPECT_TRUE(succeeded(sums));
    return succeeded(sums) ? weigh(*sums) : NAN;
  }

  /// Central differences of every parameter.
  Tensors differences() {
    Tensors result;
    auto f = module->lookupSymbol<mlir::func::FuncOp>("loss");
    for (unsigned i = 0; i < f.getNumArguments(); ++i) {
      if (text(bindOf(f, i), "class") != "parameter")
        continue;
      std::string name = text(bindOf(f, i), "name");
      HostTensor grad(inputs[name].shape);
      for (int64_t e = 0; e < grad.size(); ++e) {
        double &x = inputs[name].data[e], kept = x;
        x = kept + step;
        double more = loss();
        x = kept - step;
        double less = loss();
        x = kept;
        grad.data[e] = (more - less) / (2 * step);
      }
      result[name] = grad;
    }
    return result;
  }

  bool differentiate(const std::string &options = "") {
    mlir::PassManager pm(&context);
    auto pass = createDifferentiatePass();
    EXPECT_TRUE(succeeded(pass->initializeOptions(
        options, [](const llvm::Twine &) { return mlir::failure(); })));
    pm.addPass(std::move(pass));
    bool good = succeeded(pm.run(*module));
    EXPECT_TRUE(good);
    return good;
  }

  /// Every gradient against differences, relative to the largest element.
  void compare(const Tensors &expected, const Tensors &results,
               double tolerance = 1e-6, double start = 0) {
    for (auto &[name, want] : expected) {
      double largest = 1e-3;
      for (double x : want.data)
        largest = std::max(largest, std::fabs(x));
      auto found = results.find("gradient " + name);
      for (int64_t e = 0; e < want.size(); ++e) {
        double got =
            found == results.end() ? 0 : found->second.data[e] - start;
        ASSERT_NEAR(got, want.data[e], tolerance * largest)
            << name << "[" << e << "]";
      }
    }
  }

  /// The whole check on the parsed module.
  void check(const std::string &options = "") {
    Tensors expected = differences();
    if (differentiate(options))
      compare(expected, run("accumulate"));
  }
};

struct Argument {
  std::string name, type;
  bool trained = true;
};

/// A module whose loss is the sum of `%out` (computed by `body`) times fixed
/// random numbers.
inline std::string lossOf(const std::vector<Argument> &arguments,
                          const std::string &body, const std::string &type,
                          unsigned rank) {
  std::string s = "module attributes {ltc.terms = [{name = \"t\", "
                  "count_input = \"\", weight_key = \"w\"}]} {\n"
                  "func.func @loss(";
  for (const Argument &a : arguments)
    s += "%" + a.name + ": tensor<" + a.type + "> {ltc.bind = {class = \"" +
         (a.trained ? "parameter" : "input") + "\", name = \"" + a.name +
         "\"}}, ";
  std::string dims = "[";
  for (unsigned i = 0; i < rank; ++i)
    dims += (i ? ", " : "") + std::to_string(i);
  dims += "]";
  return s + "%coef: tensor<" + type +
         "> {ltc.bind = {class = \"input\", name = \"coef\"}}) -> "
         "tensor<f32> {\n" +
         body + "\n%loss = ltc.contract %out " + dims + ", %coef " + dims +
         " -> [] : tensor<" + type + ">, tensor<" + type +
         "> -> tensor<f32>\nreturn %loss : tensor<f32>\n}\n}\n";
}

} // namespace ltc::test
