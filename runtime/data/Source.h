// SPDX-License-Identifier: Apache-2.0
// A source of documents behind its C table, cut into pieces of at most
// `length` bytes. An epoch gives every piece once, in an order that is a
// function of (seed, epoch).
#pragma once
#include "plugins/sdk/Data.h"
#include "runtime/base/Result.h"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ltc {

/// A part of a document: bytes [begin, end).
struct Piece {
  uint32_t source = 0;
  uint64_t document = 0, begin = 0, end = 0;
  uint64_t length() const { return end - begin; }
};

class Source {
public:
  /// `config` is the JSON object of the spec's source; `pieceLength` > 0.
  static Result<std::unique_ptr<Source>>
  open(const std::string &kind, const std::string &config,
       uint64_t pieceLength);
  ~Source();
  Source(const Source &) = delete;
  Source &operator=(const Source &) = delete;

  uint64_t pieces() const { return firstPiece.back(); }
  uint64_t bytes() const { return total; }
  uint64_t documents() const { return lengths.size(); }
  /// Piece i in the order of documents.
  Piece piece(uint64_t i) const;
  /// The i-th piece ever taken: shuffled within each epoch.
  Piece shuffled(uint64_t i, uint64_t seed) const;
  /// Whether these bytes are there (a piece of an earlier run).
  bool contains(const Piece &piece) const {
    return piece.document < lengths.size() && piece.begin < piece.end &&
           piece.end <= lengths[piece.document];
  }
  /// The document's bytes; valid until the next call.
  Result<std::string_view> read(uint64_t document);

private:
  Source(const LtcSourceApi *api, LtcSource *source)
      : api(api), source(source) {}
  const LtcSourceApi *api;
  LtcSource *source;
  uint64_t pieceLength = 0, total = 0;
  std::vector<uint64_t> lengths;
  std::vector<uint64_t> firstPiece; ///< per document, and the count at the end
};

/// The place of `i` in a pseudo-random order of 0..count-1: a Feistel network
/// over the next power of four, walked until it lands inside.
/// (Black, Rogaway: Ciphers with Arbitrary Finite Domains.)
uint64_t permuted(uint64_t i, uint64_t count, uint64_t key);

} // namespace ltc
