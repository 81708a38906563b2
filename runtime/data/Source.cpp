// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/Source.h"
#include <algorithm>
#include <cstddef>

#define LTC_SOURCE(name)                                                       \
  extern "C" const LtcSourceApi *ltcSource_##name(void);
#include "runtime/data/Builtin.inc"
#undef LTC_SOURCE

namespace ltc {

static const LtcSourceApi *(*const kSources[])() = {
#define LTC_SOURCE(name) ltcSource_##name,
#include "runtime/data/Builtin.inc"
#undef LTC_SOURCE
};

static Result<const LtcSourceApi *> findSource(const std::string &kind) {
  std::string kinds;
  for (auto *entry : kSources) {
    const LtcSourceApi *api = entry();
    kinds += (kinds.empty() ? "" : ", ") + std::string(api->kind);
    if (kind != api->kind)
      continue;
    if (api->major != LTC_DATA_MAJOR)
      return fail("source " + kind + " was built for version " +
                  std::to_string(api->major) +
                  " of the data table, this ltc has version " +
                  std::to_string(LTC_DATA_MAJOR));
    if (api->size < offsetof(LtcSourceApi, read) + sizeof(void *))
      return fail("the table of source " + kind + " is too short");
    return api;
  }
  return fail("no source is of kind '" + kind + "'; there are: " + kinds);
}

static uint64_t mixed(uint64_t x) { // splitmix64's finaliser
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t permuted(uint64_t i, uint64_t count, uint64_t key) {
  int half = 1;
  while ((uint64_t(1) << (2 * half)) < count)
    ++half;
  uint64_t mask = (uint64_t(1) << half) - 1;
  do {
    uint64_t left = i >> half, right = i & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      uint64_t salt = key + round * 0x9e3779b97f4a7c15u;
      uint64_t next = left ^ (mixed(salt + right) & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= count);
  return i;
}

Result<std::unique_ptr<Source>> Source::open(const std::string &kind,
                                             const std::string &config,
                                             uint64_t pieceLength) {
  LTC_ASSIGN(const LtcSourceApi *api, findSource(kind));
  char words[1024] = "";
  LtcDataError error = {sizeof error, words, sizeof words};
  LtcSource *opened = nullptr;
  if (api->open(config.c_str(), &opened, &error))
    return fail(words);
  std::unique_ptr<Source> source(new Source(api, opened));
  source->pieceLength = pieceLength;
  source->firstPiece = {0};
  for (uint64_t i = 0, n = api->count(opened); i < n; ++i) {
    uint64_t length = 0;
    if (api->length(opened, i, &length, &error))
      return fail(words);
    source->lengths.push_back(length);
    source->total += length;
    source->firstPiece.push_back(source->firstPiece.back() +
                                 (length + pieceLength - 1) / pieceLength);
  }
  if (source->total == 0)
    return fail("the source is empty: " + config);
  return source;
}

Source::~Source() { api->close(source); }

Piece Source::piece(uint64_t i) const {
  auto next = std::upper_bound(firstPiece.begin(), firstPiece.end(), i);
  uint64_t document = next - firstPiece.begin() - 1;
  uint64_t begin = (i - firstPiece[document]) * pieceLength;
  return {0, document, begin, std::min(begin + pieceLength, lengths[document])};
}

Piece Source::shuffled(uint64_t i, uint64_t seed) const {
  uint64_t epoch = i / pieces();
  return piece(permuted(i % pieces(), pieces(), mixed(seed) + mixed(~epoch)));
}

Result<std::string_view> Source::read(uint64_t document) {
  char words[1024] = "";
  LtcDataError error = {sizeof error, words, sizeof words};
  LtcDocument found = {sizeof found, nullptr, 0};
  if (api->read(source, document, &found, &error))
    return fail(words);
  return std::string_view(found.bytes, found.length);
}

} // namespace ltc
