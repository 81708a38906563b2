// SPDX-License-Identifier: Apache-2.0
// A case of a golden file beside a program: its terms, the logits of the last
// token of the first document, and every gradient.
#pragma once
#include "frontend/graph/TestProgram.h"

namespace ltc::graph::test {

/// The case's losses with their weights, beside those of `ask`'s model.
inline void askForLosses(Request &ask, const nlohmann::json &want) {
  ask.losses.clear();
  for (auto &[name, weight] : want["weights"].items()) {
    ask.losses.push_back(loss(name, weight));
    auto settings = want.find("settings of losses");
    if (settings != want.end() && settings->contains(name))
      for (auto &[setting, value] : (*settings)[name].items())
        ask.losses.back().settings.push_back(
            {setting, value.dump(), specLine(1)});
  }
}

/// Weights, scalars, the batch, and inputs that are formulas.
inline void fillGolden(TestProgram &program, const nlohmann::json &want) {
  program.fill();
  addBatch(program);
  auto host = want.value("host", nlohmann::json::object());
  for (auto &[name, number] : host.items()) // a random number's key
    program.values[name] = HostTensor::scalar(number);
  auto inputs = want.value("inputs", nlohmann::json::object());
  for (auto &[name, input] : inputs.items()) {
    HostTensor value(input["shape"].get<std::vector<int64_t>>());
    for (int64_t i = 0; i < value.size(); ++i)
      value.data[i] = formula(input["order"], i, false);
    program.values[name] = value;
  }
}

inline void expectLogits(TestProgram &program, const nlohmann::json &want,
                         double close) {
  program.values["class position"] = HostTensor::scalar(5);
  auto logits = program.call("predict")["logits"];
  for (size_t i = 0; i < want["logits"].size(); ++i)
    EXPECT_NEAR(logits.data.at(i), want["logits"][i].get<double>(), close);
}

inline void expectTerms(std::map<std::string, HostTensor> made,
                        const nlohmann::json &want, double close) {
  for (auto &[term, value] : want["terms"].items()) {
    ASSERT_TRUE(made.count(term)) << term;
    double sum = value[0];
    EXPECT_NEAR(made[term].data.at(0), sum, close * std::abs(sum)) << term;
  }
}

/// Terms and gradients of a program at stage "grad" or later.
inline std::map<std::string, HostTensor>
accumulateGolden(TestProgram &program, const nlohmann::json &want) {
  for (auto &[term, value] : want["terms"].items()) {
    program.values["1/" + term] =
        HostTensor::scalar(1 / value[1].get<double>());
    program.values[term] = HostTensor::scalar(0);
  }
  for (auto &[parameter, unused] : want["gradients"].items()) {
    EXPECT_TRUE(program.values.count(parameter)) << parameter;
    program.values["d " + parameter] =
        HostTensor(program.values[parameter].shape, 0);
  }
  return program.call("accumulate");
}

/// A gradient's numbers are its norm and a sum weighed by the formula.
inline void expectGradients(TestProgram &program, const nlohmann::json &want,
                            double close) {
  auto made = accumulateGolden(program, want);
  expectTerms(made, want, 1e-5);
  for (auto &[parameter, numbers] : want["gradients"].items()) {
    const HostTensor &gradient = made["d " + parameter];
    ASSERT_GT(gradient.size(), 0) << parameter;
    double squares = 0, weighed = 0;
    for (int64_t i = 0; i < gradient.size(); ++i) {
      squares += gradient.data[i] * gradient.data[i];
      weighed += gradient.data[i] * formula(0, i, false);
    }
    // A key's bias shifts every score of a query alike: its gradient is zero.
    double norm = numbers[0], scale = std::max(norm, 1e-3);
    EXPECT_NEAR(std::sqrt(squares), norm, close * scale) << parameter;
    EXPECT_NEAR(weighed, numbers[1].get<double>(), close * scale) << parameter;
  }
}

} // namespace ltc::graph::test
