/* SPDX-License-Identifier: Apache-2.0
 * A logger, as a table of C functions: it is told what a run does, from one
 * thread, between steps. What it is given is valid during the call only.
 *
 * Every struct begins with its size in bytes; the reader takes any size that
 * covers what it needs. New functions are appended and may be null. A function
 * that returns int returns 0 for success, or not and fills the error. */
#ifndef LTC_PLUGINS_SDK_LOGGER_H
#define LTC_PLUGINS_SDK_LOGGER_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LTC_LOGGER_MAJOR 1

typedef struct LtcLogger LtcLogger;

/* Where a function says what went wrong: text of at most `capacity` bytes, its
 * zero included, that reaches the user as it is. */
typedef struct LtcLoggerError {
  uint64_t size;
  char *text;
  uint64_t capacity;
} LtcLoggerError;

/* A loss term's mean. In a list, the next one begins `size` bytes further. */
typedef struct LtcLogTerm {
  uint64_t size;
  const char *name;
  double value;
} LtcLogTerm;

/* Where the run stands after the step. `step` counts updates that were taken,
 * `attempt` also those that the guard refused; `elapsed` is seconds of
 * training over all resumptions. */
typedef struct LtcLogProgress {
  uint64_t size;
  int64_t step, attempt, tokens;
  double epochs, elapsed;
} LtcLogProgress;

typedef struct LtcLogStep {
  uint64_t size;
  const LtcLogProgress *progress;
  double loss, learningRate;
  double gradientNorm; /* before clipping */
  double seconds;      /* of this step; of these, waiting for data: */
  double dataSeconds;
  double tokens; /* of this step that count */
  double flops;  /* of this step, by the formula in the artifact */
  const LtcLogTerm *terms;
  uint64_t termCount;
  int32_t ok; /* 0: not finite or over the guard; nothing changed */
} LtcLogStep;

typedef struct LtcLogEval {
  uint64_t size;
  const LtcLogProgress *progress;
  const char *set; /* name of the evaluation set */
  double loss;
  double tokens;
  double seconds;
  const LtcLogTerm *terms;
  uint64_t termCount;
} LtcLogEval;

/* Before the first step of a process: where the run stands. What was told of
 * later attempts was lost with their checkpoint and is told again; so are the
 * evaluations at this attempt unless `evaluated`. */
typedef struct LtcLogBegin {
  uint64_t size;
  const LtcLogProgress *progress;
  int32_t evaluated;
} LtcLogBegin;

typedef struct LtcLoggerApi {
  uint64_t size;
  uint32_t major;   /* LTC_LOGGER_MAJOR */
  const char *name; /* in the spec's run.loggers: jsonl */
  /* `config`: JSON object; "folder" is the run's, and exists. */
  int (*open)(const char *config, LtcLogger **logger, LtcLoggerError *error);
  void (*close)(LtcLogger *logger);
  int (*step)(LtcLogger *logger, const LtcLogStep *step,
              LtcLoggerError *error);
  int (*eval)(LtcLogger *logger, const LtcLogEval *eval,
              LtcLoggerError *error);
  int (*begin)(LtcLogger *logger, const LtcLogBegin *begin,
               LtcLoggerError *error);
} LtcLoggerApi;

#ifdef __cplusplus
}
#endif
#endif
