#include "cql/protocol/frame.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/protocol/testing.h"

namespace cql::protocol {
namespace {

using ::testing::HasSubstr;

std::string MakeFrame(std::string_view body, int16_t stream = 7) {
  FrameHeader header;
  header.version = kVersion | kResponseBit;
  header.stream = stream;
  header.opcode = Opcode::kResult;
  return Written([&](Writer* writer) {
    const size_t mark = BeginFrame(writer, header);
    writer->Raw(body);
    EndFrame(writer, mark);
  });
}

TEST(FrameHeaderTest, HasTheBytesOfTheSpecification) {
  FrameHeader header;
  header.flags = kFlagTracing;
  header.stream = 0x1234;
  header.opcode = Opcode::kQuery;
  header.length = 0x01020304;
  char bytes[kHeaderBytes];
  EncodeHeader(header, bytes);
  EXPECT_EQ(std::string_view(bytes, kHeaderBytes),
            Bytes("04 02 1234 07 01020304"));
  const FrameHeader decoded = DecodeHeader(bytes);
  EXPECT_EQ(decoded.stream, 0x1234);
  EXPECT_EQ(decoded.opcode, Opcode::kQuery);
  EXPECT_EQ(decoded.length, 0x01020304u);
  EXPECT_FALSE(decoded.is_response());
  EXPECT_EQ(DecodeHeader(Bytes("84 00 ffff 0c 00000000").data()).stream, -1);
}

TEST(FrameHeaderTest, SaysWhatIsWrongWithIt) {
  const auto check = [](std::string_view bytes, Direction direction) {
    return CheckHeader(DecodeHeader(Bytes(bytes).data()), direction, 100);
  };
  EXPECT_TRUE(check("04 00 0000 07 00000064", Direction::kRequests).ok());
  EXPECT_EQ(check("05 00 0000 07 00000000", Direction::kRequests).message(),
            "Invalid or unsupported protocol version: 5");
  EXPECT_EQ(check("83 00 0000 08 00000000", Direction::kResponses).code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_EQ(check("84 00 0000 08 00000000", Direction::kRequests).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(check("04 00 0000 08 00000000", Direction::kRequests).message(),
            "unexpected frame: RESULT");
  EXPECT_EQ(check("84 00 0000 07 00000000", Direction::kResponses).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(check("84 00 0000 42 00000000", Direction::kResponses).message(),
            "unexpected frame: opcode 66");
  for (const char* length : {"00000065", "7fffffff", "80000000", "ffffffff"}) {
    EXPECT_EQ(
        check(std::string("84 00 0000 08 ") + length, Direction::kResponses)
            .code(),
        absl::StatusCode::kResourceExhausted);
  }
}

// However the bytes are cut, the same frames come out.
TEST(FrameReaderTest, YieldsTheSameFramesForEveryCut) {
  const std::vector<std::string> bodies = {"", "a", std::string(300, 'b'), "",
                                           "cdef"};
  std::string stream;
  for (const std::string& body : bodies) stream += MakeFrame(body);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    FrameReader reader({});
    std::vector<std::string> seen;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.Feed(std::string_view(stream).substr(at, piece));
      Frame frame;
      while (reader.Next(&frame)) {
        EXPECT_EQ(frame.header.stream, 7);
        seen.emplace_back(frame.body);
      }
    }
    ASSERT_TRUE(reader.status().ok());
    EXPECT_EQ(seen, bodies) << "in pieces of " << piece;
    EXPECT_FALSE(reader.mid_frame());
  }
}

TEST(FrameReaderTest, LendsAWholeFrameWithoutCopying) {
  const std::string stream = MakeFrame("hello");
  FrameReader reader({});
  reader.Feed(stream);
  Frame frame;
  ASSERT_TRUE(reader.Next(&frame));
  EXPECT_EQ(frame.body.data(), stream.data() + kHeaderBytes);
  EXPECT_FALSE(reader.in_memory());
}

class RecordingMemory : public FrameMemory {
 public:
  char* Resize(size_t used, size_t bytes) override {
    sizes.push_back(bytes);
    if (used == 0) memory.clear();
    memory.resize(bytes);
    return memory.data();
  }
  std::vector<size_t> sizes;
  std::string memory;
};

TEST(FrameReaderTest, AssemblesPiecesOnceInTheMemoryGiven) {
  RecordingMemory memory;
  FrameReader::Options options;
  options.memory = &memory;
  FrameReader reader(options);
  const std::string stream = MakeFrame(std::string(1000, 'x'));
  Frame frame;
  for (size_t at = 0; at < stream.size(); at += 100) {
    reader.Feed(std::string_view(stream).substr(at, 100));
    if (reader.Next(&frame)) break;
  }
  EXPECT_EQ(memory.sizes, std::vector<size_t>{1000});
  EXPECT_TRUE(reader.in_memory());
  EXPECT_EQ(frame.body.data(), memory.memory.data());
}

// A length is a promise of the peer's: memory follows what has arrived.
TEST(FrameReaderTest, AllocatesForBytesThatCameNotForThoseAnnounced) {
  RecordingMemory memory;
  FrameReader::Options options;
  options.memory = &memory;
  options.frame_bytes_max = 1u << 31;
  FrameReader reader(options);
  const std::string bytes = Bytes("84 00 0001 08 7fffffff 00");
  reader.Feed(bytes);
  Frame frame;
  EXPECT_FALSE(reader.Next(&frame));
  ASSERT_EQ(memory.sizes.size(), 1u);
  EXPECT_LE(memory.sizes[0], 1u << 20);
}

TEST(FrameReaderTest, RefusesAFrameAboveTheCapBeforeAllocating) {
  RecordingMemory memory;
  FrameReader::Options options;
  options.memory = &memory;
  options.frame_bytes_max = 1000;
  for (const size_t piece : {1, 9}) {
    FrameReader reader(options);
    const std::string header = Bytes("84 00 0001 08 000003e9");
    Frame frame;
    for (size_t at = 0; at < header.size(); at += piece) {
      reader.Feed(std::string_view(header).substr(at, piece));
      EXPECT_FALSE(reader.Next(&frame));
    }
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr("1001"));
    EXPECT_EQ(reader.header().stream, 1);
  }
  EXPECT_TRUE(memory.sizes.empty());
}

TEST(FrameReaderTest, StaysBrokenOnceBroken) {
  FrameReader reader({});
  reader.Feed("GET / HTTP/1.1\r\n");
  Frame frame;
  EXPECT_FALSE(reader.Next(&frame));
  EXPECT_FALSE(reader.status().ok());
  const std::string good = MakeFrame("x");
  reader.Feed(good);
  EXPECT_FALSE(reader.Next(&frame));
}

}  // namespace
}  // namespace cql::protocol
