// SPDX-License-Identifier: Apache-2.0
// The compiler in a process of its own. Where that crashes, a second one
// compiles again, slowly, and leaves what it is at in memory shared with this.
#include "runtime/base/Compiler.h"
#include "tools/ltc/Commands.h"
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ltc::tool {
namespace {

/// Exit status of a compilation that printed errors. Not 1: that may come from
/// inside of LLVM.
constexpr int kRefused = 3;

/// For the second look: what the compiler was at, seen from this process.
struct Watch {
  static constexpr size_t kBytes = 4096;
  std::string reproducer;
  char *at = nullptr;

  Watch()
      : reproducer(std::filesystem::temp_directory_path() /
                   ("ltc-crash-" + std::to_string(getpid()) + ".mlir")) {
    void *memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED)
      at = static_cast<char *>(memory);
  }
  ~Watch() {
    if (at)
      munmap(at, kBytes);
  }
  Watch(const Watch &) = delete;
  Watch &operator=(const Watch &) = delete;
};

void print(void *, const char *text, uint64_t length, int isError) {
  std::fwrite(text, 1, length, isError ? stderr : stdout);
}

using Compiler = int (*)(const LtcCompileRequest *);

Result<Compiler> openCompiler() {
  std::filesystem::path path = compilerLibrary();
  if (path.empty())
    return fail("this ltc has no compiler beside it (lib/libLtcCompiler.so): "
                "it runs artifacts; compile where the compiler is installed");
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void *symbol = library ? dlsym(library, LTC_COMPILE_SYMBOL) : nullptr;
  if (!symbol)
    return fail("cannot open the compiler: " + std::string(dlerror()));
  return reinterpret_cast<Compiler>(symbol);
}

/// As ltcCompile returns it.
int compileHere(const CompileJob &job, const Watch *watch) {
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
                               job.timing,
                               optional(job.target),
                               watch ? watch->reproducer.c_str() : nullptr,
                               watch ? watch->at : nullptr,
                               watch ? Watch::kBytes : 0};
  auto compiler = openCompiler();
  if (compiler)
    return (*compiler)(&request);
  std::fprintf(stderr, "error: %s\n", compiler.error().message.c_str());
  return 1;
}

/// The first look has said what there is to say, and left its core.
void silence() {
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

/// Compiles in a child; how that ended, as waitpid says it.
int compileApart(const CompileJob &job, const Watch *watch) {
  std::fflush(nullptr);
  pid_t child = fork();
  if (child < 0)
    leave(fail(std::string("cannot start a process for the compiler: ") +
               std::strerror(errno)));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (watch)
      silence();
    int result = compileHere(job, watch);
    std::fflush(nullptr);
    _exit(result == 1 ? kRefused : result);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  return status;
}

bool ended(int status, int code) {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/// "crashed (Segmentation fault)"
std::string howItEnded(int status) {
  if (WIFSIGNALED(status))
    return std::string("crashed (") + strsignal(WTERMSIG(status)) + ")";
  if (WEXITSTATUS(status) == 2)
    return "failed without a word";
  return "gave up (exit status " + std::to_string(WEXITSTATUS(status)) + ")";
}

/// Somebody ended it, or the system did, for want of memory.
bool endedFromOutside(int status) {
  int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return number == SIGKILL || number == SIGTERM || number == SIGINT ||
         number == SIGHUP;
}

void reportCrash(const CompileJob &job, int status) {
  Watch watch;
  CompileJob again = job;
  again.output = again.emit = again.debugDir = again.report = "";
  again.timing = false;
  int second = compileApart(again, &watch);
  std::string place = job.spec, what;
  if (watch.at) {
    what = watch.at;
    size_t end = std::min(what.find('\n'), what.size());
    if (end > 0)
      place = what.substr(0, end);
    what.erase(0, end + 1);
  }
  bool repeated = !ended(second, 0) && !ended(second, kRefused);
  std::fprintf(stderr, "%s: error: the compiler %s%s%s\n", place.c_str(),
               howItEnded(status).c_str(), repeated ? " " : "",
               repeated ? what.c_str() : "");
  std::error_code ignored;
  if (!repeated)
    std::fprintf(stderr, "  but not when it was tried again on one thread: "
                         "this is a defect of ltc, please report it\n");
  else if (std::filesystem::exists(watch.reproducer, ignored))
    std::fprintf(stderr, "  this is a defect of ltc; please report it with %s, "
                         "which replays it:\n  ltc-opt --run-reproducer %s\n",
                 watch.reproducer.c_str(), watch.reproducer.c_str());
  else
    std::fprintf(stderr, "  this is a defect of ltc; please report it with "
                         "your spec and its texts\n");
  if (!repeated)
    std::filesystem::remove(watch.reproducer, ignored);
}

} // namespace

bool compile(const CompileJob &job) {
  int status = compileApart(job, nullptr);
  if (ended(status, 0))
    return true;
  if (ended(status, kRefused))
    return false;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE)
    std::exit(1); // who read what it prints has gone
  if (endedFromOutside(status))
    leave(fail("the compiler was ended by signal " +
               std::to_string(WTERMSIG(status)) + " (" +
               strsignal(WTERMSIG(status)) + "): by somebody, or by the "
               "system for want of memory"));
  reportCrash(job, status);
  return false;
}

/// A spec is compiled each time, so that what runs is what it says. The file
/// has no name any more once it is mapped.
ArtifactFile openProgram(const std::string &path) {
  if (!isSpec(path))
    return orLeave(ArtifactFile::open(artifactOf(path)));
  auto temporary = std::filesystem::temp_directory_path() /
                   ("ltc-" + std::to_string(getpid()) + ".ltca");
  CompileJob job;
  job.spec = path;
  job.output = temporary;
  if (!compile(job))
    std::exit(1);
  auto opened = ArtifactFile::open(temporary);
  std::filesystem::remove(temporary);
  return orLeave(std::move(opened));
}

} // namespace ltc::tool
