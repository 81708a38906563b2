// SPDX-License-Identifier: Apache-2.0
// Operands that maps make on the way into a contraction: the bits of the same
// maps run as kernels of their own, whatever the layout.
#include "backends/cpu/target/KernelRunner.h"

using namespace ltc;
using namespace ltc::cpu;

namespace {

using Labels = std::vector<int64_t>;

std::string dims(size_t rank, size_t from = 0) {
  std::string text;
  for (size_t i = from; i < rank; ++i)
    text += (i > from ? ", d" : "d") + std::to_string(i);
  return text;
}
std::string reads(size_t rank, size_t from, size_t to) {
  return "affine_map<(" + dims(rank) + ") -> (" + dims(to, from) + ")>";
}

/// How an operand is made: the types of what it is made of, and the text of
/// %NAME from %NAME0, %NAME1, ..
struct Made {
  std::vector<std::string> types;
  std::string text;
};

/// `kind`: "" (given), or see below; of rank >= 2.
Made make(const std::string &kind, const std::string &name,
          const std::vector<int64_t> &shape, const std::string &element) {
  size_t rank = shape.size();
  std::string out = tensor(shape, element), whole = tensor(shape), one = "";
  std::string all = reads(rank, 0, rank), in = "%" + name;
  if (kind.empty())
    return {{out}, ""};
  bool narrow = element == "bf16";
  std::string other = tensor(shape, narrow ? "f32" : "bf16");
  if (kind == "cast")
    return {{other},
            "  " + in + " = ltc.map(" + in + "0) maps [" + all +
                "] {\n  ^bb0(%x: " + (narrow ? "f32" : "bf16") +
                "):\n    %y = " +
                (narrow ? "arith.truncf %x : f32 to bf16"
                        : "arith.extf %x : bf16 to f32") +
                "\n    ltc.yield %y : " + element + "\n  } : (" + other +
                ") -> " + out + "\n"};
  std::string end = narrow ? "    %q = arith.truncf %z : f32 to bf16\n"
                             "    ltc.yield %q : bf16\n"
                           : "    ltc.yield %z : f32\n";
  if (kind == "sum") // of two, times a scalar
    return {{whole, whole, "tensor<f32>"},
            "  " + in + " = ltc.map(" + in + "0, " + in + "1, " + in +
                "2) maps [" + all + ", " + all + ", " + reads(rank, 0, 0) +
                "] {\n  ^bb0(%x: f32, %y: f32, %s: f32):\n"
                "    %t = arith.addf %x, %y : f32\n"
                "    %z = arith.mulf %t, %s : f32\n" +
                end + "  } : (" + whole + ", " + whole + ", tensor<f32>) -> " +
                out + "\n"};
  if (kind == "masked") // below the diagonal of the first and last dimension
    return {{whole},
            "  " + in + " = ltc.map(" + in + "0) maps [" + all +
                "] {\n  ^bb0(%x: f32):\n    %i = ltc.index 0 : i32\n"
                "    %j = ltc.index " + std::to_string(rank - 1) +
                " : i32\n    %c = arith.cmpi sge, %i, %j : i32\n"
                "    %o = arith.constant 0.5 : f32\n"
                "    %z = arith.select %c, %x, %o : f32\n" +
                end + "  } : (" + whole + ") -> " + out + "\n"};
  // scaled: by one per column and one per row, in two maps
  std::string column = tensor({shape.back()}),
              row = tensor({shape.begin(), shape.end() - 1});
  return {{whole, column, row},
          "  " + in + "s = ltc.map(" + in + "0, " + in + "1) maps [" + all +
              ", " + reads(rank, rank - 1, rank) +
              "] {\n  ^bb0(%x: f32, %g: f32):\n"
              "    %z = arith.mulf %x, %g : f32\n    ltc.yield %z : f32\n"
              "  } : (" + whole + ", " + column + ") -> " + whole + "\n  " +
              in + " = ltc.map(" + in + "s, " + in + "2) maps [" + all + ", " +
              reads(rank, 0, rank - 1) +
              "] {\n  ^bb0(%x: f32, %g: f32):\n"
              "    %z = arith.addf %x, %g : f32\n" + end + "  } : (" + whole +
              ", " + row + ") -> " + out + "\n"};
}

std::string kernel(const std::vector<std::string> &types,
                   const std::vector<std::string> &names,
                   const std::string &body, const std::string &result,
                   const std::string &type) {
  std::string list, arguments;
  for (size_t i = 0; i < types.size(); ++i) {
    list += (i ? ", " : "") + types[i];
    arguments += (i ? ", %" : "%") + names[i] + ": " + types[i];
  }
  return "ltc.kernel @k (" + list + ") -> " + type + " inplace [-1] {\n^bb0(" +
         arguments + "):\n" + body + "  ltc.yield %" + result + " : " + type +
         "\n}";
}

struct Case {
  std::vector<int64_t> sizes; ///< by label
  Labels left, right, out;
  std::string leftKind, rightKind, element = "f32";
  bool epilogue = false; ///< doubled, plus one value per column

  std::vector<int64_t> shape(const Labels &labels) const {
    std::vector<int64_t> result;
    for (int64_t label : labels)
      result.push_back(sizes[label]);
    return result;
  }
};

/// %y = 2 %c + %v, %v by the last dimension.
std::string epilogue(size_t rank, const std::string &O,
                     const std::string &bias) {
  return "  %y = ltc.map(%c, %v) maps [" + reads(rank, 0, rank) + ", " +
         reads(rank, rank - 1, rank) +
         "] {\n  ^bb0(%x: f32, %w: f32):\n    %t = arith.addf %x, %x : f32\n"
         "    %z = arith.addf %t, %w : f32\n    ltc.yield %z : f32\n  } : (" +
         O + ", " + bias + ") -> " + O + "\n";
}

class ContractOperand : public ::testing::Test {
protected:
  /// The fused kernel beside the reference, and beside kernels of their own.
  void check(const Case &c, int seed) {
    std::string L = tensor(c.shape(c.left), c.element),
                R = tensor(c.shape(c.right), c.element),
                O = tensor(c.shape(c.out));
    Made left = make(c.leftKind, "a", c.shape(c.left), c.element),
         right = make(c.rightKind, "b", c.shape(c.right), c.element);
    std::string sum = "  %c = ltc.contract %" +
                      std::string(left.text.empty() ? "a0 " : "a ") +
                      list(c.left) + ", %" +
                      std::string(right.text.empty() ? "b0 " : "b ") +
                      list(c.right) + " -> " + list(c.out) + " : " + L + ", " +
                      R + " -> " + O + "\n";
    std::string bias = tensor({c.sizes[c.out.back()]});
    std::string after = c.epilogue ? epilogue(c.out.size(), O, bias) : "",
                result = c.epilogue ? "y" : "c";
    std::vector<std::string> types, names;
    for (auto [side, made] : {std::pair("a", left), std::pair("b", right)})
      for (size_t i = 0; i < made.types.size(); ++i) {
        types.push_back(made.types[i]);
        names.push_back(side + std::to_string(i));
      }
    if (c.epilogue) {
      types.push_back(bias);
      names.push_back("v");
    }
    std::string fused =
        kernel(types, names, left.text + right.text + sum + after, result, O);
    auto inputs = runner.randomInputs(fused, seed);
    ASSERT_FALSE(inputs.empty()) << fused;
    // A value near the middle of two bf16 may round the other way.
    bool rounds = c.element == "bf16";
    runner.checkOn(fused, inputs, rounds ? 4e-3 : 4e-6);

    std::vector<HostTensor> apart = unfused(c, left, right, inputs);
    types = {L, R};
    names = {left.text.empty() ? "a0" : "a", right.text.empty() ? "b0" : "b"};
    if (c.epilogue) {
      types.push_back(bias);
      names.push_back("v");
    }
    auto whole = runner.runNative(fused, inputs),
         want = runner.runNative(kernel(types, names, sum + after, result, O),
                                 apart);
    ASSERT_EQ(whole.size(), 1u);
    ASSERT_EQ(want.size(), 1u);
    for (size_t i = 0; i < want[0].data.size(); ++i)
      ASSERT_EQ(whole[0].data[i], want[0].data[i])
          << "element " << i << " of\n" << fused;
  }

  /// The contraction's own inputs, from kernels that make them alone.
  std::vector<HostTensor> unfused(const Case &c, const Made &left,
                                  const Made &right,
                                  const std::vector<HostTensor> &inputs) {
    std::string L = tensor(c.shape(c.left), c.element),
                R = tensor(c.shape(c.right), c.element);
    auto first = inputs.begin() + left.types.size(),
         second = first + right.types.size();
    std::vector<HostTensor> apart = {
        made(left, "a", L, {inputs.begin(), first}),
        made(right, "b", R, {first, second})};
    apart.insert(apart.end(), second, inputs.end());
    return apart;
  }

  HostTensor made(const Made &how, const std::string &name,
                  const std::string &type, std::vector<HostTensor> inputs) {
    if (how.text.empty())
      return inputs[0];
    std::vector<std::string> names;
    for (size_t i = 0; i < how.types.size(); ++i)
      names.push_back(name + std::to_string(i));
    auto results = runner.runNative(
        kernel(how.types, names, how.text, name, type), inputs);
    return results.empty() ? HostTensor() : results[0];
  }

  int64_t pick(int64_t most) { return int64_t(1 + random() % most); }

  KernelRunner runner;
  std::mt19937 random{7};
};

const char *const kKinds[] = {"cast", "sum", "masked", "scaled", ""};

TEST_F(ContractOperand, ofEveryOrderAndKind) {
  for (int i = 0; i < 48; ++i) {
    std::vector<int64_t> s = {pick(70), pick(130), pick(90)};
    const Labels lefts[] = {{0, 2}, {0, 2}, {2, 0}, {2, 1}},
                 rights[] = {{2, 1}, {1, 2}, {2, 1}, {0, 2}};
    // each order of operands with each pair of kinds but (given, given)
    int order = i % 4, pair = i * 7 % 24;
    check({s, lefts[order], rights[order], {0, 1}, kKinds[pair / 5],
           kKinds[pair % 5], i % 3 ? "bf16" : "f32", i % 2 == 1},
          i);
  }
}

TEST_F(ContractOperand, withGroupsAndBatches) {
  const int64_t heads[] = {4, 16, 20, 64, 33};
  for (int i = 0; i < 10; ++i) {
    std::vector<int64_t> s = {pick(3), pick(20), pick(4), heads[i % 5],
                              pick(40)};
    const std::string made = kKinds[i % 4], element = i % 2 ? "f32" : "bf16";
    check({s, {0, 1, 4}, {2, 3, 4}, {0, 1, 2, 3}, made, "cast", element}, i);
    check({s, {0, 1, 4}, {2, 3, 4}, {0, 1, 2, 3}, "", made, element, true}, i);
    check({s, {0, 1, 2, 3}, {0, 1, 4}, {2, 3, 4}, made, made, element}, i);
    check({s, {0, 1, 2, 3}, {4, 2, 3}, {0, 1, 4}, made, made, element}, i);
    check({s, {0, 1, 3}, {0, 3, 4}, {0, 1, 4}, made, made, element}, i);
  }
}

/// Several tiles of rows and columns, blocks of k, an odd k.
TEST_F(ContractOperand, inSeveralTiles) {
  for (const char *kind : {"cast", "scaled"}) {
    check({{600, 700, 65}, {0, 2}, {1, 2}, {0, 1}, kind, kind, "bf16"}, 1);
    check({{520, 400, 96}, {0, 2}, {2, 1}, {0, 1}, kind, kind, "f32"}, 2);
    check({{9, 70, 6001}, {0, 2}, {2, 1}, {0, 1}, kind, kind, "bf16", true}, 3);
    check({{70, 50, 3202}, {2, 0}, {2, 1}, {0, 1}, kind, kind, "bf16"}, 4);
    check({{30, 50, 1601}, {0, 2}, {1, 2}, {0, 1}, kind, kind, "f32"}, 5);
  }
}

TEST_F(ContractOperand, ofOneRow) {
  for (int i = 0; i < 20; ++i) {
    int pair = i * 7 % 24;
    check({{1, pick(300), pick(200)}, {0, 2},
           i % 2 ? Labels{1, 2} : Labels{2, 1}, {0, 1}, kKinds[pair / 5],
           kKinds[pair % 5], i % 4 < 2 ? "f32" : "bf16"},
          i);
  }
}

} // namespace
