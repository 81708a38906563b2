/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into `ltc` or `ltc-opt` by crash.py: stands in for one function of
 * the compiler (LTC_SYMBOL, as the linker names it) and ends the process in
 * the way that LTC_FAULT says. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile char *nowhere;

static int deeper(volatile int depth) { /* until the stack ends */
  volatile char frame[4096];
  frame[depth % 4096] = (char)depth;
  return deeper(depth + 1) + frame[0];
}

void fault(void) __asm__(LTC_SYMBOL);
void fault(void) {
  const char *how = getenv("LTC_FAULT");
  if (how && !strcmp(how, "abort")) /* as a failed assertion does */
    abort();
  if (how && !strcmp(how, "exit")) /* as some of LLVM's fatal errors do */
    exit(1);
  if (how && !strcmp(how, "stack"))
    deeper(1);
  if (how && !strcmp(how, "illegal"))
    __builtin_trap();
  *nowhere = 1;
}
