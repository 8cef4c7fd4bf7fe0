#include "service/rpc/protocol.h"

#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/stubs/logging.h"
#include "service/http/text.h"
#include "service/rpc/json.h"
#include "service/rpc/timeout.h"

namespace rpc {
namespace {

constexpr size_t kPrefixBytes = 5;
constexpr size_t kShown = 60;  // of a foreign value, in an error

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(http::ToAbsl(a), http::ToAbsl(b));
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

// Whether a list of encodings, "br, gzip;q=0.8", has gzip and wants it.
bool AcceptsGzip(std::string_view list) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
    size_t semicolon = item.find(';');
    if (!EqualsIgnoringCase(Trim(item.substr(0, semicolon)), "gzip")) continue;
    if (semicolon == item.npos) return true;
    std::string_view weight = Trim(item.substr(semicolon + 1));
    if (weight.substr(0, 2) != "q=") return true;
    // q=0, q=0.0, ... mean "not this one".
    return weight.substr(2).find_first_of("123456789") != weight.npos;
  }
  return false;
}

absl::Status TooLarge(size_t bytes, size_t max) {
  return absl::ResourceExhaustedError(absl::StrCat("the request's message has ",
                                                   bytes, " bytes, at most ",
                                                   max, " are allowed"));
}

uint32_t LoadBigEndian32(std::string_view bytes) {
  auto byte = [bytes](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
  };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

}  // namespace

Protocol ProtocolOf(std::string_view content_type, Codec* codec,
                    bool* named_codec) {
  std::string_view type = Trim(content_type.substr(0, content_type.find(';')));
  *codec = Codec::kProto;
  *named_codec = false;
  constexpr std::string_view kApplication = "application/";
  if (!EqualsIgnoringCase(type.substr(0, kApplication.size()), kApplication)) {
    return Protocol::kNone;
  }
  type.remove_prefix(kApplication.size());
  if (EqualsIgnoringCase(type, "proto")) return Protocol::kConnect;
  if (EqualsIgnoringCase(type, "json")) {
    *codec = Codec::kJson;
    return Protocol::kConnect;
  }
  std::string_view name = type.substr(0, type.find('+'));
  Protocol protocol;
  if (EqualsIgnoringCase(name, "grpc")) {
    protocol = Protocol::kGrpc;
  } else if (EqualsIgnoringCase(name, "grpc-web")) {
    protocol = Protocol::kGrpcWeb;
  } else if (EqualsIgnoringCase(name, "grpc-web-text")) {
    protocol = Protocol::kGrpcWebText;
  } else {
    return Protocol::kNone;
  }
  if (name.size() == type.size()) return protocol;
  *named_codec = true;
  std::string_view suffix = type.substr(name.size() + 1);
  if (EqualsIgnoringCase(suffix, "proto")) return protocol;
  if (EqualsIgnoringCase(suffix, "json")) {
    *codec = Codec::kJson;
    return protocol;
  }
  return Protocol::kNone;
}

absl::Status ParseCallHead(const http::Request& request, CallHead* head) {
  *head = CallHead();
  head->protocol = ProtocolOf(request.headers.Find("content-type"),
                              &head->codec, &head->named_codec);
  if (head->protocol == Protocol::kNone) return absl::OkStatus();
  const bool connect = head->protocol == Protocol::kConnect;

  // One pass: a call has a handful of fields, most of them none of ours.
  std::string_view timeout, encoding, accept, version;
  bool has_timeout = false;
  for (size_t i = 0; i < request.headers.size(); ++i) {
    http::Header field = request.headers[i];
    if (connect) {
      if (field.name == "connect-timeout-ms") {
        timeout = field.value;
        has_timeout = true;
      } else if (field.name == "content-encoding") {
        encoding = field.value;
      } else if (field.name == "accept-encoding") {
        accept = field.value;
      } else if (field.name == "connect-protocol-version") {
        version = field.value;
      }
    } else if (field.name.substr(0, 5) == "grpc-") {
      std::string_view name = field.name.substr(5);
      if (name == "timeout") {
        timeout = field.value;
        has_timeout = true;
      } else if (name == "encoding") {
        encoding = field.value;
      } else if (name == "accept-encoding") {
        accept = field.value;
      }
    }
  }

  head->gzip_response = AcceptsGzip(accept);
  if (EqualsIgnoringCase(encoding, "gzip")) {
    head->gzip_request = true;
  } else if (!encoding.empty() && !EqualsIgnoringCase(encoding, "identity")) {
    head->unknown_encoding = true;
    return absl::UnimplementedError(
        http::Cat("compression '", encoding.substr(0, kShown),
                  "' is not supported; gzip and identity are"));
  }
  if (!version.empty() && version != "1") {
    return absl::InvalidArgumentError(http::Cat("Connect-Protocol-Version is '",
                                                version.substr(0, kShown),
                                                "', not '1'"));
  }
  if (has_timeout) {
    absl::StatusOr<absl::Duration> parsed =
        connect ? ParseConnectTimeout(timeout) : ParseGrpcTimeout(timeout);
    if (!parsed.ok()) return parsed.status();
    head->timeout = *parsed;
  }
  return absl::OkStatus();
}

MessageCodec::MessageCodec(const CodecOptions& options) : options_(options) {
  // protobuf writes a line to standard error for each string of a peer that is
  // no UTF-8; the peer gets an error, and that is enough.
  static const bool quiet = [] {
    google::protobuf::SetLogHandler(nullptr);
    return true;
  }();
  static_cast<void>(quiet);
}

absl::Status MessageCodec::DecodeMessage(Codec codec, std::string_view bytes,
                                         google::protobuf::Message* message) {
  if (bytes.size() > options_.message_in_bytes_max) {
    return TooLarge(bytes.size(), options_.message_in_bytes_max);
  }
  if (codec == Codec::kJson) return ParseJson(bytes, message);
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the request is no ", message->GetDescriptor()->full_name()));
}

absl::Status MessageCodec::DecodeEnvelope(const CallHead& head,
                                          std::string_view body,
                                          google::protobuf::Message* message) {
  if (body.empty()) {
    return absl::UnimplementedError("a unary call needs one message, not none");
  }
  if (body.size() < kPrefixBytes) {
    return absl::InvalidArgumentError(
        "the request ends within a message's prefix");
  }
  uint8_t flags = static_cast<uint8_t>(body[0]);
  size_t length = LoadBigEndian32(body.substr(1));
  body.remove_prefix(kPrefixBytes);
  if (flags > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message has flags ", flags, ", not 0 or 1"));
  }
  if (length > options_.message_in_bytes_max) {
    return TooLarge(length, options_.message_in_bytes_max);
  }
  if (length > body.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request ends ", length - body.size(),
                     " bytes before its message does"));
  }
  if (length < body.size()) {
    return absl::UnimplementedError(
        "a unary call needs one message; more bytes follow it");
  }
  if (flags == 0) return DecodeMessage(head.codec, body, message);
  if (!head.gzip_request) {
    return absl::InternalError(
        "a message is marked compressed, but no grpc-encoding was named");
  }
  std::string plain;
  absl::Status status =
      gzip_.Decompress(body, options_.message_in_bytes_max, &plain);
  if (!status.ok()) return status;
  return DecodeMessage(head.codec, plain, message);
}

absl::Status MessageCodec::Decode(const CallHead& head, std::string_view body,
                                  google::protobuf::Message* message) {
  switch (head.protocol) {
    case Protocol::kConnect: {
      if (!head.gzip_request || body.empty()) {
        return DecodeMessage(head.codec, body, message);
      }
      std::string plain;
      absl::Status status =
          gzip_.Decompress(body, options_.message_in_bytes_max, &plain);
      if (!status.ok()) return status;
      return DecodeMessage(head.codec, plain, message);
    }
    case Protocol::kGrpc:
    case Protocol::kGrpcWeb:
      return DecodeEnvelope(head, body, message);
    case Protocol::kGrpcWebText: {
      std::string binary;
      if (!absl::Base64Unescape(http::ToAbsl(body), &binary)) {
        return absl::InvalidArgumentError("the request is not base64");
      }
      return DecodeEnvelope(head, binary, message);
    }
    case Protocol::kNone:
      break;
  }
  return absl::InternalError("no RPC");
}

}  // namespace rpc
