// SPDX-License-Identifier: Apache-2.0
// The one door from `ltc` into libLtcCompiler.so: C, no MLIR.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Begins with its size: a newer caller may know more fields than the library.
typedef struct LtcCompileRequest {
  uint64_t size;
  const char *spec;      ///< path of a YAML or JSON spec
  const char *output;    ///< path of the artifact; null: none is written
  const char *emit;      ///< stage to print instead: model, grad, shard,
                         ///< kernels, program, llvm, asm; null: none
  const char *debugDir;  ///< folder for the IR after each pass; null: none
  const char *report;    ///< file of the fusion report, "-" for stderr; or null
  /// Receives diagnostics (`file:line:col: error: ...`) and emitted text.
  void (*print)(void *user, const char *text, uint64_t length, int isError);
  void *user;
  int timing;            ///< 1: the time of each stage is printed
  const char *target;    ///< instead of the spec's: "cuda:sm_90"; or null
  /// A second look after a crash: everything on one thread, and before each
  /// pass and kernel this file is written, which `ltc-opt --run-reproducer`
  /// replays. Null: none, as always but then.
  const char *reproducer;
  /// With it: what the compiler is at, "PLACE\nWHAT" and a zero, in memory that
  /// outlives the process.
  char *at;
  uint64_t atBytes;
} LtcCompileRequest;

/// 0: done. 1: errors were printed. 2: it failed without a word, a defect.
int ltcCompile(const LtcCompileRequest *request);

#ifdef __cplusplus
}
#endif

#define LTC_COMPILE_SYMBOL "ltcCompile"
