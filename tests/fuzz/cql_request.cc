// Any bytes as the body of a CQL request: a value or a reason, never a fault.
// The frame's header is built around the body. Input: opcode, flags, piece
// size, options; body.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cql/protocol/frame.h"
#include "cql/protocol/request.h"
#include "cql/protocol/token.h"
#include "ioloop/check.h"

namespace {

using namespace cql::protocol;  // NOLINT

void Decode(const Frame& frame, bool metadata_id) {
  // Kept: what one request leaves behind must not reach the next.
  static StartupRequest startup;
  static QueryRequest query;
  static ExecuteRequest execute;
  static BatchRequest batch;
  static std::vector<std::string_view> events;

  std::string_view body = frame.body;
  if (!SkipRequestPayload(frame.header, &body).ok()) return;
  switch (frame.header.opcode) {
    case Opcode::kStartup:
      if (DecodeStartup(body, &startup).ok()) {
        static_cast<void>(startup.Find("COMPRESSION"));
      }
      break;
    case Opcode::kAuthResponse: {
      absl::StatusOr<std::string_view> token = DecodeAuthResponse(body);
      if (token.ok()) static_cast<void>(ParsePlainToken(*token));
      break;
    }
    case Opcode::kQuery:
      if (DecodeQuery(body, &query).ok()) {
        RINGPLANE_CHECK(query.bound.names.empty() ||
                        query.bound.names.size() == query.bound.values.size());
      }
      break;
    case Opcode::kPrepare:
      static_cast<void>(DecodePrepare(body));
      break;
    case Opcode::kExecute:
      static_cast<void>(DecodeExecute(body, metadata_id, &execute));
      break;
    case Opcode::kBatch:
      if (DecodeBatch(body, &batch).ok()) {
        for (const BatchRequestEntry& entry : batch.entries) {
          RINGPLANE_CHECK(uint64_t{entry.first_value} + entry.value_count <=
                          batch.values.size());
        }
      }
      break;
    case Opcode::kRegister:
      static_cast<void>(DecodeRegister(body, &events));
      break;
    default:
      break;
  }
  const uint16_t indexes[] = {0, 2, 1};
  static_cast<void>(cql::TokenOfValues(body, indexes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 4,
                              size - 4);
  FrameHeader header;
  header.opcode = static_cast<Opcode>(data[0]);
  header.flags = data[1];
  header.length = static_cast<uint32_t>(body.size());
  std::string stream(kHeaderBytes, '\0');
  EncodeHeader(header, stream.data());
  stream += body;

  FrameReader::Options options;
  options.direction = Direction::kRequests;
  options.frame_bytes_max = 1 << 20;
  FrameReader reader(options);
  const size_t piece = data[2] == 0 ? stream.size() : size_t{data[2]};
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.Feed(std::string_view(stream).substr(at, piece));
    Frame frame;
    while (reader.Next(&frame)) Decode(frame, (data[3] & 1) != 0);
  }
  return 0;
}
