// gzip, JSON and the words of status codes.
#include <string>

#include "gtest/gtest.h"
#include "service/rpc/compression.h"
#include "service/rpc/json.h"
#include "service/rpc/status_codes.h"
#include "service/rpc/utf8.h"
#include "tests/service/rpc/test.pb.h"

namespace rpc {
namespace {

using ringplane::test::EchoRequest;

TEST(GzipTest, ComesBackAsItWent) {
  Gzip gzip;
  for (size_t size : {0u, 1u, 1000u, 100'000u, 3'000'000u}) {
    std::string plain(size, 'x');
    for (size_t i = 0; i < size; i += 7) plain[i] = static_cast<char>(i * 31);
    std::string packed = "before";
    ASSERT_TRUE(gzip.Compress(plain, &packed).ok());
    std::string out = "kept";
    ASSERT_TRUE(
        gzip.Decompress(std::string_view(packed).substr(6), size, &out).ok());
    EXPECT_EQ(out, "kept" + plain);
  }
}

TEST(GzipTest, ABombStopsAtTheLimit) {
  Gzip gzip;
  std::string packed;
  ASSERT_TRUE(gzip.Compress(std::string(64 << 20, '\0'), &packed).ok());
  ASSERT_LT(packed.size(), 400'000u);
  std::string out;
  absl::Status status = gzip.Decompress(packed, 4 << 20, &out);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(out.empty());
  EXPECT_LE(out.capacity(), size_t{9} << 20);
  // The context is as good as new.
  packed.clear();
  ASSERT_TRUE(gzip.Compress("hello", &packed).ok());
  EXPECT_TRUE(gzip.Decompress(packed, 5, &out).ok());
  out.clear();
  EXPECT_EQ(gzip.Decompress(packed, 4, &out).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(GzipTest, RefusesWhatIsNotOneWholeStream) {
  Gzip gzip;
  std::string packed;
  ASSERT_TRUE(gzip.Compress("hello hello hello", &packed).ok());
  std::string out;
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_EQ(gzip.Decompress(packed.substr(0, size), 100, &out).code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
  EXPECT_FALSE(gzip.Decompress(packed + "x", 100, &out).ok());
  EXPECT_FALSE(gzip.Decompress("not gzip at all", 100, &out).ok());
  std::string corrupt = packed;
  corrupt[corrupt.size() - 6] ^= 1;  // in the checksum
  EXPECT_FALSE(gzip.Decompress(corrupt, 100, &out).ok());
  EXPECT_TRUE(out.empty());
}

TEST(JsonTest, DepthIsCountedOutsideOfStrings) {
  EXPECT_TRUE(CheckJsonDepth("[[[]]]", 3).ok());
  EXPECT_FALSE(CheckJsonDepth("[[[[]]]]", 3).ok());
  EXPECT_TRUE(CheckJsonDepth("[\"[[[[[[\",'{{{{','\\'[[[[']", 1).ok());
  EXPECT_TRUE(CheckJsonDepth("[\"\\\"[[[[\"]", 1).ok());
  EXPECT_TRUE(CheckJsonDepth("[][][][]{}{}{}", 1).ok());
  EXPECT_TRUE(CheckJsonDepth("]]]]}}}}[", 1).ok());
  EXPECT_TRUE(CheckJsonDepth("\"unterminated", 1).ok());
  EXPECT_TRUE(CheckJsonDepth("\"\\", 1).ok());
}

// protobuf's own parser takes minutes for these.
TEST(JsonTest, DepthBombsNeverReachTheParser) {
  EchoRequest request;
  for (std::string bomb :
       {std::string(1 << 20, '['), std::string(1 << 20, '{'),
        "{\"value\":" + std::string(200'000, '['),
        "{\"value\":" + std::string(101, '[') + std::string(101, ']') + "}"}) {
    absl::Status status = ParseJson(bomb, &request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  }
  std::string deep =
      "{\"value\":" + std::string(40, '[') + std::string(40, ']') + "}";
  EXPECT_TRUE(ParseJson(deep, &request).ok());
}

TEST(JsonTest, ReadsAndWritesTheCanonicalForm) {
  EchoRequest request;
  ASSERT_TRUE(ParseJson("{\"text\":\"a\\u00e9\",\"keys\":[\"1\",\"2\"],"
                        "\"sentAt\":\"2026-11-23T10:00:00.5Z\","
                        "\"big_number\":\"9007199254740993\",\"raw\":\"AQI=\","
                        "\"unknown\":{\"x\":[1]}}",
                        &request)
                  .ok());
  EXPECT_EQ(request.text(), "a\xc3\xa9");
  EXPECT_EQ(request.keys_size(), 2);
  EXPECT_EQ(request.sent_at().nanos(), 500'000'000);
  EXPECT_EQ(request.big_number(), 9007199254740993);
  std::string out = ">";
  ASSERT_TRUE(AppendJson(request, &out).ok());
  EXPECT_EQ(out,
            ">{\"text\":\"a\xc3\xa9\",\"keys\":[\"1\",\"2\"],"
            "\"sentAt\":\"2026-11-23T10:00:00.500Z\","
            "\"bigNumber\":\"9007199254740993\",\"raw\":\"AQI=\"}");
}

TEST(JsonTest, SaysWhatIsWrong) {
  EchoRequest request;
  for (std::string_view bad :
       {"", "{", "[]", "{\"text\":1}", "{\"text\":\"\xff\"}", "nonsense",
        "{\"text\":\"a\"} trailing"}) {
    absl::Status status = ParseJson(bad, &request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(status.message().empty());
  }
}

TEST(StatusCodesTest, SpeaksEveryProtocolsWords) {
  EXPECT_EQ(CodeName(absl::StatusCode::kCancelled), "canceled");
  EXPECT_EQ(CodeName(absl::StatusCode::kInvalidArgument), "invalid_argument");
  EXPECT_EQ(GrpcCode(absl::StatusCode::kUnauthenticated), 16);
  EXPECT_EQ(GrpcCode(static_cast<absl::StatusCode>(99)), 2);
  EXPECT_EQ(ConnectHttpStatus(absl::StatusCode::kUnimplemented), 501);
  EXPECT_EQ(ConnectHttpStatus(absl::StatusCode::kDeadlineExceeded), 504);
  std::string out;
  AppendPercentEncoded("50% of \xc3\xa9\r\n~", &out);
  EXPECT_EQ(out, "50%25 of %C3%A9%0D%0A~");
  out.clear();
  AppendJsonString("a\"\\\n\x7f\xc3\xa9\xff", &out);
  EXPECT_EQ(out, "\"a\\\"\\\\\\u000a\\u007f\xc3\xa9\xef\xbf\xbd\"");
}

TEST(Utf8Test, OnlyShortestFormsWithoutSurrogates) {
  for (std::string_view good : {"", "ascii", "\xc3\xa9", "\xe2\x82\xac",
                                "\xf0\x9f\x90\x88", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (std::string_view bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3",
        "\xe2\x82", "\xf0\x9f\x90", "\xff"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace rpc
