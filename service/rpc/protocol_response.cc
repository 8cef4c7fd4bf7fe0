// The answers of rpc::MessageCodec.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/http/text.h"
#include "service/rpc/json.h"
#include "service/rpc/protocol.h"
#include "service/rpc/status_codes.h"

namespace rpc {
namespace {

constexpr size_t kPrefixBytes = 5;
constexpr uint8_t kCompressed = 0x01;
constexpr uint8_t kTrailers = 0x80;
// A handler's message may quote a request; a client's header limit may be 8
// KiB.
constexpr size_t kErrorBytesMax = 2048;
constexpr std::string_view kEncodings = "gzip,identity";

void StorePrefix(uint8_t flags, size_t length, char* out) {
  out[0] = static_cast<char>(flags);
  for (int i = 0; i < 4; ++i) {
    out[1 + i] = static_cast<char>(length >> (24 - 8 * i));
  }
}

std::string_view ErrorMessage(const absl::Status& status) {
  return http::ToStd(status.message()).substr(0, kErrorBytesMax);
}

// "0" to "16".
std::string_view GrpcStatusText(absl::StatusCode code) {
  static constexpr std::string_view kText[] = {
      "0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
      "9", "10", "11", "12", "13", "14", "15", "16"};
  return kText[GrpcCode(code)];
}

// gRPC-Web's trailers: a last frame of the body.
void AppendTrailersFrame(const absl::Status& status, std::string* body) {
  std::string text =
      http::Cat("grpc-status: ", GrpcStatusText(status.code()), "\r\n");
  if (!status.ok() && !status.message().empty()) {
    text.append("grpc-message: ");
    AppendPercentEncoded(ErrorMessage(status), &text);
    text.append("\r\n");
  }
  char prefix[kPrefixBytes];
  StorePrefix(kTrailers, text.size(), prefix);
  body->append(prefix, kPrefixBytes);
  body->append(text);
}

void ToBase64(std::string* body) {
  std::string text;
  absl::Base64Escape(*body, &text);
  body->swap(text);
}

}  // namespace

std::string_view ResponseContentType(const CallHead& head) {
  const bool json = head.codec == Codec::kJson;
  switch (head.protocol) {
    case Protocol::kConnect:
      return json ? "application/json" : "application/proto";
    case Protocol::kGrpc:
      if (!head.named_codec) return "application/grpc";
      return json ? "application/grpc+json" : "application/grpc+proto";
    case Protocol::kGrpcWeb:
      if (!head.named_codec) return "application/grpc-web";
      return json ? "application/grpc-web+json" : "application/grpc-web+proto";
    case Protocol::kGrpcWebText:
      if (!head.named_codec) return "application/grpc-web-text";
      return json ? "application/grpc-web-text+json"
                  : "application/grpc-web-text+proto";
    case Protocol::kNone:
      break;
  }
  return "text/plain";
}

// Leaves `prefix_bytes` free in front of the message.
absl::Status MessageCodec::EncodeMessage(
    const CallHead& head, const google::protobuf::Message& message,
    size_t prefix_bytes, bool* compressed, std::string* out) {
  out->assign(prefix_bytes, '\0');
  if (head.codec == Codec::kJson) {
    absl::Status status = AppendJson(message, out);
    if (!status.ok()) return status;
  } else if (!message.AppendToString(out)) {
    return absl::InternalError("the response cannot be encoded");
  }
  size_t bytes = out->size() - prefix_bytes;
  if (bytes > options_.message_out_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the response's message has ", bytes, " bytes, at most ",
                     options_.message_out_bytes_max, " are allowed"));
  }
  *compressed = false;
  if (!head.gzip_response || bytes < options_.compress_bytes_min) {
    return absl::OkStatus();
  }
  scratch_.assign(prefix_bytes, '\0');
  absl::Status status =
      gzip_.Compress(std::string_view(*out).substr(prefix_bytes), &scratch_);
  if (status.ok()) {
    out->assign(scratch_);
    *compressed = true;
  }
  if (scratch_.capacity() > (1 << 20)) std::string().swap(scratch_);
  return absl::OkStatus();
}

absl::Status MessageCodec::Encode(const CallHead& head,
                                  const absl::Status& status,
                                  const google::protobuf::Message* message,
                                  http::Response* response) {
  if (!status.ok() || message == nullptr) {
    EncodeError(head, status, response);
    return status;
  }
  const bool connect = head.protocol == Protocol::kConnect;
  bool compressed = false;
  absl::Status encoded = EncodeMessage(
      head, *message, connect ? 0 : kPrefixBytes, &compressed, &response->body);
  if (!encoded.ok()) {
    response->Clear();
    EncodeError(head, encoded, response);
    return encoded;
  }
  response->status = 200;
  response->headers.Add("content-type", ResponseContentType(head));
  if (connect) {
    if (compressed) response->headers.Add("content-encoding", "gzip");
    return status;
  }
  if (compressed) response->headers.Add("grpc-encoding", "gzip");
  StorePrefix(compressed ? kCompressed : 0,
              response->body.size() - kPrefixBytes, response->body.data());
  if (head.protocol == Protocol::kGrpc) {
    response->trailers.Add("grpc-status", "0");
    response->has_trailers = true;
    return status;
  }
  AppendTrailersFrame(status, &response->body);
  if (head.protocol == Protocol::kGrpcWebText) ToBase64(&response->body);
  return status;
}

void MessageCodec::EncodeError(const CallHead& head, const absl::Status& status,
                               http::Response* response) {
  if (head.protocol == Protocol::kConnect) {
    response->status = ConnectHttpStatus(status.code());
    response->headers.Add("content-type", "application/json");
    if (head.unknown_encoding) {
      response->headers.Add("accept-encoding", kEncodings);
    }
    response->body.append("{\"code\":\"");
    response->body.append(CodeName(status.code()));
    response->body.push_back('"');
    if (!status.message().empty()) {
      response->body.append(",\"message\":");
      AppendJsonString(ErrorMessage(status), &response->body);
    }
    response->body.push_back('}');
    return;
  }
  response->status = 200;
  response->headers.Add("content-type", ResponseContentType(head));
  if (head.unknown_encoding) {
    response->headers.Add("grpc-accept-encoding", kEncodings);
  }
  if (head.protocol == Protocol::kGrpc) {
    // Trailers-only: the head is all there is.
    response->headers.Add("grpc-status", GrpcStatusText(status.code()));
    if (!status.message().empty()) {
      std::string text;
      AppendPercentEncoded(ErrorMessage(status), &text);
      response->headers.Add("grpc-message", text);
    }
    return;
  }
  AppendTrailersFrame(status, &response->body);
  if (head.protocol == Protocol::kGrpcWebText) ToBase64(&response->body);
}

}  // namespace rpc
