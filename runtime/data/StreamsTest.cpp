// SPDX-License-Identifier: Apache-2.0
// Every byte of the test's documents has a value of its own, 1..240, counting
// on within a document: a label says which byte it is, and which came before.
#include "runtime/data/Streams.h"
#include "runtime/data/TestFiles.h"
#include <map>

namespace ltc {
namespace {

constexpr int64_t kLength = 8;
constexpr int kBytes = 240;

struct Rows { // a batch, copied
  int64_t rows = 0;
  std::vector<int32_t> tokens, labels, position, document;
  std::vector<float> mask;
  double sum = 0;
  bool operator==(const Rows &) const = default;
};

Rows take(Batches &stream) {
  auto batch = stream.next();
  EXPECT_TRUE(batch) << batch.error().message;
  Rows rows;
  if (!batch)
    return rows;
  rows.rows = (*batch)->rows;
  if (rows.rows == 0)
    return rows;
  std::map<std::string, const Column *> columns;
  for (const Column &column : (*batch)->columns)
    columns[column.name] = &column;
  rows.tokens = columns.at("tokens")->ints;
  rows.labels = columns.at("labels")->ints;
  rows.position = columns.at("position")->ints;
  rows.document = columns.at("document")->ints;
  rows.mask = columns.at("mask")->floats;
  rows.sum = columns.at("mask")->sum;
  EXPECT_EQ(rows.sum, (*batch)->tokens);
  return rows;
}

class StreamsTest : public test::DataFolder {
protected:
  void SetUp() override {
    DataFolder::SetUp();
    // One byte, a row exactly, over a row, several rows, less than a row.
    int value = 0, number = 0;
    for (int length : {5, 8, 0, 40, 1, 19, 7, 64, 3, 13, 50, 30}) {
      std::string text;
      for (int i = 0; i < length; ++i)
        text += char(++value);
      starts[value - length + 1] = true;
      char name[16];
      std::snprintf(name, sizeof name, "%02d.txt", number++);
      write(name, text);
    }
    ASSERT_EQ(value, kBytes);
  }

  DataOptions options(int64_t rows = 3, uint64_t seed = 1) const {
    return {{source("*.txt")}, kLength, rows, seed};
  }
  std::unique_ptr<Batches> training(const DataOptions &options) {
    auto stream = openTraining(options);
    EXPECT_TRUE(stream) << stream.error().message;
    return std::move(*stream);
  }
  std::unique_ptr<Batches> evaluation(const DataOptions &options) {
    auto stream = openEvaluation(options);
    EXPECT_TRUE(stream) << stream.error().message;
    return std::move(*stream);
  }

  /// One row's rules; counts the labels that are predicted.
  void checkRow(const Rows &batch, int64_t row, std::vector<int> &seen) {
    bool over = false;
    for (int64_t t = 0; t < kLength; ++t) {
      size_t i = size_t(row * kLength + t);
      bool first = t == 0 || batch.document[i] != batch.document[i - 1];
      int32_t expected = t == 0 ? 0 : batch.document[i - 1] + (first ? 1 : 0);
      EXPECT_EQ(batch.document[i], expected);
      EXPECT_EQ(batch.position[i], first ? 0 : batch.position[i - 1] + 1);
      ASSERT_TRUE(batch.mask[i] == 0 || batch.mask[i] == 1);
      EXPECT_FALSE(over && batch.mask[i] == 1) << "a hole in the row";
      over = batch.mask[i] == 0;
      if (over)
        continue;
      int32_t label = batch.labels[i];
      ASSERT_TRUE(label >= 1 && label <= kBytes);
      EXPECT_EQ(batch.tokens[i], starts.count(label) ? 0 : label - 1);
      if (!first) { // the same document goes on
        EXPECT_EQ(label, batch.labels[i - 1] + 1);
      }
      ++seen[size_t(label)];
    }
  }
  void checkBatch(const Rows &batch, std::vector<int> &seen) {
    for (int64_t row = 0; row < batch.rows; ++row)
      checkRow(batch, row, seen);
  }

  std::map<int, bool> starts; ///< values that begin a document
};

std::vector<int> timesEach(int times) {
  std::vector<int> seen(kBytes + 1, times);
  seen[0] = 0;
  return seen;
}

TEST_F(StreamsTest, AnEpochPredictsEveryByteOnce) {
  auto stream = training(options());
  for (int epoch = 1; epoch <= 3; ++epoch) {
    std::vector<int> seen(kBytes + 1, 0);
    for (int i = 0; i < kBytes / (3 * kLength); ++i) {
      Rows batch = take(*stream);
      EXPECT_EQ(batch.sum, 3 * kLength); // training rows are full
      checkBatch(batch, seen);
    }
    EXPECT_EQ(seen, timesEach(1)) << "epoch " << epoch;
    EXPECT_DOUBLE_EQ(stream->epochs(), epoch);
  }
}

TEST_F(StreamsTest, EvaluationPredictsEveryByteOnceThenEndsThenRestarts) {
  auto stream = evaluation(options(4)); // 30 rows: the last batch has 2
  std::vector<Rows> before;
  for (int round = 0; round < 2; ++round) {
    std::vector<int> seen(kBytes + 1, 0);
    std::vector<Rows> batches;
    for (Rows batch = take(*stream); batch.rows; batch = take(*stream)) {
      EXPECT_EQ(batch.rows, 4);
      checkBatch(batch, seen);
      batches.push_back(batch);
    }
    ASSERT_EQ(batches.size(), 8u);
    EXPECT_EQ(batches.back().sum, 2 * kLength);
    EXPECT_EQ(seen, timesEach(1));
    if (round) {
      EXPECT_EQ(batches, before);
    }
    before = batches;
  }
}

TEST_F(StreamsTest, AnEvaluationSetThatEndsWithinARow) {
  write("zz.txt", "\x01"); // 241 bytes; byte 1 twice
  starts[1] = true;
  auto stream = evaluation(options(1));
  std::vector<int> seen(kBytes + 1, 0);
  double sum = 0;
  for (Rows batch = take(*stream); batch.rows; batch = take(*stream)) {
    checkBatch(batch, seen);
    sum += batch.sum;
  }
  EXPECT_EQ(sum, kBytes + 1);
  EXPECT_EQ(seen[1], 2);
}

TEST_F(StreamsTest, AnyPositionIsResumedExactly) {
  DataOptions two = options();
  two.sources = {source("0*.txt", 2), source("1*.txt", 1)};
  auto stream = training(two);
  std::vector<std::string> positions = {stream->position()};
  std::vector<double> epochs = {stream->epochs()};
  std::vector<Rows> batches;
  for (int i = 0; i < 40; ++i) {
    batches.push_back(take(*stream));
    positions.push_back(stream->position());
    epochs.push_back(stream->epochs());
  }
  for (size_t i = 0; i < batches.size(); ++i) {
    auto other = training(two);
    take(*other); // it may stand anywhere before
    ASSERT_TRUE(other->seek(positions[i]));
    EXPECT_EQ(other->position(), positions[i]);
    EXPECT_EQ(other->epochs(), epochs[i]);
    EXPECT_EQ(take(*other), batches[i]) << "position " << i;
    EXPECT_EQ(other->position(), positions[i + 1]);
  }
  ASSERT_TRUE(stream->seek(positions[3])); // and back, in the same stream
  EXPECT_EQ(take(*stream), batches[3]);
}

TEST_F(StreamsTest, TheSeedDecidesTheOrder) {
  auto a = training(options(3, 1)), b = training(options(3, 1));
  auto c = training(options(3, 2));
  Rows first = take(*a);
  EXPECT_EQ(first, take(*b));
  EXPECT_NE(first, take(*c));
}

TEST_F(StreamsTest, WeightsAreSharesOfTheBytes) {
  write("a.one", std::string(1000, 'a'));
  write("b.two", std::string(130, 'b')); // seen far more often
  write("c.three", std::string(77, 'c'));
  DataOptions mixed = options(4);
  mixed.sources = {source("*.one", 6), source("*.two", 3),
                   source("*.three", 1)};
  auto stream = training(mixed);
  std::map<int32_t, double> bytes;
  double all = 0;
  for (int i = 0; i < 100; ++i)
    for (int32_t label : take(*stream).labels) {
      bytes[label] += 1;
      all += 1;
    }
  // Sources take turns by whole pieces: never more than a row or two off.
  EXPECT_NEAR(bytes['a'], all * 0.6, 2 * kLength);
  EXPECT_NEAR(bytes['b'], all * 0.3, 2 * kLength);
  EXPECT_NEAR(bytes['c'], all * 0.1, 2 * kLength);
}

TEST_F(StreamsTest, PositionsThatDoNotFitTheDataAreRefused) {
  auto stream = training(options());
  take(*stream);
  std::string place = stream->position();
  for (const char *text :
       {"", "not JSON", "[]", "{}", R"({"taken":[1],"bytes":[1]})",
        R"({"taken":[1,2],"bytes":[1,2],"open":[]})",
        R"({"taken":[1],"bytes":[1],"open":[[1,0,0,1]]})",
        R"({"taken":[1],"bytes":[1],"open":[[0,99,0,1]]})",
        R"({"taken":[1],"bytes":[1],"open":[[0,0,0,6]]})",
        R"({"taken":[1],"bytes":[1],"open":[[0,0,3,2]]})",
        R"({"taken":[1],"bytes":[1],"open":[[0,3,0,8]]})",
        R"({"taken":["x"],"bytes":[1],"open":[]})"}) {
    auto moved = stream->seek(text);
    EXPECT_FALSE(moved) << text;
  }
  // The stream stands where it stood.
  EXPECT_EQ(stream->position(), place);
  auto other = training(options());
  take(*other);
  EXPECT_EQ(take(*stream), take(*other));
}

TEST_F(StreamsTest, OptionsThatMakeNoStreamAreRefused) {
  DataOptions none = options();
  none.sources.clear();
  EXPECT_FALSE(openTraining(none));
  EXPECT_FALSE(openTraining(options(0)));
  for (double weight : {0.0, -1.0}) {
    DataOptions weightless = options();
    weightless.sources[0].weight = weight;
    auto stream = openTraining(weightless);
    ASSERT_FALSE(stream);
    EXPECT_NE(stream.error().message.find("weight"), std::string::npos);
  }
}

} // namespace
} // namespace ltc
