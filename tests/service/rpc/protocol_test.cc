// The three protocols, as bytes.
#include "service/rpc/protocol.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "tests/service/rpc/test.pb.h"

namespace rpc {
namespace {

using ringplane::test::EchoRequest;
using ringplane::test::EchoResponse;

http::Request RequestOf(
    std::string_view content_type,
    std::initializer_list<std::pair<std::string_view, std::string_view>>
        fields = {}) {
  http::Request request;
  request.method = "POST";
  request.target = "/ringplane.test.TestService/Echo";
  request.headers.Add("content-type", content_type);
  for (const auto& [name, value] : fields) request.headers.Add(name, value);
  return request;
}

std::string Envelope(uint8_t flags, std::string_view message) {
  std::string out(1, static_cast<char>(flags));
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(message.size() >> shift));
  }
  return out.append(message);
}

class ProtocolTest : public ::testing::Test {
 protected:
  CallHead Head(
      std::string_view content_type,
      std::initializer_list<std::pair<std::string_view, std::string_view>>
          fields = {}) {
    CallHead head;
    http::Request request = RequestOf(content_type, fields);
    EXPECT_TRUE(ParseCallHead(request, &head).ok());
    return head;
  }
  absl::StatusCode Decode(const CallHead& head, std::string_view body) {
    request_.Clear();
    return codec_.Decode(head, body, &request_).code();
  }
  http::Response Encode(const CallHead& head, const absl::Status& status) {
    http::Response response;
    sent_ = codec_.Encode(head, status, &response_, &response);
    return response;
  }

  static CodecOptions Options() {
    CodecOptions options;
    options.message_in_bytes_max = 1000;
    options.message_out_bytes_max = 5000;
    options.compress_bytes_min = 100;
    return options;
  }
  MessageCodec codec_{Options()};
  EchoRequest request_;
  EchoResponse response_;
  absl::Status sent_;
};

TEST_F(ProtocolTest, ContentTypesNameProtocolAndCodec) {
  struct Case {
    std::string_view type;
    Protocol protocol;
    Codec codec;
    std::string_view answer;
  };
  const Case cases[] = {
      {"application/proto", Protocol::kConnect, Codec::kProto,
       "application/proto"},
      {"application/json", Protocol::kConnect, Codec::kJson,
       "application/json"},
      {"Application/JSON; charset=utf-8", Protocol::kConnect, Codec::kJson,
       "application/json"},
      {"application/grpc", Protocol::kGrpc, Codec::kProto, "application/grpc"},
      {"application/grpc+proto", Protocol::kGrpc, Codec::kProto,
       "application/grpc+proto"},
      {"application/grpc+json", Protocol::kGrpc, Codec::kJson,
       "application/grpc+json"},
      {"application/grpc-web", Protocol::kGrpcWeb, Codec::kProto,
       "application/grpc-web"},
      {"application/grpc-web+proto", Protocol::kGrpcWeb, Codec::kProto,
       "application/grpc-web+proto"},
      {"application/grpc-web-text", Protocol::kGrpcWebText, Codec::kProto,
       "application/grpc-web-text"},
  };
  for (const Case& c : cases) {
    CallHead head = Head(c.type);
    EXPECT_EQ(head.protocol, c.protocol) << c.type;
    EXPECT_EQ(head.codec, c.codec) << c.type;
    EXPECT_EQ(ResponseContentType(head), c.answer) << c.type;
  }
  for (std::string_view type :
       {"", "text/plain", "application/", "application/grpcx",
        "application/grpc+thrift", "application/xml",
        "application/connect+json", "grpc"}) {
    EXPECT_EQ(Head(type).protocol, Protocol::kNone) << type;
  }
}

TEST_F(ProtocolTest, TimeoutsAreRead) {
  EXPECT_EQ(Head("application/grpc").timeout, absl::InfiniteDuration());
  EXPECT_EQ(Head("application/grpc", {{"grpc-timeout", "100m"}}).timeout,
            absl::Milliseconds(100));
  EXPECT_EQ(Head("application/json", {{"connect-timeout-ms", "5"}}).timeout,
            absl::Milliseconds(5));
  // Each protocol has its own header.
  EXPECT_EQ(Head("application/json", {{"grpc-timeout", "x"}}).timeout,
            absl::InfiniteDuration());
  CallHead head;
  EXPECT_EQ(ParseCallHead(RequestOf("application/grpc",
                                    {{"grpc-timeout", "99999999999S"}}),
                          &head)
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(head.protocol, Protocol::kGrpc);
  EXPECT_EQ(ParseCallHead(RequestOf("application/proto",
                                    {{"connect-protocol-version", "2"}}),
                          &head)
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ProtocolTest, UnknownEncodingsAreUnimplementedAndOursAreNamed) {
  for (auto [type, request_field, response_field] :
       {std::tuple{"application/grpc", "grpc-encoding", "grpc-accept-encoding"},
        std::tuple{"application/proto", "content-encoding",
                   "accept-encoding"}}) {
    CallHead head;
    absl::Status status =
        ParseCallHead(RequestOf(type, {{request_field, "br"}}), &head);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    http::Response response = Encode(head, status);
    EXPECT_EQ(response.headers.Find(response_field), "gzip,identity");
  }
}

TEST_F(ProtocolTest, ConnectBinaryAndJson) {
  CallHead proto =
      Head("application/proto", {{"connect-protocol-version", "1"}});
  EXPECT_EQ(Decode(proto, "\x0a\x02hi"), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");
  EXPECT_EQ(Decode(proto, ""), absl::StatusCode::kOk);
  EXPECT_EQ(Decode(proto, "\x0a\x05hi"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Decode(proto, "\x0a\x02\xff\xff"),
            absl::StatusCode::kInvalidArgument);

  CallHead json = Head("application/json");
  EXPECT_EQ(Decode(json, "{\"text\":\"hi\"}"), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");
  EXPECT_EQ(Decode(json, "{}"), absl::StatusCode::kOk);
  EXPECT_EQ(Decode(json, ""), absl::StatusCode::kInvalidArgument);

  response_.set_text("yo");
  http::Response response = Encode(proto, absl::OkStatus());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "\x0a\x02yo");
  EXPECT_EQ(response.headers.Find("content-type"), "application/proto");
  EXPECT_FALSE(response.has_trailers);
  EXPECT_EQ(Encode(json, absl::OkStatus()).body, "{\"text\":\"yo\"}");
}

TEST_F(ProtocolTest, ConnectErrorsAreJsonWithAStatus) {
  CallHead head = Head("application/proto");
  http::Response response = Encode(head, absl::NotFoundError("no \"such\" é"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.Find("content-type"), "application/json");
  EXPECT_EQ(response.body,
            "{\"code\":\"not_found\",\"message\":\"no \\\"such\\\" é\"}");
  EXPECT_EQ(Encode(head, absl::AbortedError("")).body,
            "{\"code\":\"aborted\"}");
}

TEST_F(ProtocolTest, GrpcMessageAndTrailers) {
  CallHead head = Head("application/grpc+proto");
  EXPECT_EQ(Decode(head, Envelope(0, "\x0a\x02hi")), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");
  EXPECT_EQ(Decode(head, Envelope(0, "")), absl::StatusCode::kOk);
  response_.set_text("yo");
  http::Response response = Encode(head, absl::OkStatus());
  EXPECT_EQ(response.body, Envelope(0, "\x0a\x02yo"));
  ASSERT_TRUE(response.has_trailers);
  EXPECT_EQ(response.trailers.Find("grpc-status"), "0");
  EXPECT_FALSE(response.headers.Contains("grpc-encoding"));

  response = Encode(head, absl::InternalError("100% é"));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.body.empty());
  EXPECT_FALSE(response.has_trailers);
  EXPECT_EQ(response.headers.Find("grpc-status"), "13");
  EXPECT_EQ(response.headers.Find("grpc-message"), "100%25 %C3%A9");
}

TEST_F(ProtocolTest, GrpcFramingMistakes) {
  CallHead head = Head("application/grpc");
  std::string good = Envelope(0, "\x0a\x02hi");
  EXPECT_EQ(Decode(head, ""), absl::StatusCode::kUnimplemented);
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(Decode(head, good.substr(0, size)),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
  EXPECT_EQ(Decode(head, good + good), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Decode(head, good + "x"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Decode(head, Envelope(2, "")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Decode(head, Envelope(0x80, "")),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Decode(head, Envelope(1, "x")), absl::StatusCode::kInternal);
  EXPECT_EQ(Decode(head, Envelope(0, std::string(1001, '\0'))),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Decode(head, std::string_view("\0\xff\xff\xff\xff", 5)),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(ProtocolTest, GrpcWebHasItsTrailersInTheBody) {
  CallHead head = Head("application/grpc-web+proto");
  EXPECT_EQ(Decode(head, Envelope(0, "\x0a\x02hi")), absl::StatusCode::kOk);
  response_.set_text("yo");
  http::Response response = Encode(head, absl::OkStatus());
  EXPECT_FALSE(response.has_trailers);
  EXPECT_EQ(response.body,
            Envelope(0, "\x0a\x02yo") + Envelope(0x80, "grpc-status: 0\r\n"));
  response = Encode(head, absl::NotFoundError("gone"));
  EXPECT_EQ(response.body,
            Envelope(0x80, "grpc-status: 5\r\ngrpc-message: gone\r\n"));
}

TEST_F(ProtocolTest, GrpcWebTextIsBase64) {
  CallHead head = Head("application/grpc-web-text");
  std::string body;
  absl::Base64Escape(Envelope(0, "\x0a\x02hi"), &body);
  EXPECT_EQ(Decode(head, body), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");
  EXPECT_EQ(Decode(head, "!!!"), absl::StatusCode::kInvalidArgument);
  response_.set_text("yo");
  std::string plain;
  ASSERT_TRUE(
      absl::Base64Unescape(Encode(head, absl::OkStatus()).body, &plain));
  EXPECT_EQ(plain,
            Envelope(0, "\x0a\x02yo") + Envelope(0x80, "grpc-status: 0\r\n"));
}

TEST_F(ProtocolTest, CompressedRequestsAreReadAndBounded) {
  Gzip gzip;
  std::string packed;
  ASSERT_TRUE(gzip.Compress("\x0a\x02hi", &packed).ok());
  CallHead grpc = Head("application/grpc", {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(Decode(grpc, Envelope(1, packed)), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");
  EXPECT_EQ(Decode(grpc, Envelope(0, "\x0a\x02yo")), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "yo");
  EXPECT_EQ(Decode(grpc, Envelope(1, "garbage")),
            absl::StatusCode::kInvalidArgument);
  CallHead connect = Head("application/proto", {{"content-encoding", "gzip"}});
  EXPECT_EQ(Decode(connect, packed), absl::StatusCode::kOk);
  EXPECT_EQ(request_.text(), "hi");

  packed.clear();
  ASSERT_TRUE(gzip.Compress(std::string(200'000, '\0'), &packed).ok());
  ASSERT_LT(packed.size(), 1000u);
  EXPECT_EQ(Decode(grpc, Envelope(1, packed)),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Decode(connect, packed), absl::StatusCode::kResourceExhausted);
}

TEST_F(ProtocolTest, ResponsesAreCompressedForThoseWhoAskAndOnlyIfLarge) {
  Gzip gzip;
  response_.set_text(std::string(1000, 'x'));
  const std::string plain = response_.SerializeAsString();
  struct Case {
    std::string_view type, field, value;
    bool compressed;
  };
  const Case cases[] = {
      {"application/grpc", "grpc-accept-encoding", "identity,deflate,gzip",
       true},
      {"application/grpc", "grpc-accept-encoding", "identity", false},
      {"application/grpc", "accept-encoding", "gzip", false},
      {"application/proto", "accept-encoding", "br, gzip;q=0.5", true},
      {"application/proto", "accept-encoding", "gzip;q=0", false},
      {"application/proto", "accept-encoding", "gzip;q=0.000", false},
  };
  for (const Case& c : cases) {
    CallHead head = Head(c.type, {{c.field, c.value}});
    http::Response response = Encode(head, absl::OkStatus());
    bool grpc = head.protocol == Protocol::kGrpc;
    EXPECT_EQ(
        response.headers.Find(grpc ? "grpc-encoding" : "content-encoding"),
        c.compressed ? "gzip" : "")
        << c.value;
    std::string_view body = response.body;
    if (grpc) {
      EXPECT_EQ(body[0], c.compressed ? 1 : 0);
      EXPECT_EQ(Envelope(static_cast<uint8_t>(body[0]), body.substr(5)), body);
      body.remove_prefix(5);
    }
    std::string out(body);
    if (c.compressed) {
      out.clear();
      ASSERT_TRUE(gzip.Decompress(body, 5000, &out).ok());
    }
    EXPECT_EQ(out, plain);
  }
  response_.set_text("small");
  CallHead head = Head("application/proto", {{"accept-encoding", "gzip"}});
  EXPECT_FALSE(
      Encode(head, absl::OkStatus()).headers.Contains("content-encoding"));
}

TEST_F(ProtocolTest, MessagesPastTheLimitsBecomeErrors) {
  CallHead head = Head("application/proto");
  EXPECT_EQ(Decode(head, std::string(1001, '\0')),
            absl::StatusCode::kResourceExhausted);
  response_.set_text(std::string(6000, 'x'));
  for (std::string_view type : {"application/proto", "application/json",
                                "application/grpc", "application/grpc-web"}) {
    http::Response response = Encode(Head(type), absl::OkStatus());
    EXPECT_EQ(sent_.code(), absl::StatusCode::kResourceExhausted) << type;
    EXPECT_LT(response.body.size(), 200u) << type;
  }
}

}  // namespace
}  // namespace rpc
