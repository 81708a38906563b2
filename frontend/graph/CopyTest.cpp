// SPDX-License-Identifier: Apache-2.0
// Rule 5: the library is text like any other. A user's renamed copy of all of
// it gives the same functions, op by op.
#include "frontend/graph/TestRequest.h"
#include "frontend/texts/Texts.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <gtest/gtest.h>
#include <regex>

using namespace ltc;
using namespace ltc::graph;
using namespace ltc::graph::test;

namespace {

const char *const kNames[] = {"rms_norm", "layer_norm",    "softmax",
                              "silu",     "log_sum_exp",   "log_softmax",
                              "sigmoid",  "rotary",        "causal",
                              "llama",    "cross_entropy", "adamw",
                              "cosine"};

std::string renamed(std::string text) {
  for (const char *name : kNames)
    text = std::regex_replace(text, std::regex("\\b" + std::string(name) + "\\b"),
                              "my_" + std::string(name));
  // Names of values are the user's too.
  text = std::regex_replace(text, std::regex("\\bh = "), "hidden = ");
  text = std::regex_replace(text, std::regex("\\bh @"), "hidden @");
  return "# A copy.\n\n" + text;
}

/// Every function without locations and names of arguments.
std::string body(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream out(text);
  for (auto f : module.getOps<mlir::func::FuncOp>()) {
    for (unsigned i = 0; i < f.getNumArguments(); ++i)
      f.removeArgAttr(i, "ltc.bind");
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      f.removeResultAttr(i, mlir::StringAttr::get(f.getContext(), "ltc.bind"));
    f.print(out);
  }
  return text;
}

TEST(Copy, ofTheWholeLibraryUnderOtherNamesIsTheSameProgram) {
  Request library = request("llama", tinyLlama());
  Request copy = request("my_llama", tinyLlama());
  for (const LibraryText &text : libraryTexts())
    copy.texts.push_back(
        {"mine/" + std::string(text.path), renamed(std::string(text.text))});
  copy.losses = {loss("my_cross_entropy", 1)};
  copy.optimizer.name = "my_adamw";
  copy.schedule.name = "my_cosine";
  Built theirs(library), mine(copy);
  ASSERT_TRUE(theirs.module) << theirs.said;
  ASSERT_TRUE(mine.module) << mine.said;
  EXPECT_EQ(body(*theirs.module), body(*mine.module));
}

} // namespace
