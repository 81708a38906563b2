// SPDX-License-Identifier: Apache-2.0
// Twenty steps of each optimizer beside PyTorch (golden/make_optimizers.py);
// which parameters a clause takes, and how many functions they become.
#include "frontend/graph/TestProgram.h"
#include "ir/ops/Ops.h"

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

// Files see tall as (12, 8) and stack as (3, 8, 4).
const char *kToy = R"(
model toy(vocab, d, f, n, heads, k)
input tokens[b, t]: token
param embed[vocab, d]    role embedding
param wide[d, f]
param tall[(heads k), d]
param stack[n, d, k]
param g[f]               role norm
return embed[tokens over vocab] @ embed
)";

Request toy(TextUse optimizer, TextUse schedule) {
  Request ask = request("toy", {{"vocab", "10"}, {"d", "8"}, {"f", "12"},
                                {"n", "3"}, {"heads", "3"}, {"k", "4"}});
  ask.texts = {{"toy.ltc", kToy}};
  ask.optimizer = optimizer;
  ask.schedule = schedule;
  ask.clip->value = 0.5;
  return ask;
}

struct Member {
  std::string name, group; ///< group: "" where it is updated alone
  std::vector<int64_t> shape;
  int64_t order, offset, elements;
};

/// The toy's parameters, laid out as its groups say.
struct Stand {
  TestProgram program;
  std::vector<Member> members;
  std::map<std::string, int64_t> groupSizes;
  double gradientScale = 1;

  explicit Stand(const Request &ask) : program(ask) {
    if (!program.built.module)
      return;
    std::map<std::string, mlir::DictionaryAttr> byName;
    std::map<std::string, int64_t> order;
    for (auto parameter : program.list("ltc.parameters")) {
      order[program.text(parameter, "name")] = int64_t(order.size());
      byName[program.text(parameter, "name")] = parameter;
    }
    auto groups =
        (*program.built.module)->getAttrOfType<mlir::ArrayAttr>("ltc.groups");
    for (unsigned g = 0; g < groups.size(); ++g) {
      int64_t at = 0;
      bool flat = reads("apply", "parameter" + std::to_string(g));
      for (mlir::Attribute entry : mlir::cast<mlir::ArrayAttr>(groups[g])) {
        std::string name = mlir::cast<mlir::StringAttr>(entry).str();
        auto shape = byName[name].getAs<mlir::DenseI64ArrayAttr>("shape");
        Member member{name, flat ? std::to_string(g) : "",
                      shape.asArrayRef().vec(), order[name], at, 1};
        for (int64_t size : member.shape)
          member.elements *= size;
        at += (member.elements + 15) / 16 * 16;
        members.push_back(member);
      }
      groupSizes[std::to_string(g)] = at;
    }
    for (auto scalar : program.list("ltc.scalars"))
      program.values[program.text(scalar, "key")] = HostTensor::scalar(
          scalar.getAs<mlir::FloatAttr>("value").getValueAsDouble());
    for (auto name : {"step", "tokens_seen"})
      program.values[name] = HostTensor::scalar(0);
    program.values["step_tokens"] = HostTensor::scalar(12);
    zeroTheRest();
    for (const Member &member : members)
      put(member, "parameter", member.name, [&](int64_t i) {
        return formula(member.order, i, false);
      });
  }

  /// States, and whatever padding there is, start from zero.
  void zeroTheRest() {
    auto f = program.built.module->lookupSymbol<mlir::func::FuncOp>("apply");
    for (unsigned i = 0; i < f.getNumArguments(); ++i) {
      auto type = mlir::cast<mlir::RankedTensorType>(f.getArgumentTypes()[i]);
      program.values.try_emplace(
          TestProgram::nameOf(
              f.getArgAttrOfType<mlir::DictionaryAttr>(i, "ltc.bind")),
          HostTensor(type.getShape().vec()));
    }
  }

  bool reads(const char *symbol, const std::string &name) {
    auto f = program.built.module->lookupSymbol<mlir::func::FuncOp>(symbol);
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      if (TestProgram::nameOf(f.getArgAttrOfType<mlir::DictionaryAttr>(
              i, "ltc.bind")) == name)
        return true;
    return false;
  }

  /// Writes one member of a group's flat tensor, or the tensor of its own.
  template <typename F>
  void put(const Member &member, const std::string &kind,
           const std::string &alone, F value) {
    bool flat = !member.group.empty();
    HostTensor &tensor = program.values[flat ? kind + member.group : alone];
    for (int64_t i = 0; i < member.elements; ++i)
      tensor.data.at((flat ? member.offset : 0) + i) = value(i);
  }

  std::vector<double> get(std::map<std::string, HostTensor> &from,
                          const Member &member, const std::string &kind,
                          const std::string &alone) {
    bool flat = !member.group.empty();
    const HostTensor &tensor = from[flat ? kind + member.group : alone];
    auto begin = tensor.data.begin() + (flat ? member.offset : 0);
    return {begin, begin + member.elements};
  }

  std::map<std::string, HostTensor> step(int step) {
    for (const Member &member : members) {
      auto value = [&](int64_t i) {
        return gradientScale * 0.1 *
               std::cos(0.9 * double(i) + 0.013 * double(i * i) +
                        double(member.order) + step);
      };
      // The norm reads a group's flat gradient, a clause its own.
      for (unsigned g = 0; g < groupSizes.size(); ++g) {
        Member inGroup = member;
        inGroup.group = std::to_string(g);
        if (contains(g, member.name))
          put(inGroup, "gradient", "", value);
      }
      if (member.group.empty())
        put(member, "", "d " + member.name, value);
    }
    auto after = program.call("apply");
    for (auto &[name, value] : after)
      program.values[name] = value;
    return after;
  }

  bool contains(unsigned group, const std::string &name) {
    auto groups =
        (*program.built.module)->getAttrOfType<mlir::ArrayAttr>("ltc.groups");
    for (mlir::Attribute entry : mlir::cast<mlir::ArrayAttr>(groups[group]))
      if (mlir::cast<mlir::StringAttr>(entry).str() == name)
        return true;
    return false;
  }
};

void expectNumbers(const std::vector<double> &found, const nlohmann::json &want,
                   const std::string &name) {
  double squares = 0, weighed = 0, norm = want[0];
  for (size_t i = 0; i < found.size(); ++i) {
    squares += found[i] * found[i];
    weighed += found[i] * formula(0, int64_t(i), false);
  }
  const double close = 1e-6;
  EXPECT_NEAR(std::sqrt(squares), norm, close * norm) << name;
  EXPECT_NEAR(weighed, want[1].get<double>(), close * norm) << name;
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(found[i], want[2 + i].get<double>(), close) << name << i;
}

void expectTwentySteps(const std::string &golden_, const Request &ask,
                       double gradientScale = 1) {
  Stand stand(ask);
  stand.gradientScale = gradientScale;
  ASSERT_TRUE(stand.program.built.module);
  for (int step = 1; step <= 20; ++step) {
    auto after = stand.step(step);
    ASSERT_EQ(after["ok"].data.at(0), 1);
    ASSERT_EQ(after["step"].data.at(0), step);
  }
  nlohmann::json want = golden("golden/optimizers.json", golden_);
  auto &values = stand.program.values;
  for (const Member &member : stand.members)
    expectNumbers(stand.get(values, member, "parameter", member.name),
                  want["weights"][member.name], member.name);
  if (!want.contains("evaluated"))
    return;
  auto shown = stand.program.call("enter_evaluation");
  for (const Member &member : stand.members)
    expectNumbers(stand.get(shown, member, "evaluation", "x " + member.name),
                  want["evaluated"][member.name], member.name);
}

TextUse cosine() {
  return use("cosine", {{"peak", "0.02"}, {"warmup", "5"}, {"total", "30"}},
             "train.schedule");
}

TEST(Optimizer, lion) {
  expectTwentySteps("lion", toy(use("lion", {}, "train.o"), cosine()));
}
TEST(Optimizer, adafactorIsPyTorchs) {
  expectTwentySteps("adafactor", toy(use("adafactor", {{"weight_decay", "0.1"}},
                                         "train.o"),
                                     cosine()));
}
TEST(Optimizer, muonIsPyTorchs) {
  expectTwentySteps("muon", toy(use("muon", {}, "train.o"), cosine()));
}
TEST(Optimizer, muonAsItWasFirst) {
  expectTwentySteps("muon_original",
                    toy(use("muon",
                            {{"match_rms", "false"}, {"nesterov", "false"}},
                            "train.o"),
                        cosine()));
}
TEST(Optimizer, scheduleFreeAndItsMean) {
  expectTwentySteps(
      "schedule_free_adamw",
      toy(use("schedule_free_adamw", {{"weight_decay", "0.1"}}, "train.o"),
          use("constant", {{"peak", "0.02"}, {"warmup", "5"}},
              "train.schedule")));
}
/// Those that are no library's: tests/language/NAME.ltc.
struct OptimizerText : testing::TestWithParam<const char *> {};

Request requestOf(const std::string &name) {
  std::ifstream in("../../tests/language/" + name + ".ltc");
  std::stringstream text;
  text << in.rdbuf();
  Request ask = toy(use(name, {}, "train.o"), cosine());
  ask.texts.push_back({name + ".ltc", text.str()});
  return ask;
}

TEST_P(OptimizerText, takesTwentySteps) {
  expectTwentySteps(GetParam(), requestOf(GetParam()));
}
/// So small that epsilon takes part.
TEST(OptimizerTexts, cautious_adamwTakesSmallGradients) {
  expectTwentySteps("cautious_adamw_small", requestOf("cautious_adamw"), 1e-7);
}
INSTANTIATE_TEST_SUITE_P(Texts, OptimizerText,
                         testing::Values("normalised", "cautious_adamw"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });

void expectRates(const std::string &name, TextUse schedule) {
  Stand stand(toy(use("sgd", {}, "train.o"), schedule));
  ASSERT_TRUE(stand.program.built.module);
  nlohmann::json want = golden("golden/optimizers.json", "schedules")[name];
  for (int step = 1; step <= 40; ++step)
    EXPECT_NEAR(stand.step(step)["lr"].data.at(0), want[step - 1].get<double>(),
                1e-9)
        << name << " at step " << step;
}

TEST(Schedule, fallsAsTransformersSays) {
  auto ask = [](const char *name, Settings more) {
    more.insert(more.begin(), {{"peak", "0.02"}, {"warmup", "5"}});
    return use(name, more, "train.schedule");
  };
  expectRates("inverse_sqrt", ask("inverse_sqrt", {}));
  expectRates("wsd", ask("wsd", {{"total", "30"}, {"decay", "0.4"}}));
  expectRates("wsd_sqrt", ask("wsd", {{"total", "30"}, {"decay", "0.4"},
                                      {"linear", "false"}, {"floor", "0.1"}}));
}

TEST(Optimizer, aRefusedStepKeepsEveryState) {
  for (const char *name : {"adafactor", "muon", "schedule_free_adamw"}) {
    Stand stand(toy(use(name, {}, "train.o"), cosine()));
    ASSERT_TRUE(stand.program.built.module);
    stand.step(1);
    auto before = stand.program.values;
    stand.program.values["train.guard"] = HostTensor::scalar(0);
    auto after = stand.step(2);
    EXPECT_EQ(after["ok"].data.at(0), 0);
    int compared = 0;
    for (auto &[key, value] : after)
      if (key != "ok" && key != "grad_norm" && key != "lr" && ++compared)
        EXPECT_EQ(value.data, before[key].data) << name << " " << key;
    EXPECT_GT(compared, 6);
  }
}

unsigned count(Built &built, llvm::StringRef prefix) {
  unsigned found = 0;
  for (auto f : built.module->getOps<mlir::func::FuncOp>())
    found += f.getSymName().contains(prefix);
  return found;
}

TEST(Optimizer, aPointwiseClauseIsOneTensorAndNoCall) {
  for (const char *name : {"adamw", "sgd", "lion", "schedule_free_adamw"}) {
    Built built(toy(use(name, {}, "train.o"), cosine()));
    ASSERT_TRUE(built.module) << built.said;
    auto groups = (*built.module)->getAttrOfType<mlir::ArrayAttr>("ltc.groups");
    EXPECT_EQ(groups.size(), 2u) << name; // what decays, what does not
    EXPECT_EQ(count(built, ".update"), 0u) << name;
  }
}

TEST(Optimizer, opsAndFunctionsDoNotGrowWithDepth) {
  for (const char *name : {"adafactor", "muon", "schedule_free_adamw"}) {
    auto sizes = [&](const char *layers) {
      Settings settings = tinyLlama();
      settings[1].second = layers;
      Request ask = request("llama", settings);
      ask.optimizer = use(name, {}, "train.o");
      Built built(ask);
      EXPECT_TRUE(built.module) << built.said;
      unsigned ops = 0;
      built.module->walk([&](mlir::Operation *op) {
        ops += !mlir::isa<mlir::func::CallOp>(op);
      });
      return std::pair(ops, count(built, ".update"));
    };
    EXPECT_EQ(sizes("2"), sizes("7")) << name;
  }
}

TEST(Optimizer, newtonSchulzIsMatrixProducts) {
  Built built(toy(use("muon", {}, "train.o"), cosine()));
  ASSERT_TRUE(built.module) << built.said;
  unsigned functions = 0;
  for (auto f : built.module->getOps<mlir::func::FuncOp>()) {
    if (!f.getSymName().ends_with(".update"))
      continue;
    ++functions;
    unsigned products = 0;
    f.walk([&](ContractOp) { ++products; });
    EXPECT_EQ(products, 15u); // three for each of five steps
  }
  EXPECT_EQ(functions, 3u); // wide, tall, stack
}

/// The states of a clause that takes `pattern`, as files have them.
std::string statesOf(const std::string &clause) {
  Request ask = toy(use("mine", {}, "train.o"), cosine());
  ask.texts.push_back({"mine.ltc", "optimizer mine() " + clause +
                                       " on weight[..] { weight = weight }"});
  Built built(ask);
  EXPECT_TRUE(built.module) << built.said;
  std::string text;
  if (!built.module)
    return text;
  for (mlir::Attribute entry :
       (*built.module)->getAttrOfType<mlir::ArrayAttr>("ltc.states")) {
    auto row = mlir::cast<mlir::DictionaryAttr>(entry);
    text += row.getAs<mlir::StringAttr>("parameter").str() + "[";
    for (int64_t size :
         row.getAs<mlir::DenseI64ArrayAttr>("shape").asArrayRef())
      text += std::to_string(size) + ",";
    text += "] ";
  }
  return text;
}

TEST(Optimizer, aPatternSeesTheFilesDimensions) {
  EXPECT_EQ(statesOf("on weight[rows, cols] { state r[rows]; r = r + mean[cols] "
                     "grad }"),
            "embed[10,] wide[8,] tall[12,] ");
  EXPECT_EQ(statesOf("on weight[batch.., rows, cols] if role == none { state "
                     "r[batch.., cols]; r = r + mean[rows] grad }"),
            "wide[12,] tall[8,] stack[3,4,] ");
  EXPECT_EQ(statesOf("on weight[first, rest..] if size[first] == 3 { state "
                     "n[], r[rest..]; n = n + sum[..] grad^2; r = r + "
                     "sum[first] grad }"),
            "stack[] stack[8,4,] ");
}

TEST(Optimizer, theLanguagePagesOptimizerBuilds) {
  std::ifstream in("LANGUAGE.md");
  std::stringstream page;
  page << in.rdbuf();
  std::string text = page.str();
  size_t begin = text.find("optimizer thin(");
  ASSERT_NE(begin, std::string::npos);
  Request ask = toy(use("thin", {}, "train.o"), cosine());
  ask.texts.push_back(
      {"LANGUAGE.md", text.substr(begin, text.find("```", begin) - begin)});
  Stand stand(ask);
  ASSERT_TRUE(stand.program.built.module) << stand.program.built.said;
  for (int step = 1; step <= 2; ++step)
    EXPECT_EQ(stand.step(step)["ok"].data.at(0), 1);
  EXPECT_EQ(stand.program.values["n of wide"].data.at(0), 2);
}

} // namespace
