/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the tests' toy program, in the ABI of compiled objects. The
 * model predicts the number w[token]; its loss is half the squared distance to
 * the label, over positions with mask 1. 37 parameters, 8 positions. */
#include <stdint.h>

enum { kParameters = 37, kPadded = 48, kPositions = 8 };

static float hash01(uint64_t x) {
  x ^= x >> 31;
  x *= 0x9e3779b97f4a7c15u;
  x ^= x >> 29;
  return (float)(x >> 40) * 0x1p-24f;
}

/* w, m, seed; a tile is one element, padding included */
void toy_init(void *const *b, int64_t begin, int64_t end, void *scratch) {
  float *w = b[0], *m = b[1];
  uint64_t seed = *(const uint64_t *)b[2];
  (void)scratch;
  for (int64_t i = begin; i < end; ++i) {
    w[i] = i < kParameters ? hash01(seed * 1000 + (uint64_t)i) : 0;
    m[i] = 0;
  }
}

/* tokens, labels, mask, w, 1/count, dw; a tile is one parameter */
void toy_gradient(void *const *b, int64_t begin, int64_t end, void *scratch) {
  const int32_t *tokens = b[0], *labels = b[1];
  const float *mask = b[2], *w = b[3];
  float inverse = (float)*(const double *)b[4];
  float *dw = b[5];
  (void)scratch;
  for (int64_t i = begin; i < end; ++i)
    for (int p = 0; p < kPositions; ++p)
      if (tokens[p] == i)
        dw[i] += mask[p] * (w[i] - (float)labels[p]) * inverse;
}

/* tokens, labels, mask, w, sum */
void toy_loss(void *const *b, int64_t begin, int64_t end, void *scratch) {
  const int32_t *tokens = b[0], *labels = b[1];
  const float *mask = b[2], *w = b[3];
  float *sum = b[4];
  (void)begin, (void)end, (void)scratch;
  for (int p = 0; p < kPositions; ++p) {
    float d = w[tokens[p]] - (float)labels[p];
    *sum += 0.5f * mask[p] * d * d;
  }
}

/* dw, lr scalar, ok, grad_norm (squared here), lr output */
void toy_guard(void *const *b, int64_t begin, int64_t end, void *scratch) {
  const float *dw = b[0];
  float *ok = b[2], *norm = b[3], *lr = b[4];
  (void)begin, (void)end, (void)scratch;
  *norm = 0;
  for (int i = 0; i < kParameters; ++i)
    *norm += dw[i] * dw[i];
  *ok = *norm < 1e6f;
  *lr = (float)*(const double *)b[1];
}

/* w, m, dw, ok, lr output; a tile is 16 elements */
void toy_update(void *const *b, int64_t begin, int64_t end, void *scratch) {
  float *w = b[0], *m = b[1];
  const float *dw = b[2], *ok = b[3], *lr = b[4];
  (void)scratch;
  for (int64_t i = begin * 16; i < end * 16; ++i) {
    float next = 0.9f * m[i] + dw[i];
    w[i] = *ok != 0 ? w[i] - *lr * next : w[i];
    m[i] = *ok != 0 ? next : m[i];
  }
}

/* ok, step_tokens, step, tokens_seen */
void toy_advance(void *const *b, int64_t begin, int64_t end, void *scratch) {
  const float *ok = b[0];
  (void)begin, (void)end, (void)scratch;
  *(int64_t *)b[2] += *ok != 0;
  *(int64_t *)b[3] += *ok != 0 ? (int64_t) * (const double *)b[1] : 0;
}

/* tokens, position, w, logits: prefers the token after the last one */
void toy_predict(void *const *b, int64_t begin, int64_t end, void *scratch) {
  const int32_t *tokens = b[0], *position = b[1];
  float *logits = b[3];
  (void)scratch;
  for (int64_t i = begin; i < end; ++i)
    logits[i] = i == (tokens[*position] + 1) % kParameters ? 10.0f : 0.0f;
}
