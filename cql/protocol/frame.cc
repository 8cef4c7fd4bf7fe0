#include "cql/protocol/frame.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"

namespace cql::protocol {
namespace {

constexpr size_t kGrowAbove = 1 << 20;
constexpr size_t kKeptBytes = 64 << 10;

// What almost every answer is.
bool IsResult(const FrameHeader& header) {
  return header.version == (kVersion | kResponseBit) &&
         header.opcode == Opcode::kResult;
}

}  // namespace

std::string OpcodeName(Opcode opcode) {
  switch (opcode) {
    case Opcode::kError:
      return "ERROR";
    case Opcode::kStartup:
      return "STARTUP";
    case Opcode::kReady:
      return "READY";
    case Opcode::kAuthenticate:
      return "AUTHENTICATE";
    case Opcode::kOptions:
      return "OPTIONS";
    case Opcode::kSupported:
      return "SUPPORTED";
    case Opcode::kQuery:
      return "QUERY";
    case Opcode::kResult:
      return "RESULT";
    case Opcode::kPrepare:
      return "PREPARE";
    case Opcode::kExecute:
      return "EXECUTE";
    case Opcode::kRegister:
      return "REGISTER";
    case Opcode::kEvent:
      return "EVENT";
    case Opcode::kBatch:
      return "BATCH";
    case Opcode::kAuthChallenge:
      return "AUTH_CHALLENGE";
    case Opcode::kAuthResponse:
      return "AUTH_RESPONSE";
    case Opcode::kAuthSuccess:
      return "AUTH_SUCCESS";
  }
  return absl::StrCat("opcode ", static_cast<int>(opcode));
}

bool IsRequest(Opcode opcode) {
  switch (opcode) {
    case Opcode::kStartup:
    case Opcode::kOptions:
    case Opcode::kQuery:
    case Opcode::kPrepare:
    case Opcode::kExecute:
    case Opcode::kRegister:
    case Opcode::kBatch:
    case Opcode::kAuthResponse:
      return true;
    default:
      return false;
  }
}

bool IsResponse(Opcode opcode) {
  switch (opcode) {
    case Opcode::kError:
    case Opcode::kReady:
    case Opcode::kAuthenticate:
    case Opcode::kSupported:
    case Opcode::kResult:
    case Opcode::kEvent:
    case Opcode::kAuthChallenge:
    case Opcode::kAuthSuccess:
      return true;
    default:
      return false;
  }
}

FrameHeader DecodeHeader(const char* bytes) {
  FrameHeader header;
  header.version = static_cast<uint8_t>(bytes[0]);
  header.flags = static_cast<uint8_t>(bytes[1]);
  header.stream = static_cast<int16_t>(LoadBig16(bytes + 2));
  header.opcode = static_cast<Opcode>(bytes[4]);
  header.length = LoadBig32(bytes + 5);
  return header;
}

void EncodeHeader(const FrameHeader& header, char* bytes) {
  bytes[0] = static_cast<char>(header.version);
  bytes[1] = static_cast<char>(header.flags);
  StoreBig16(bytes + 2, static_cast<uint16_t>(header.stream));
  bytes[4] = static_cast<char>(header.opcode);
  StoreBig32(bytes + 5, header.length);
}

absl::Status CheckHeader(const FrameHeader& header, Direction direction,
                         uint32_t frame_bytes_max) {
  const bool responses = direction == Direction::kResponses;
  if ((header.version & ~kResponseBit) != kVersion) {
    return absl::UnimplementedError(
        absl::StrCat("Invalid or unsupported protocol version: ",
                     header.version & ~kResponseBit));
  }
  if (header.is_response() != responses) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a ", responses ? "request" : "response", " frame where only ",
        responses ? "responses" : "requests", " are expected"));
  }
  if (responses ? !IsResponse(header.opcode) : !IsRequest(header.opcode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected frame: ", OpcodeName(header.opcode)));
  }
  if (header.length > frame_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame of ", header.length, " bytes is above the limit ",
                     "of ", frame_bytes_max));
  }
  return absl::OkStatus();
}

size_t BeginFrame(Writer* writer, const FrameHeader& header) {
  const size_t mark = writer->size();
  FrameHeader empty = header;
  empty.length = 0;
  if (char* p = writer->Extend(kHeaderBytes)) EncodeHeader(empty, p);
  return mark;
}

void EndFrame(Writer* writer, size_t mark) {
  // The length is the last field of the header.
  writer->FillLength(mark + kHeaderBytes - 4);
}

void FrameReader::Feed(std::string_view bytes) {
  RINGPLANE_CHECK(input_.empty() || !status_.ok(),
                  "FrameReader was fed before it was drained");
  input_ = bytes;
}

bool FrameReader::Next(Frame* frame) {
  if (!status_.ok()) return false;
  if (own_room_ > kKeptBytes && header_used_ == 0) {
    own_.reset();
    own_room_ = 0;
  }
  if (header_used_ == 0 && input_.size() >= kHeaderBytes) {
    // The usual case: the whole frame lies in what was fed.
    header_ = DecodeHeader(input_.data());
    if (!IsResult(header_) || options_.direction != Direction::kResponses ||
        header_.length > options_.frame_bytes_max) {
      status_ =
          CheckHeader(header_, options_.direction, options_.frame_bytes_max);
      if (!status_.ok()) return false;
    }
    if (input_.size() - kHeaderBytes >= header_.length) {
      frame->header = header_;
      frame->body = input_.substr(kHeaderBytes, header_.length);
      input_.remove_prefix(kHeaderBytes + header_.length);
      in_memory_ = false;
      return true;
    }
  }
  if (!StartFrame()) return false;
  return ContinueFrame(frame);
}

// Collects the header of a frame that comes in pieces. True when it is whole.
bool FrameReader::StartFrame() {
  if (header_used_ == kHeaderBytes) return true;
  const size_t taken = std::min(kHeaderBytes - header_used_, input_.size());
  if (taken != 0)
    std::memcpy(header_bytes_ + header_used_, input_.data(), taken);
  header_used_ += taken;
  input_.remove_prefix(taken);
  if (header_used_ < kHeaderBytes) return false;
  header_ = DecodeHeader(header_bytes_);
  status_ = CheckHeader(header_, options_.direction, options_.frame_bytes_max);
  body_used_ = 0;
  body_room_ = 0;
  body_ = nullptr;
  return status_.ok();
}

bool FrameReader::ContinueFrame(Frame* frame) {
  const size_t taken = std::min(header_.length - body_used_, input_.size());
  if (body_used_ + taken > body_room_ || body_ == nullptr) {
    // A length is a promise: above a size that does not hurt, memory follows
    // the bytes that came.
    const size_t wanted =
        std::max({body_used_ + taken, 2 * body_room_, kGrowAbove});
    body_room_ = std::min<size_t>(wanted, header_.length);
    body_ = Resize(body_room_);
  }
  if (taken != 0) std::memcpy(body_ + body_used_, input_.data(), taken);
  body_used_ += taken;
  input_.remove_prefix(taken);
  if (body_used_ < header_.length) return false;
  frame->header = header_;
  frame->body = std::string_view(body_, body_used_);
  header_used_ = 0;
  body_used_ = 0;
  in_memory_ = true;
  return true;
}

char* FrameReader::Resize(size_t bytes) {
  if (options_.memory != nullptr) {
    return options_.memory->Resize(body_used_, bytes);
  }
  if (own_room_ >= bytes) return own_.get();
  std::unique_ptr<char[]> grown(new char[bytes]);
  if (body_used_ != 0) std::memcpy(grown.get(), own_.get(), body_used_);
  own_ = std::move(grown);
  own_room_ = bytes;
  return own_.get();
}

}  // namespace cql::protocol
