// Frames of the CQL binary protocol, version 4.
#ifndef RINGPLANE_CQL_PROTOCOL_FRAME_H_
#define RINGPLANE_CQL_PROTOCOL_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/protocol/wire.h"

namespace cql::protocol {

inline constexpr uint8_t kVersion = 4;
inline constexpr uint8_t kResponseBit = 0x80;
inline constexpr size_t kHeaderBytes = 9;

enum class Opcode : uint8_t {
  kError = 0x00,
  kStartup = 0x01,
  kReady = 0x02,
  kAuthenticate = 0x03,
  kOptions = 0x05,
  kSupported = 0x06,
  kQuery = 0x07,
  kResult = 0x08,
  kPrepare = 0x09,
  kExecute = 0x0A,
  kRegister = 0x0B,
  kEvent = 0x0C,
  kBatch = 0x0D,
  kAuthChallenge = 0x0E,
  kAuthResponse = 0x0F,
  kAuthSuccess = 0x10,
};

// "EXECUTE"; "opcode 66" for one that is not in the protocol.
std::string OpcodeName(Opcode opcode);
bool IsRequest(Opcode opcode);
bool IsResponse(Opcode opcode);

inline constexpr uint8_t kFlagCompression = 0x01;
inline constexpr uint8_t kFlagTracing = 0x02;
inline constexpr uint8_t kFlagCustomPayload = 0x04;
inline constexpr uint8_t kFlagWarnings = 0x08;

struct FrameHeader {
  uint8_t version = kVersion;  // With kResponseBit in responses.
  uint8_t flags = 0;
  int16_t stream = 0;  // Negative: an event, or no answer to a request.
  Opcode opcode = Opcode::kError;
  uint32_t length = 0;  // Of the body.

  bool is_response() const { return (version & kResponseBit) != 0; }
};

// REQUIRES: kHeaderBytes at `bytes`.
FrameHeader DecodeHeader(const char* bytes);
void EncodeHeader(const FrameHeader& header, char* bytes);

enum class Direction { kRequests, kResponses };

// Whether a peer that sends `direction` may send this. kUnimplemented for a
// version that is not 4, kResourceExhausted past `frame_bytes_max`,
// kInvalidArgument for the rest.
absl::Status CheckHeader(const FrameHeader& header, Direction direction,
                         uint32_t frame_bytes_max);

// Starts a frame: the header is written with length 0. EndFrame() fills it in.
// Returns the mark that EndFrame() takes.
size_t BeginFrame(Writer* writer, const FrameHeader& header);
void EndFrame(Writer* writer, size_t mark);

// A whole frame. The body is a view: see FrameReader.
struct Frame {
  FrameHeader header;
  std::string_view body;
};

// Where FrameReader assembles frames that came in pieces. One that wants to
// keep such a body gives the reader memory of its own.
class FrameMemory {
 public:
  virtual ~FrameMemory() = default;
  // Memory for `bytes`, whose first `used` are those of the memory returned
  // before for the same frame (`used` is 0 at the start of a frame).
  virtual char* Resize(size_t used, size_t bytes) = 0;
};

// Cuts a stream of bytes into frames, copying only those that arrive in
// pieces, and these once.
//
//   reader.Feed(bytes);
//   while (reader.Next(&frame)) Handle(frame);
//   if (!reader.status().ok()) Close();
//
// A frame's body lies in the fed bytes or in the reader's memory, and is valid
// until the next call of Next() or Feed(). Feed() again only when Next() has
// said false.
class FrameReader {
 public:
  struct Options {
    Direction direction = Direction::kResponses;
    // Largest body. Checked before any memory is allocated for it; above
    // 1 MiB memory grows only as bytes arrive.
    uint32_t frame_bytes_max = 64 << 20;
    // Where pieces are put together; null: memory of the reader's own, given
    // back after a frame above 64 KiB. Must outlive the reader.
    FrameMemory* memory = nullptr;
  };

  explicit FrameReader(const Options& options) : options_(options) {}
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // REQUIRES: Next() returned false, or nothing was fed yet.
  void Feed(std::string_view bytes);

  // The next whole frame; false when more bytes are needed or the stream is
  // broken.
  bool Next(Frame* frame);

  // OK, or why the peer's bytes make no sense; `header()` is then the one that
  // was refused. See CheckHeader().
  const absl::Status& status() const { return status_; }
  const FrameHeader& header() const { return header_; }

  // From the next header on: a peer may send more once it is known.
  void set_frame_bytes_max(uint32_t bytes) { options_.frame_bytes_max = bytes; }

  // Bytes of a started frame that are held here.
  size_t buffered_bytes() const { return header_used_ + body_used_; }
  // A frame has begun and is not whole.
  bool mid_frame() const { return header_used_ != 0 || !input_.empty(); }
  // The last frame that Next() gave lies in the memory of the options.
  bool in_memory() const { return in_memory_; }

 private:
  bool StartFrame();
  bool ContinueFrame(Frame* frame);
  char* Resize(size_t bytes);

  Options options_;
  std::string_view input_;
  absl::Status status_;
  FrameHeader header_;
  char header_bytes_[kHeaderBytes] = {};
  size_t header_used_ = 0;
  char* body_ = nullptr;
  size_t body_used_ = 0;
  size_t body_room_ = 0;
  bool in_memory_ = false;
  std::unique_ptr<char[]> own_;
  size_t own_room_ = 0;
};

}  // namespace cql::protocol

#endif  // RINGPLANE_CQL_PROTOCOL_FRAME_H_
