#include "cql/protocol/compression.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

std::string Compressed(Compression compression, std::string_view body) {
  std::string out(CompressBound(compression, body.size()), '\0');
  out.resize(Compress(compression, body, out));
  return out;
}

class CompressionTest : public ::testing::TestWithParam<Compression> {};

TEST_P(CompressionTest, RestoresWhatItCompressed) {
  std::string noise;
  for (uint32_t i = 0, x = 1; i < 70000; ++i, x = x * 1664525 + 1013904223) {
    noise += static_cast<char>(x >> 24);
  }
  for (const std::string& body :
       {std::string(), std::string("a"), std::string(100000, 'z'), noise}) {
    const std::string compressed = Compressed(GetParam(), body);
    absl::StatusOr<size_t> size =
        DecompressedSize(GetParam(), compressed, 1 << 20);
    ASSERT_TRUE(size.ok()) << size.status();
    ASSERT_EQ(*size, body.size());
    std::string restored(*size, '\0');
    ASSERT_TRUE(Decompress(GetParam(), compressed, restored).ok());
    EXPECT_EQ(restored, body);
  }
}

TEST_P(CompressionTest, RefusesBombsBeforeMemoryIsTaken) {
  const std::string bomb = Compressed(GetParam(), std::string(1 << 20, 0));
  EXPECT_EQ(DecompressedSize(GetParam(), bomb, (1 << 20) - 1).status().code(),
            absl::StatusCode::kResourceExhausted);
  // Two gigabytes out of a hundred bytes.
  std::string lie = Bytes("7fffffff") + std::string(100, 'x');
  if (GetParam() == Compression::kSnappy) {
    lie = Bytes("ffffffff07") + std::string(100, 'x');
  }
  EXPECT_EQ(DecompressedSize(GetParam(), lie, 1u << 31).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(CompressionTest, NoticesEveryTruncation) {
  const std::string body = "some text, some text, some text, and some more";
  const std::string compressed = Compressed(GetParam(), body);
  for (size_t size = 0; size < compressed.size(); ++size) {
    const std::string_view cut = std::string_view(compressed).substr(0, size);
    absl::StatusOr<size_t> room = DecompressedSize(GetParam(), cut, 1 << 20);
    if (!room.ok()) continue;
    std::string out(*room, '\0');
    EXPECT_FALSE(Decompress(GetParam(), cut, out).ok()) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Both, CompressionTest,
                         ::testing::Values(Compression::kLz4,
                                           Compression::kSnappy));

TEST(CompressionTest, HasTheLengthOfLz4InFrontInNetworkOrder) {
  EXPECT_EQ(Compressed(Compression::kLz4, "abc"), Bytes("00000003 30 'abc'"));
}

TEST(CompressionTest, IsRefusedWhereNoneWasNegotiated) {
  EXPECT_FALSE(DecompressedSize(Compression::kNone, "abc", 100).ok());
}

TEST(CompressionTest, HasNames) {
  EXPECT_EQ(ParseCompression("lz4"), Compression::kLz4);
  EXPECT_EQ(ParseCompression("snappy"), Compression::kSnappy);
  EXPECT_EQ(ParseCompression("zstd"), std::nullopt);
  EXPECT_EQ(CompressionName(Compression::kSnappy), "snappy");
}

}  // namespace
}  // namespace cql::protocol
