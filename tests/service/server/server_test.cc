// server::Server over loopback: every protocol, cancellation, deadlines.
#include "service/server/server.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/compression.h"
#include "service/rpc/health.pb.h"
#include "tests/service/server/raw_client.h"
#include "tests/service/server/test_server.h"

namespace server_testing {
namespace {

using http_testing::ClientResponse;
using http_testing::Fields;
using ringplane::test::EchoRequest;
using ringplane::test::EchoResponse;
using ringplane::test::FailRequest;
using ringplane::test::SleepRequest;
using server::Limit;
using ::testing::HasSubstr;

std::string EchoMessage(const std::string& text) {
  EchoRequest request;
  request.set_text(text);
  return request.SerializeAsString();
}

std::string SleepMessage(int millis, bool stubborn = false) {
  SleepRequest request;
  request.set_millis(millis);
  request.set_stubborn(stubborn);
  return request.SerializeAsString();
}

std::string TextOf(std::string_view enveloped) {
  EchoResponse response;
  if (enveloped.size() < 5 ||
      !response.ParseFromString(std::string(enveloped.substr(5)))) {
    return "(not a response)";
  }
  return response.text();
}

TEST(ServerTest, GrpcOverHttp2) {
  TestServer server;
  H2Connection client(server.port());
  ClientResponse& response =
      client.Await(client.Post(kEcho,
                               {{"content-type", "application/grpc+proto"},
                                {"te", "trailers"},
                                {"x-atlantis-caller", "appview"}},
                               Envelope(EchoMessage("hello"))));
  EXPECT_EQ(response.headers[":status"], "200");
  EXPECT_EQ(response.headers["content-type"], "application/grpc+proto");
  EXPECT_EQ(response.trailers["grpc-status"], "0");
  EchoResponse echo;
  ASSERT_TRUE(echo.ParseFromString(response.body.substr(5)));
  EXPECT_EQ(echo.text(), "hello");
  EXPECT_EQ(echo.caller(), "appview");
  EXPECT_GT(echo.timeout_ms(), 20'000);  // The server's default.
}

TEST(ServerTest, GrpcOverHttp11HasTrailers) {
  TestServer server;
  RawClient client(server.port());
  std::string buffer;
  for (int i = 0; i < 3; ++i) {
    client.Send(Http1Post(kEcho, "application/grpc+proto",
                          Envelope(EchoMessage("hello")), "TE: trailers\r\n"));
    Http1Response response = ReadHttp1(&client, &buffer);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(TextOf(response.body), "hello");
    EXPECT_EQ(response.trailers["grpc-status"], "0");
  }
  // As Node sends it.
  client.Send("POST " + std::string(kEcho) +
              " HTTP/1.1\r\nHost: h\r\ncontent-type: application/grpc+proto\r\n"
              "Transfer-Encoding: chunked\r\n\r\nc\r\n" +
              Envelope(EchoMessage("12345")) + "\r\n0\r\n\r\n");
  EXPECT_EQ(TextOf(ReadHttp1(&client, &buffer).body), "12345");
  client.Send(Http1Post(kFail, "application/grpc", Envelope("\x08\x05")));
  Http1Response error = ReadHttp1(&client, &buffer);
  EXPECT_EQ(error.status, 200);
  EXPECT_EQ(error.headers["grpc-status"], "5");
}

TEST(ServerTest, ConnectOverBothVersions) {
  TestServer server;
  RawClient h1(server.port());
  std::string buffer;
  h1.Send(Http1Post(kEcho, "application/json",
                    "{\"text\":\"hi\",\"keys\":[\"a\",\"b\"]}"));
  Http1Response json = ReadHttp1(&h1, &buffer);
  EXPECT_EQ(json.status, 200);
  EXPECT_EQ(json.headers["content-type"], "application/json");
  EXPECT_THAT(json.body, HasSubstr("\"text\":\"hi\",\"keyCount\":2"));
  h1.Send(Http1Post(kEcho, "application/proto", EchoMessage("hi")));
  EchoResponse echo;
  ASSERT_TRUE(echo.ParseFromString(ReadHttp1(&h1, &buffer).body));
  EXPECT_EQ(echo.text(), "hi");

  H2Connection h2(server.port());
  ClientResponse& response = h2.Await(h2.Post(
      kEcho, {{"content-type", "application/json"}}, "{\"text\":\"yo\"}"));
  EXPECT_THAT(response.body, HasSubstr("\"text\":\"yo\""));
  ClientResponse& error =
      h2.Await(h2.Post(kFail, {{"content-type", "application/json"}},
                       "{\"code\":5,\"message\":\"no such thread\"}"));
  EXPECT_EQ(error.headers[":status"], "404");
  EXPECT_EQ(error.body,
            "{\"code\":\"not_found\",\"message\":\"no such thread\"}");
}

TEST(ServerTest, GrpcWebOverHttp11) {
  TestServer server;
  RawClient client(server.port());
  std::string buffer;
  client.Send(Http1Post(kEcho, "application/grpc-web+proto",
                        Envelope(EchoMessage("web"))));
  Http1Response response = ReadHttp1(&client, &buffer);
  EXPECT_EQ(TextOf(response.body.substr(0, response.body.find("\x80") - 0)),
            "web");
  EXPECT_THAT(response.body, HasSubstr("grpc-status: 0\r\n"));
}

TEST(ServerTest, EveryCodeCrossesUnchanged) {
  TestServer server;
  H2Connection client(server.port());
  for (int code = 1; code <= 16; ++code) {
    FailRequest request;
    request.set_code(code);
    request.set_message("no. " + std::to_string(code) + " %");
    ClientResponse& response = client.Await(
        client.Post(kFail, kGrpc, Envelope(request.SerializeAsString())));
    EXPECT_EQ(response.headers[":status"], "200");
    EXPECT_EQ(response.headers["grpc-status"], std::to_string(code));
    EXPECT_EQ(response.headers["grpc-message"],
              "no. " + std::to_string(code) + " %25");
    EXPECT_EQ(server.stats().methods[3].calls[code].value(), 1u);
  }
}

TEST(ServerTest, UnknownAndUnimplementedMethodsAreUnimplementedByName) {
  TestServer server;
  H2Connection client(server.port());
  for (std::string path : {kNobody, kStream, "/no.Service/Method"}) {
    ClientResponse& response =
        client.Await(client.Post(path, kGrpc, Envelope("")));
    EXPECT_EQ(response.headers["grpc-status"], "12") << path;
    EXPECT_THAT(response.headers["grpc-message"], HasSubstr(path));
  }
  RawClient h1(server.port());
  std::string buffer;
  h1.Send(Http1Post(kNobody, "application/json", "{}"));
  EXPECT_EQ(ReadHttp1(&h1, &buffer).status, 501);
  EXPECT_EQ(server.stats().unknown_method.value(), 1u);
}

TEST(ServerTest, WhatIsNoRpcGoesToTheHttpHandler) {
  TestServer server({}, [](server::Server* configured) {
    configured->SetHttpHandler(
        [](const http::Request& request, http::Response* response) {
          if (request.path() != "/metrics") {
            response->status = 404;
            return;
          }
          response->headers.Add("content-type", "text/plain");
          response->body = "metrics of " + request.method;
        });
  });
  RawClient client(server.port());
  std::string buffer;
  client.Send("GET /metrics?x HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(ReadHttp1(&client, &buffer).body, "metrics of GET");
  client.Send("GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 404);
  client.Send("GET " + std::string(kEcho) + " HTTP/1.1\r\nHost: h\r\n\r\n");
  Http1Response wrong_method = ReadHttp1(&client, &buffer);
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.headers["allow"], "POST");
  client.Send(Http1Post(kEcho, "text/plain", "x"));
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 415);
  client.Send("HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(client.ReceiveUntil("\r\n\r\n"),
              HasSubstr("content-length: 15\r\n"));
}

TEST(ServerTest, TheAuthorizerSeesEveryRequestFirst) {
  TestServer server({}, [](server::Server* configured) {
    configured->SetAuthorizer([](const http::Request& request) {
      return request.headers.Find("authorization") == "Bearer right"
                 ? absl::OkStatus()
                 : absl::UnauthenticatedError("a token is needed");
    });
    configured->SetHttpHandler(
        [](const http::Request&, http::Response* response) {
          response->body = "secret";
        });
  });
  RawClient client(server.port());
  std::string buffer;
  client.Send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 401);
  client.Send(
      "GET /m HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer right\r\n\r\n");
  EXPECT_EQ(ReadHttp1(&client, &buffer).body, "secret");
  client.Send(Http1Post(kEcho, "application/grpc", Envelope("")));
  EXPECT_EQ(ReadHttp1(&client, &buffer).headers["grpc-status"], "16");
  client.Send(Http1Post("/no.Such/Method", "application/json", "{}"));
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 401);
}

TEST(ServerTest, HealthFollowsReadiness) {
  TestServer server;
  H2Connection client(server.port());
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse answer;
  for (std::string service : {"", "ringplane.test.TestService"}) {
    request.set_service(service);
    ClientResponse& response = client.Await(
        client.Post(kHealth, kGrpc, Envelope(request.SerializeAsString())));
    ASSERT_TRUE(answer.ParseFromString(response.body.substr(5)));
    EXPECT_EQ(answer.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
  request.set_service("no.such.Service");
  ClientResponse& unknown = client.Await(
      client.Post(kHealth, kGrpc, Envelope(request.SerializeAsString())));
  EXPECT_EQ(unknown.headers["grpc-status"], "5");
}

TEST(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server;
  RawClient client(server.port());
  std::string all;
  for (int i = 0; i < 500; ++i) {
    // Every third waits, so that others queue behind it.
    all += i % 3 == 0 ? Http1Post(kSleep, "application/proto", SleepMessage(1))
                      : Http1Post(kEcho, "application/proto",
                                  EchoMessage(std::to_string(i)));
  }
  client.Send(all);
  std::string buffer;
  for (int i = 0; i < 500; ++i) {
    Http1Response response = ReadHttp1(&client, &buffer);
    ASSERT_EQ(response.status, 200) << i;
    if (i % 3 == 0) continue;
    EchoResponse echo;
    ASSERT_TRUE(echo.ParseFromString(response.body));
    EXPECT_EQ(echo.text(), std::to_string(i));
  }
}

TEST(ServerTest, AClientThatHalfClosesStillGetsItsAnswers) {
  TestServer server;
  RawClient client(server.port());
  client.Send(Http1Post(kSleep, "application/proto", SleepMessage(20, true)) +
              Http1Post(kEcho, "application/json", "{\"text\":\"last\"}"));
  client.ShutdownWrite();
  EXPECT_THAT(client.ReceiveAll(), HasSubstr("\"text\":\"last\""));
}

TEST(ServerTest, ContinueIsSaidBeforeTheBody) {
  TestServer server;
  RawClient client(server.port());
  client.Send("POST " + std::string(kEcho) +
              " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
              "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  std::string buffer;
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 100);
  client.Send("{}");
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 200);
}

TEST(ServerTest, ManyCallsAtOnceOnOneConnection) {
  TestServer server;
  H2Connection client(server.port());
  client.RunUntil([&] { return client.client.max_concurrent_streams > 0; });
  std::vector<int32_t> ids;
  for (int i = 0; i < 1000; ++i) {
    ids.push_back(
        client.client.Post(kSleep, kGrpc, Envelope(SleepMessage(1 + i % 5))));
  }
  ASSERT_TRUE(client.RunUntil([&] { return client.client.AllClosed(); }));
  for (int32_t id : ids) {
    EXPECT_EQ(client.client.response(id).trailers["grpc-status"], "0");
  }
  EXPECT_EQ(server.stats().calls_in_flight.value(), 0);
}

TEST(ServerTest, LargeMessagesBothWays) {
  TestServer server;
  H2Connection client(server.port());
  std::string text(3'000'000, 't');
  ClientResponse& response =
      client.Await(client.Post(kEcho, kGrpc, Envelope(EchoMessage(text))));
  EXPECT_EQ(TextOf(response.body), text);
  RawClient h1(server.port());
  std::string buffer;
  h1.Send(Http1Post(kEcho, "application/proto", EchoMessage(text)));
  EXPECT_EQ(ReadHttp1(&h1, &buffer).body.size(), response.body.size() - 5);
}

TEST(ServerTest, CompressedCalls) {
  TestServer server;
  rpc::Gzip gzip;
  std::string packed;
  ASSERT_TRUE(
      gzip.Compress(EchoMessage(std::string(10'000, 'z')), &packed).ok());
  std::string body = Envelope(packed);
  body[0] = 1;
  H2Connection client(server.port());
  ClientResponse& response =
      client.Await(client.Post(kEcho,
                               {{"content-type", "application/grpc"},
                                {"grpc-encoding", "gzip"},
                                {"grpc-accept-encoding", "gzip"}},
                               body));
  EXPECT_EQ(response.headers["grpc-encoding"], "gzip");
  EXPECT_EQ(response.trailers["grpc-status"], "0");
  EXPECT_LT(response.body.size(), 200u);
}

// --- Deadlines and clients that leave.

TEST(ServerTest, TheDeadlineIsAnsweredThoughTheHandlerGoesOn) {
  TestServer server;
  H2Connection client(server.port());
  Fields fields = kGrpc;
  fields.push_back({"grpc-timeout", "20m"});
  ClientResponse& response = client.Await(
      client.Post(kSleep, fields, Envelope(SleepMessage(300, true))));
  EXPECT_EQ(response.headers["grpc-status"], "4");
  EXPECT_EQ(server.service().sleeping, 1);
  EXPECT_EQ(server.stats().calls_orphaned.value(), 1);
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.stats().calls_in_flight.value() == 0; }));
  EXPECT_EQ(server.stats().calls_orphaned.value(), 0);
  EXPECT_EQ(server.service().cancelled, 1);
  EXPECT_EQ(server.stats().hits(Limit::kDeadline), 1u);
}

TEST(ServerTest, DeadlinesAreTheClientsUpToTheServersOwn) {
  server::Options options;
  options.default_deadline = absl::Seconds(7);
  options.max_deadline = absl::Seconds(9);
  TestServer server(options);
  struct Case {
    const char* header;
    int64_t most_ms;
  };
  for (const Case& c :
       {Case{"", 7000}, Case{"Connect-Timeout-Ms: 5000\r\n", 5000},
        Case{"Connect-Timeout-Ms: 9999999999\r\n", 9000}}) {
    RawClient client(server.port());
    std::string buffer;
    client.Send(
        Http1Post(kEcho, "application/proto", EchoMessage("x"), c.header));
    EchoResponse echo;
    ASSERT_TRUE(echo.ParseFromString(ReadHttp1(&client, &buffer).body));
    EXPECT_LE(echo.timeout_ms(), c.most_ms);
    EXPECT_GT(echo.timeout_ms(), c.most_ms - 1000);
  }
  RawClient client(server.port());
  std::string buffer;
  client.Send(
      Http1Post(kEcho, "application/json", "{}", "Connect-Timeout-Ms: 0\r\n"));
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 504);
  client.Send(Http1Post(kEcho, "application/json", "{}",
                        "Connect-Timeout-Ms: soon\r\n"));
  EXPECT_EQ(ReadHttp1(&client, &buffer).status, 400);
}

// The AppView does so after 100 ms.
TEST(ServerTest, AResetStreamCancelsItsCallAndNoOther) {
  TestServer server;
  H2Connection client(server.port());
  int32_t doomed = client.Post(kSleep, kGrpc, Envelope(SleepMessage(60'000)));
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 1; }));
  client.client.Reset(doomed, NGHTTP2_INTERNAL_ERROR);
  client.Flush();
  EXPECT_TRUE(
      TestServer::Eventually([&] { return server.service().cancelled == 1; }));
  ClientResponse& next =
      client.Await(client.Post(kEcho, kGrpc, Envelope(EchoMessage("on"))));
  EXPECT_EQ(TextOf(next.body), "on");
  EXPECT_EQ(server.stats().calls_cancelled.value(), 1u);
}

TEST(ServerTest, AClientThatLeavesCancelsItsCalls) {
  TestServer server;
  for (bool http2 : {true, false}) {
    for (bool reset : {true, false}) {
      int before = server.service().cancelled;
      RawClient raw(server.port());
      if (http2) {
        http_testing::Http2Client client;
        client.Post(kSleep, kGrpc, Envelope(SleepMessage(60'000)));
        raw.Send(client.TakeOutput());
      } else {
        raw.Send(Http1Post(kSleep, "application/proto", SleepMessage(60'000)));
      }
      ASSERT_TRUE(TestServer::Eventually(
          [&] { return server.service().sleeping == 1; }));
      if (reset) {
        raw.Abort();
      } else {
        raw.Close();
      }
      EXPECT_TRUE(TestServer::Eventually([&] {
        return server.service().cancelled == before + 1 &&
               server.service().sleeping == 0;
      }));
    }
  }
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.stats().connections.value() == 0; }));
}

TEST(ServerTest, ABadPrefaceIsClosedWithoutAWord) {
  TestServer server;
  for (std::string bytes :
       {"INVALID CONNECTION PREFACE\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\x16\x03\x01\x02\x00\x01\r\n"}) {
    RawClient client(server.port());
    client.Send(bytes);
    EXPECT_EQ(client.ReceiveAll(), "");
  }
  RawClient smuggler(server.port());
  smuggler.Send(
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
  std::string answer = smuggler.ReceiveAll();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 400 Bad Request"));
  EXPECT_THAT(answer, HasSubstr("connection: close"));
  EXPECT_EQ(answer.find("HTTP/1.1", 10), std::string::npos);
}

TEST(ServerTest, MetricsNameMethodsCodesAndLimits) {
  TestServer server;
  H2Connection client(server.port());
  client.Await(client.Post(kEcho, kGrpc, Envelope(EchoMessage("x"))));
  std::string text = server.MetricsText();
  EXPECT_THAT(
      text,
      HasSubstr("ringplane_rpc_total{method=\"/ringplane.test.TestService/"
                "Echo\",code=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ringplane_connections 1\n"));
  EXPECT_THAT(text,
              HasSubstr("ringplane_limit_hits_total{limit=\"deadline\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE ringplane_rpc_seconds histogram\n"));
}

}  // namespace
}  // namespace server_testing
