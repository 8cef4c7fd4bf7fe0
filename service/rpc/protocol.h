// gRPC, gRPC-Web and Connect (unary) as functions between HTTP messages and
// protobuf messages: no I/O.
#ifndef RINGPLANE_SERVICE_RPC_PROTOCOL_H_
#define RINGPLANE_SERVICE_RPC_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "service/http/message.h"
#include "service/rpc/compression.h"

namespace rpc {

enum class Protocol : uint8_t {
  kNone,  // no RPC
  kConnect,
  kGrpc,
  kGrpcWeb,
  kGrpcWebText,  // gRPC-Web in base64
};

enum class Codec : uint8_t { kProto, kJson };

// What the head of a request says about a call.
struct CallHead {
  Protocol protocol = Protocol::kNone;
  Codec codec = Codec::kProto;
  bool named_codec = false;       // "application/grpc+proto", not ".../grpc"
  bool gzip_request = false;      // messages may be, Connect's body is
  bool gzip_response = false;     // the client takes gzip
  bool unknown_encoding = false;  // say which ones there are
  // What the client allows; infinite if it did not say.
  absl::Duration timeout = absl::InfiniteDuration();
};

// kNone for what is no RPC by its content type.
Protocol ProtocolOf(std::string_view content_type, Codec* codec,
                    bool* named_codec);

// Reads `request`'s head. With head->protocol == kNone the request is no RPC;
// otherwise an error is the call's answer: kInvalidArgument (a bad timeout or
// version), kUnimplemented (an encoding).
absl::Status ParseCallHead(const http::Request& request, CallHead* head);

struct CodecOptions {
  size_t message_in_bytes_max = 4 << 20;
  size_t message_out_bytes_max = 64 << 20;
  size_t compress_bytes_min = 1024;
};

// Messages to bytes and back, with the memory that takes. One per loop.
class MessageCodec {
 public:
  explicit MessageCodec(const CodecOptions& options);

  // Fills `message` from a request's body. kResourceExhausted past the limit,
  // kUnimplemented for no message or two where a unary call has one,
  // kInvalidArgument for what is malformed.
  absl::Status Decode(const CallHead& head, std::string_view body,
                      google::protobuf::Message* message);

  // Fills `response` (cleared) with the answer to a call: `message` if `status`
  // is OK, the error otherwise. Returns the status that went out: a message
  // past the limit turns into kResourceExhausted.
  absl::Status Encode(const CallHead& head, const absl::Status& status,
                      const google::protobuf::Message* message,
                      http::Response* response);

 private:
  absl::Status DecodeMessage(Codec codec, std::string_view bytes,
                             google::protobuf::Message* message);
  absl::Status DecodeEnvelope(const CallHead& head, std::string_view body,
                              google::protobuf::Message* message);
  absl::Status EncodeMessage(const CallHead& head,
                             const google::protobuf::Message& message,
                             size_t prefix_bytes, bool* compressed,
                             std::string* out);
  void EncodeError(const CallHead& head, const absl::Status& status,
                   http::Response* response);

  const CodecOptions options_;
  Gzip gzip_;
  std::string scratch_;
};

// The `content-type` of answers to such a call.
std::string_view ResponseContentType(const CallHead& head);

}  // namespace rpc

#endif  // RINGPLANE_SERVICE_RPC_PROTOCOL_H_
