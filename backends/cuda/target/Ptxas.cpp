// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/target/Ptxas.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdlib>

using namespace llvm;

namespace ltc::cuda {

std::string findPtxas(std::string &problem) {
  const char *toolkit = std::getenv("CUDA_PATH");
  std::string folder = toolkit ? toolkit : "/usr/local/cuda";
  folder += "/bin";
  if (!toolkit)
    if (auto found = sys::findProgramByName("ptxas"))
      return *found;
  if (auto found = sys::findProgramByName("ptxas", {folder}))
    return *found;
  problem = "there is no ptxas in " + (toolkit ? folder : "PATH or " + folder) +
            ": install the CUDA toolkit, or set CUDA_PATH to the folder whose "
            "bin has it";
  return "";
}

/// The number before `word` in a line such as "Used 24 registers, 64 bytes
/// smem"; 0 if it is not there.
static uint64_t numberBefore(StringRef line, StringRef word) {
  size_t end = line.find(word);
  if (end == StringRef::npos)
    return 0;
  StringRef digits = line.take_front(end).rtrim();
  digits = digits.drop_front(digits.find_last_not_of("0123456789") + 1);
  uint64_t number = 0;
  digits.getAsInteger(10, number);
  return number;
}

std::vector<KernelUse> parsePtxas(StringRef said) {
  std::vector<KernelUse> uses;
  SmallVector<StringRef> lines;
  said.split(lines, '\n');
  for (StringRef line : lines) {
    if (line.contains("Compiling entry function '")) {
      StringRef name = line.split("Compiling entry function '").second;
      uses.push_back({name.split('\'').first.str()});
      continue;
    }
    if (uses.empty())
      continue;
    KernelUse &use = uses.back();
    if (line.contains("spill stores"))
      use.spillBytes = numberBefore(line, "bytes spill stores") +
                       numberBefore(line, "bytes spill loads");
    if (line.contains("Used ")) {
      use.registers = int(numberBefore(line, "registers"));
      use.sharedBytes = numberBefore(line, "bytes smem");
    }
  }
  return uses;
}

std::optional<std::vector<char>> runPtxas(const std::string &ptx,
                                          const std::string &chip,
                                          std::vector<KernelUse> &uses,
                                          std::string &problem) {
  auto refuse = [&](const Twine &why) -> std::nullopt_t {
    problem = why.str();
    return std::nullopt;
  };
  std::string ptxas = findPtxas(problem);
  if (ptxas.empty())
    return std::nullopt;
  SmallString<128> input, output, said;
  if (sys::fs::createTemporaryFile("ltc-kernels", "ptx", input) ||
      sys::fs::createTemporaryFile("ltc-kernels", "cubin", output) ||
      sys::fs::createTemporaryFile("ltc-kernels", "log", said))
    return refuse("cannot create a temporary file for ptxas");
  FileRemover removeInput(input), removeOutput(output), removeSaid(said);
  std::error_code error;
  {
    raw_fd_ostream stream(input, error);
    stream << ptx;
  }
  if (error)
    return refuse("cannot write " + input + ": " + error.message());
  std::string arch = "-arch=" + chip;
  StringRef arguments[] = {ptxas, "-v",   arch, "-O3", "--fmad=false",
                           "-o",  output, input};
  std::optional<StringRef> redirects[] = {std::nullopt, StringRef(said),
                                          StringRef(said)};
  int status =
      sys::ExecuteAndWait(ptxas, arguments, std::nullopt, redirects);
  auto log = MemoryBuffer::getFile(said);
  StringRef text = log ? (*log)->getBuffer() : "";
  if (status != 0)
    return refuse(ptxas + " refuses the kernels for " + chip + ": " +
                  text.rtrim());
  uses = parsePtxas(text);
  auto bytes = MemoryBuffer::getFile(output, false, false);
  if (!bytes)
    return refuse("cannot read what ptxas wrote: " + output);
  return std::vector<char>((*bytes)->getBufferStart(),
                           (*bytes)->getBufferEnd());
}

} // namespace ltc::cuda
