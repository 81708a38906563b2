// SPDX-License-Identifier: Apache-2.0
#include "tools/ltc/Commands.h"
#include "runtime/base/Compiler.h"
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ltc::tool {

void leave(const Error &error) {
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  std::exit(1);
}

std::filesystem::path compilerLibrary() {
  std::error_code ignored;
  auto here =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char *folder : {"../lib", "."}) {
    auto path = here / folder / "libLtcCompiler.so";
    if (std::filesystem::exists(path, ignored))
      return path.lexically_normal();
  }
  return {};
}

static void print(void *, const char *text, uint64_t length, int isError) {
  std::fwrite(text, 1, length, isError ? stderr : stdout);
}

static auto openCompiler() {
  std::filesystem::path path = compilerLibrary();
  if (path.empty())
    leave(fail("this ltc has no compiler beside it (lib/libLtcCompiler.so): it "
               "runs artifacts; compile where the compiler is installed"));
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void *symbol = library ? dlsym(library, LTC_COMPILE_SYMBOL) : nullptr;
  if (!symbol)
    leave(fail("cannot open the compiler: " + std::string(dlerror())));
  return reinterpret_cast<int (*)(const LtcCompileRequest *)>(symbol);
}

bool compile(const CompileJob &job) {
  auto optional = [](const std::string &text) {
    return text.empty() ? nullptr : text.c_str();
  };
  LtcCompileRequest request = {sizeof request,
                               job.spec.c_str(),
                               optional(job.output),
                               optional(job.emit),
                               optional(job.debugDir),
                               optional(job.report),
                               print,
                               nullptr,
                               job.timing};
  return openCompiler()(&request) == 0;
}

bool compileApart(const CompileJob &job) {
  std::fflush(nullptr);
  pid_t child = fork();
  if (child < 0)
    return compile(job);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool done = compile(job);
    std::fflush(nullptr);
    _exit(done ? 0 : 1);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  if (WIFSIGNALED(status))
    leave(fail("the compiler was ended by signal " +
               std::to_string(WTERMSIG(status))));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool isSpec(const std::filesystem::path &path) {
  auto extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

std::filesystem::path artifactOf(const std::filesystem::path &runOrFile) {
  if (std::filesystem::is_directory(runOrFile))
    return runOrFile / "artifact.ltca";
  return runOrFile;
}

std::string shortNumber(double value) {
  const char *units[] = {"", " k", " M", " B", " T"};
  int unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, unit ? "%.4g%s" : "%.0f%s", value,
                units[unit]);
  return text;
}

std::string shortBytes(double bytes) {
  const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, unit ? "%.1f %s" : "%.0f %s", bytes,
                units[unit]);
  return text;
}

std::string shortFlops(double perSecond) {
  char text[64];
  if (perSecond >= 1e12)
    std::snprintf(text, sizeof text, "%.2f TFLOP/s", perSecond / 1e12);
  else
    std::snprintf(text, sizeof text, "%.0f GFLOP/s", perSecond / 1e9);
  return text;
}

} // namespace ltc::tool
