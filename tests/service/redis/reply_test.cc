#include "service/redis/reply.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace redis {
namespace {

using Type = Reply::Type;

// Everything that `bytes` hold, fed in pieces of `piece` bytes.
std::vector<Reply> ReadAll(std::string_view bytes, size_t piece) {
  ReplyReader reader;
  std::vector<Reply> replies;
  while (!bytes.empty()) {
    reader.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      absl::StatusOr<std::optional<Reply>> reply = reader.Next();
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return replies;
      if (!reply->has_value()) break;
      replies.push_back(**std::move(reply));
    }
  }
  return replies;
}

absl::Status StatusOf(ReplyReader& reader, std::string_view bytes) {
  reader.Feed(bytes);
  return reader.Next().status();
}

TEST(ReplyReaderTest, ReadsEveryTypeHoweverTheBytesAreCut) {
  const std::string bytes =
      "+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n"
      "*3\r\n$1\r\nx\r\n$-1\r\n:5\r\n*0\r\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    std::vector<Reply> replies = ReadAll(bytes, piece);
    ASSERT_EQ(replies.size(), 8u) << piece;
    EXPECT_EQ(replies[0].type, Type::kStatus);
    EXPECT_EQ(replies[0].text, "OK");
    EXPECT_EQ(replies[1].type, Type::kError);
    EXPECT_EQ(replies[1].text, "ERR no");
    EXPECT_EQ(replies[2].type, Type::kInteger);
    EXPECT_EQ(replies[2].integer, -7);
    EXPECT_EQ(replies[3].text, "a\r\n");
    EXPECT_EQ(replies[4].type, Type::kNil);
    EXPECT_EQ(replies[5].type, Type::kString);
    EXPECT_EQ(replies[5].text, "");
    ASSERT_EQ(replies[6].type, Type::kArray);
    ASSERT_EQ(replies[6].elements.size(), 3u);
    EXPECT_EQ(replies[6].elements[0].text, "x");
    EXPECT_EQ(replies[6].elements[1].type, Type::kNil);
    EXPECT_EQ(replies[6].elements[2].integer, 5);
    EXPECT_EQ(replies[7].type, Type::kArray);
    EXPECT_TRUE(replies[7].elements.empty());
  }
}

TEST(ReplyReaderTest, ClaimsOfManyElementsAreRefusedBeforeTheyAreBelieved) {
  ReplyReader reader;
  EXPECT_EQ(StatusOf(reader, "*2000000000\r\n").code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ReplyReaderTest, NestedArraysAreRefused) {
  ReplyReader reader;
  EXPECT_EQ(StatusOf(reader, "*1\r\n*1\r\n:1\r\n").code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ReplyReaderTest, AStringThatNeverEndsIsRefusedAtTheLimit) {
  ReplyReader::Limits limits;
  limits.reply_bytes_max = 1000;
  ReplyReader reader(limits);
  EXPECT_TRUE(StatusOf(reader, "$9000000\r\n" + std::string(900, 'a')).ok());
  EXPECT_EQ(StatusOf(reader, std::string(900, 'a')).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ReplyReaderTest, AnArrayLargerThanTheLimitInSmallPiecesIsRefused) {
  ReplyReader::Limits limits;
  limits.reply_bytes_max = 1000;
  ReplyReader reader(limits);
  absl::Status status = StatusOf(reader, "*100\r\n");
  for (int i = 0; i < 11 && status.ok(); ++i) {
    status = StatusOf(reader, "$100\r\n" + std::string(100, 'b') + "\r\n");
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(ReplyReaderTest, ALineThatNeverEndsIsRefusedAtTheLimit) {
  ReplyReader::Limits limits;
  limits.line_bytes_max = 100;
  ReplyReader reader(limits);
  EXPECT_TRUE(StatusOf(reader, "+" + std::string(90, 'a')).ok());
  EXPECT_EQ(StatusOf(reader, std::string(90, 'a')).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ReplyReaderTest, StaysFailedAfterNonsense) {
  ReplyReader reader;
  EXPECT_FALSE(StatusOf(reader, "HTTP/1.1 400 Bad Request\r\n\r\n").ok());
  EXPECT_FALSE(StatusOf(reader, "+OK\r\n").ok());
}

}  // namespace
}  // namespace redis
