// SPDX-License-Identifier: Apache-2.0
#include "runtime/data/Source.h"
#include "runtime/data/TestFiles.h"
#include <numeric>
#include <set>

namespace ltc {
namespace {

class SourceTest : public test::DataFolder {
protected:
  Result<std::unique_ptr<Source>> open(const SourceOptions &options,
                                       uint64_t pieceLength = 8) {
    return Source::open(options.kind, options.config, pieceLength);
  }
  std::string refusal(const SourceOptions &options) {
    auto opened = open(options);
    return opened ? "(opened)" : opened.error().message;
  }
};

TEST(Permuted, EveryPlaceOnceForAnyCount) {
  for (uint64_t count : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4096, 5000})
    for (uint64_t key : {0ull, 1ull, ~0ull}) {
      std::set<uint64_t> places;
      for (uint64_t i = 0; i < count; ++i) {
        uint64_t place = permuted(i, count, key);
        ASSERT_LT(place, count);
        places.insert(place);
      }
      EXPECT_EQ(places.size(), count) << "key " << key;
    }
}

TEST(Permuted, OrderIsOfTheKeyAndMixed) {
  uint64_t fixed = 0, same = 0, count = 1000;
  for (uint64_t i = 0; i < count; ++i) {
    fixed += permuted(i, count, 7) == i;
    same += permuted(i, count, 7) == permuted(i, count, 8);
  }
  EXPECT_LT(fixed, 10u); // one is expected of a random permutation
  EXPECT_LT(same, 10u);
}

TEST_F(SourceTest, PiecesCoverEachDocumentInOrder) {
  write("a.txt", "0123456789abcdefXYZ"); // 8 + 8 + 3
  write("b.txt", "");
  write("c.txt", "12345678");
  auto opened = open(source("*.txt"));
  ASSERT_TRUE(opened) << opened.error().message;
  Source &found = **opened;
  EXPECT_EQ(found.bytes(), 27u);
  ASSERT_EQ(found.pieces(), 4u);
  std::string all;
  for (uint64_t i = 0; i < found.pieces(); ++i) {
    Piece piece = found.piece(i);
    auto text = found.read(piece.document);
    ASSERT_TRUE(text);
    all += std::string((*text).substr(piece.begin, piece.length())) + "|";
  }
  EXPECT_EQ(all, "01234567|89abcdef|XYZ|12345678|");
}

TEST_F(SourceTest, EachEpochTakesEveryPieceInAnOrderOfItsOwn) {
  write("a.txt", std::string(800, 'x'));
  auto opened = open(source("*.txt"));
  ASSERT_TRUE(opened);
  auto orderOf = [&](uint64_t epoch, uint64_t seed) {
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < 100; ++i)
      order.push_back((*opened)->shuffled(epoch * 100 + i, seed).begin / 8);
    return order;
  };
  std::vector<uint64_t> sorted = orderOf(3, 1), all(100);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(orderOf(0, 1), orderOf(0, 1));
  EXPECT_NE(orderOf(0, 1), orderOf(1, 1));
  EXPECT_NE(orderOf(0, 1), orderOf(0, 2));
}

TEST_F(SourceTest, JsonLinesAreDocuments) {
  write("a.jsonl", "{\"text\": \"one\", \"n\": 1}\n\n{\"text\": \"t\\nwo\"}\r\n"
                   "{\"text\": \"three\"}"); // no newline at the end
  auto opened = open(source("a.jsonl", 1, "jsonl"));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->bytes(), 3u + 4u + 5u);
  EXPECT_EQ(*(*opened)->read(1), "t\nwo");
  EXPECT_EQ(*(*opened)->read(2), "three");
}

TEST_F(SourceTest, JsonFieldIsTheUsers) {
  write("a.jsonl", "{\"body\": \"hello\"}\n");
  nlohmann::json config = {{"path", path("a.jsonl")}, {"field", "body"}};
  auto opened = open({"jsonl", config.dump(), 1});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*(*opened)->read(0), "hello");
}

TEST_F(SourceTest, BrokenLinesAreNamedByFileAndLine) {
  write("a.jsonl", "{\"text\": \"fine\"}\n\n{\"text\": \"cut\n");
  EXPECT_EQ(refusal(source("a.jsonl", 1, "jsonl")),
            path("a.jsonl") + ":3: this line is not JSON");
  write("b.jsonl", "{\"text\": \"fine\"}\n{\"text\": 7}\n");
  EXPECT_EQ(refusal(source("b.jsonl", 1, "jsonl")),
            path("b.jsonl") + ":2: this line has no string \"text\"");
  write("c.jsonl", "[1]\n");
  EXPECT_EQ(refusal(source("c.jsonl", 1, "jsonl")),
            path("c.jsonl") + ":1: this line has no string \"text\"");
}

TEST_F(SourceTest, NothingToReadIsAnError) {
  EXPECT_EQ(refusal(source("*.txt")), "no file matches " + path("*.txt"));
  EXPECT_EQ(refusal(source("*.jsonl", 1, "jsonl")),
            "no file matches " + path("*.jsonl"));
  write("empty.txt", "");
  EXPECT_NE(refusal(source("empty.txt")).find("the source is empty"),
            std::string::npos);
  std::filesystem::create_directories(folder / "sub.txt");
  EXPECT_EQ(refusal(source("sub.txt")), "no file matches " + path("sub.txt"));
}

TEST_F(SourceTest, UnknownKindsNameTheKnown) {
  std::string words = refusal(source("*.txt", 1, "parquet"));
  EXPECT_NE(words.find("'parquet'"), std::string::npos) << words;
  EXPECT_NE(words.find("text"), std::string::npos) << words;
  EXPECT_NE(words.find("jsonl"), std::string::npos) << words;
}

TEST_F(SourceTest, DocumentsOutsideAreRefused) {
  write("a.txt", "x");
  auto opened = open(source("a.txt"));
  ASSERT_TRUE(opened);
  EXPECT_FALSE((*opened)->read(1));
}

} // namespace
} // namespace ltc
