// SPDX-License-Identifier: Apache-2.0
// Runs the scalar expression of a region (arith, math, ltc.index) in float64.
#pragma once
#include "mlir/IR/Block.h"
#include "mlir/IR/BuiltinTypes.h"
#include <cstdint>
#include <vector>

namespace ltc {

/// One register: a float of any width, or an integer, sign-extended (i1: 0, 1).
union Cell {
  double f;
  int64_t i;
};

/// `x` as an element of that type: 16-bit floats round, all else stays.
double roundedTo(mlir::Type element, double x);

class ScalarProgram {
public:
  /// Asserts that every op of `body` is in the closed list of ir/README.md;
  /// the verifiers of the ops that hold regions check it.
  explicit ScalarProgram(mlir::Block &body);
  /// `arguments` and `results` as HostTensor holds them; `point` is what
  /// ltc.index reads.
  void run(const double *arguments, const int64_t *point, double *results);
  /// Whether the reference knows the op.
  static bool knows(mlir::Operation &op);

  struct Instruction {
    Cell (*compute)(const Cell &, const Cell &, const Cell &,
                    const Instruction &);
    unsigned from[3] = {0, 0, 0}, to = 0;
    unsigned width = 0, fromWidth = 0; ///< bits of result and first operand
    bool integer = false;              ///< wrap the result to `width`
    int64_t attribute = 0;             ///< predicate or ltc.index's dimension
  };

private:
  void add(mlir::Operation &op, llvm::DenseMap<mlir::Value, unsigned> &cells);
  std::vector<Instruction> program;
  std::vector<Cell> cells;
  std::vector<bool> argumentIsInteger, resultIsInteger;
  std::vector<std::pair<unsigned, unsigned>> indices; ///< register, dimension
  std::vector<unsigned> yielded;
};

} // namespace ltc
