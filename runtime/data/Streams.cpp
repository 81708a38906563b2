// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/Streams.h"
#include "runtime/data/Ahead.h"
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ltc {
namespace {

using Row = std::vector<Piece>;

struct ColumnName {
  const char *name, *kind;
  bool isFloat;
};
constexpr std::array<ColumnName, 5> kColumns = {
    {{"tokens", "token", false},
     {"labels", "label", false},
     {"position", "position", false},
     {"document", "document", false},
     {"mask", "mask", true}}};

/// Rows made of pieces; the tail of a stream: pieces too short for a row.
class RowMaker {
public:
  explicit RowMaker(uint64_t length) : length(length) {}
  /// True when `row` is complete; a rest of the piece stays open.
  bool add(const Piece &piece, Row &row) {
    if (piece.length() == length) {
      row = {piece};
      return true;
    }
    Piece first = piece;
    first.end = piece.begin + std::min(piece.length(), length - filled);
    open.push_back(first);
    filled += first.length();
    if (filled < length)
      return false;
    row = std::move(open);
    open.clear();
    filled = 0;
    if (first.end == piece.end)
      return true;
    open.push_back({piece.source, piece.document, first.end, piece.end});
    filled = open.back().length();
    return true;
  }
  Row rest() {
    Row row = std::move(open);
    open.clear();
    filled = 0;
    return row;
  }
  nlohmann::json toJson() const {
    auto list = nlohmann::json::array();
    for (const Piece &piece : open)
      list.push_back({piece.source, piece.document, piece.begin, piece.end});
    return list;
  }
  void reopen(Row pieces) {
    open = std::move(pieces);
    filled = 0;
    for (const Piece &piece : open)
      filled += piece.length();
  }

private:
  uint64_t length, filled = 0;
  Row open;
};

class ByteStream : public Batches {
public:
  ByteStream(const DataOptions &options,
             std::vector<std::unique_ptr<Source>> sources, bool training)
      : options(options), sources(std::move(sources)), training(training),
        maker(uint64_t(options.length)) {
    restart();
  }

  Result<const GlobalBatch *> next() override {
    begin();
    for (int64_t r = 0; r < options.rows; ++r) {
      Row row = training ? trainingRow() : evaluationRow();
      if (row.empty() && r == 0) {
        restart();
        batch.rows = 0;
        return &batch;
      }
      LTC_TRY(fill(r, row));
    }
    for (Column &column : batch.columns)
      for (float value : column.floats)
        column.sum += value;
    batch.tokens = batch.columns[4].sum;
    return &batch;
  }

  std::string position() const override {
    nlohmann::json json = {
        {"taken", taken}, {"bytes", bytes}, {"open", maker.toJson()}};
    return json.dump();
  }
  Result<void> seek(std::string_view text) override {
    auto json = nlohmann::json::parse(text, nullptr, false);
    std::vector<uint64_t> newTaken, newBytes;
    Row open;
    try {
      newTaken = json.at("taken").get<std::vector<uint64_t>>();
      newBytes = json.at("bytes").get<std::vector<uint64_t>>();
      for (const auto &item : json.at("open"))
        open.push_back({item.at(0), item.at(1), item.at(2), item.at(3)});
    } catch (const nlohmann::json::exception &) {
      return fail("a data position cannot be read: " + std::string(text));
    }
    if (newTaken.size() != sources.size() || newBytes.size() != sources.size())
      return fail("the data position is of another number of sources");
    uint64_t filled = 0; // the open row's pieces must be parts of this data
    for (const Piece &piece : open) {
      if (piece.source >= sources.size() ||
          !sources[piece.source]->contains(piece) ||
          (filled += piece.length()) >= uint64_t(options.length))
        return fail("the data position does not fit the data: has a file "
                    "changed since? " + std::string(text));
    }
    taken = std::move(newTaken);
    bytes = std::move(newBytes);
    maker.reopen(std::move(open));
    return {};
  }
  double epochs() const override {
    double given = 0, all = 0;
    for (size_t s = 0; s < sources.size(); ++s) {
      given += double(bytes[s]);
      all += double(sources[s]->bytes());
    }
    return given / all;
  }

private:
  void restart() {
    taken.assign(sources.size(), 0);
    bytes.assign(sources.size(), 0);
    maker.rest();
  }

  /// The columns' memory is taken once and used again.
  void begin() {
    batch.rows = options.rows;
    batch.length = options.length;
    size_t count = size_t(options.rows * options.length);
    batch.columns.resize(kColumns.size());
    for (size_t c = 0; c < kColumns.size(); ++c) {
      Column &column = batch.columns[c];
      column.name = kColumns[c].name;
      column.kind = kColumns[c].kind;
      if (kColumns[c].isFloat)
        column.floats.assign(count, 0);
      else
        column.ints.assign(count, 0);
      column.sum = 0;
    }
  }

  /// The source that has given the least of its share; the first among equals.
  Piece draw() {
    size_t best = 0;
    for (size_t s = 1; s < sources.size(); ++s)
      if (double(bytes[s]) / options.sources[s].weight <
          double(bytes[best]) / options.sources[best].weight)
        best = s;
    Piece piece = sources[best]->shuffled(taken[best]++, options.seed + best);
    piece.source = uint32_t(best);
    bytes[best] += piece.length();
    return piece;
  }
  Row trainingRow() {
    Row row;
    while (!maker.add(draw(), row))
      continue;
    return row;
  }
  Row evaluationRow() {
    Row row;
    for (size_t s = 0; s < sources.size(); ++s)
      while (taken[s] < sources[s]->pieces()) {
        Piece piece = sources[s]->piece(taken[s]++);
        piece.source = uint32_t(s);
        bytes[s] += piece.length();
        if (maker.add(piece, row))
          return row;
      }
    return maker.rest();
  }

  Result<void> fill(int64_t r, const Row &row) {
    size_t at = size_t(r * options.length);
    int32_t document = 0;
    for (const Piece &piece : row) {
      LTC_ASSIGN(std::string_view text,
                 sources[piece.source]->read(piece.document));
      for (uint64_t i = piece.begin; i < piece.end; ++i, ++at) {
        batch.columns[0].ints[at] = i ? uint8_t(text[i - 1]) : 0;
        batch.columns[1].ints[at] = uint8_t(text[i]);
        batch.columns[2].ints[at] = int32_t(i - piece.begin);
        batch.columns[3].ints[at] = document;
        batch.columns[4].floats[at] = 1;
      }
      ++document;
    }
    // What no piece fills is a document of its own that nothing is scored on.
    for (int32_t i = 0; at < size_t((r + 1) * options.length); ++at, ++i) {
      batch.columns[2].ints[at] = i;
      batch.columns[3].ints[at] = document;
    }
    return {};
  }

  DataOptions options;
  std::vector<std::unique_ptr<Source>> sources;
  bool training;
  RowMaker maker;
  std::vector<uint64_t> taken, bytes; ///< pieces and bytes, per source
  GlobalBatch batch;
};

Result<std::unique_ptr<Batches>> open(const DataOptions &options,
                                      bool training) {
  if (options.length < 1 || options.rows < 1)
    return fail("a batch needs at least one row of one token");
  std::vector<std::unique_ptr<Source>> sources;
  for (const SourceOptions &source : options.sources) {
    if (!(source.weight > 0) || !std::isfinite(source.weight))
      return fail("a source's weight must be over 0: " + source.config);
    auto opened = Source::open(source.kind, source.config,
                               uint64_t(options.length));
    if (!opened && !source.line.empty())
      return fail(source.line + ": " + opened.error().message);
    if (!opened)
      return opened.error();
    sources.push_back(std::move(*opened));
  }
  if (sources.empty())
    return fail("there is no source to read from");
  return std::unique_ptr<Batches>(
      new ByteStream(options, std::move(sources), training));
}

} // namespace

Result<std::unique_ptr<Batches>> openTraining(const DataOptions &options) {
  LTC_ASSIGN(auto stream, open(options, true));
  return std::unique_ptr<Batches>(new Ahead(std::move(stream)));
}
Result<std::unique_ptr<Batches>> openEvaluation(const DataOptions &options) {
  return open(options, false);
}

uint64_t batchBytes(const DataOptions &options) {
  return kColumns.size() * 4 * uint64_t(options.rows) *
         uint64_t(options.length);
}

} // namespace ltc
