// SPDX-License-Identifier: Apache-2.0
// The fusion report: which kernels were formed of which ops, and what did not
// join what makes its input, by line of the text.
#pragma once
#include "passes/fusion/Groups.h"
#include "llvm/ADT/StringMap.h"

namespace ltc {

class FusionReport {
public:
  /// A launch of `kernel` in `function` stands for the group's ops.
  void add(llvm::StringRef kernel, llvm::StringRef function,
           const Group &group);
  void add(const Refusal &refusal, llvm::StringRef function);
  /// To `path`: as JSON if it ends in .json, else as text; "-" is stderr.
  mlir::LogicalResult write(llvm::StringRef path, mlir::Location loc) const;

private:
  struct Kernel {
    std::string name, form;
    /// Name of an op and its line, as in the first launch.
    std::vector<std::pair<std::string, std::string>> ops;
    std::vector<std::string> functions;
  };
  struct Apart {
    std::string reader, producer, function, why;
    bool operator==(const Apart &) const = default;
  };
  void writeText(llvm::raw_ostream &out) const;
  void writeJson(llvm::raw_ostream &out) const;

  std::vector<Kernel> kernels; ///< as they were formed
  llvm::StringMap<size_t> indices;
  std::vector<Apart> aparts;
};

} // namespace ltc
