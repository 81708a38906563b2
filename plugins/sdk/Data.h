/* SPDX-License-Identifier: Apache-2.0
 * A source of documents, as a table of C functions. A document is bytes;
 * which bytes a document has never changes while a source is open.
 *
 * Every struct begins with its size in bytes; the reader takes any size that
 * covers what it needs. New functions are appended and may be null. */
#ifndef LTC_PLUGINS_SDK_DATA_H
#define LTC_PLUGINS_SDK_DATA_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LTC_DATA_MAJOR 1

typedef struct LtcSource LtcSource;

/* Where a function says what went wrong: text of at most `capacity` bytes, its
 * zero included, that reaches the user as it is. */
typedef struct LtcDataError {
  uint64_t size;
  char *text;
  uint64_t capacity;
} LtcDataError;

typedef struct LtcDocument {
  uint64_t size;
  const char *bytes; /* valid until the next call on the source */
  uint64_t length;
} LtcDocument;

typedef struct LtcSourceApi {
  uint64_t size;
  uint32_t major;   /* LTC_DATA_MAJOR */
  const char *kind; /* the key of the spec: text, jsonl */
  /* `config`: JSON object with "path" (a glob) and the source's own keys.
   * Returns 0, or not and fills the error. */
  int (*open)(const char *config, LtcSource **source, LtcDataError *error);
  void (*close)(LtcSource *source);
  uint64_t (*count)(const LtcSource *source);
  /* Length in bytes of document i, without reading more than needed. */
  int (*length)(LtcSource *source, uint64_t i, uint64_t *length,
                LtcDataError *error);
  int (*read)(LtcSource *source, uint64_t i, LtcDocument *document,
              LtcDataError *error);
} LtcSourceApi;

#ifdef __cplusplus
}
#endif
#endif
