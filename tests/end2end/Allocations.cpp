// SPDX-License-Identifier: Apache-2.0
// Preloaded by memory.py: writes a line for every large allocation and mapping
// of a program, with the functions that asked for it, and for its end.
//   + ADDRESS BYTES FILE+OFFSET FILE+OFFSET ...      - ADDRESS
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);
}

static int output = -1;
static size_t least = 1 << 20;
static thread_local bool inside = false;

__attribute__((constructor)) static void begin() {
  const char *path = getenv("LTC_ALLOCATIONS");
  if (const char *bytes = getenv("LTC_ALLOCATIONS_LEAST"))
    least = strtoull(bytes, nullptr, 10);
  void *frame;
  backtrace(&frame, 1); // loads what it needs
  if (path)
    output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const char *text, int length) {
  // One write a line: lines of threads do not mix.
  if (length > 0 && write(output, text, length) != length)
    abort();
}

static void taken(void *at, size_t bytes) {
  if (output < 0 || bytes < least || inside || !at || at == MAP_FAILED)
    return;
  inside = true;
  void *frames[24];
  int count = backtrace(frames, 24);
  static thread_local char line[8192];
  int used = snprintf(line, sizeof line, "+ %p %zu", at, bytes);
  for (int i = 1; i < count && used < 7000; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) && info.dli_fname)
      used += snprintf(
          line + used, sizeof line - used, " %s+%lu", info.dli_fname,
          (unsigned long)((char *)frames[i] - (char *)info.dli_fbase));
  }
  line[used++] = '\n';
  put(line, used);
  inside = false;
}

static void given(void *at) {
  if (output < 0 || !at || inside)
    return;
  char line[64];
  put(line, snprintf(line, sizeof line, "- %p\n", at));
}

static void givenBack(void *at) {
  if (at && malloc_usable_size(at) >= least)
    given(at);
}

extern "C" {
void *malloc(size_t bytes) {
  void *at = __libc_malloc(bytes);
  taken(at, bytes);
  return at;
}
void *calloc(size_t count, size_t bytes) {
  void *at = __libc_calloc(count, bytes);
  taken(at, count * bytes);
  return at;
}
void *realloc(void *old, size_t bytes) {
  givenBack(old);
  void *at = __libc_realloc(old, bytes);
  taken(at, bytes);
  return at;
}
void *memalign(size_t alignment, size_t bytes) {
  void *at = __libc_memalign(alignment, bytes);
  taken(at, bytes);
  return at;
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}
int posix_memalign(void **at, size_t alignment, size_t bytes) {
  *at = memalign(alignment, bytes);
  return *at ? 0 : ENOMEM;
}
void free(void *at) {
  givenBack(at);
  __libc_free(at);
}
void *mmap(void *where, size_t bytes, int protection, int flags, int file,
           off_t offset) {
  void *at = (void *)syscall(SYS_mmap, where, bytes, protection, flags, file,
                             offset);
  taken(at, bytes);
  return at;
}
void *mmap64(void *where, size_t bytes, int protection, int flags, int file,
             off_t offset) {
  return mmap(where, bytes, protection, flags, file, offset);
}
int munmap(void *at, size_t bytes) {
  if (bytes >= least)
    given(at);
  return int(syscall(SYS_munmap, at, bytes));
}
}
