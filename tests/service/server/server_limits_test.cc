// Every bound of server::Options, reached over loopback; and a healthy client
// beside those who reach it.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/server/raw_client.h"
#include "tests/service/server/test_server.h"

namespace server_testing {
namespace {

using http_testing::ClientResponse;
using http_testing::Frame;
using http_testing::GrpcFields;
using http_testing::LiteralBlock;
using ringplane::test::BlobRequest;
using ringplane::test::EchoRequest;
using ringplane::test::SleepRequest;
using server::Limit;
using ::testing::HasSubstr;

std::string SleepMessage(int millis, bool stubborn = false) {
  SleepRequest request;
  request.set_millis(millis);
  request.set_stubborn(stubborn);
  return request.SerializeAsString();
}

std::string BlobMessage(int bytes) {
  BlobRequest request;
  request.set_bytes(bytes);
  return request.SerializeAsString();
}

// The server still serves others.
void ExpectServes(TestServer* server) {
  H2Connection client(server->port());
  ClientResponse& response =
      client.Await(client.Post(kEcho, kGrpc, Envelope("")));
  EXPECT_EQ(response.trailers["grpc-status"], "0");
}

TEST(LimitsTest, Connections) {
  server::Options options;
  options.connections_max = 2;
  TestServer server(options);
  RawClient first(server.port());
  RawClient second(server.port());
  ASSERT_TRUE(TestServer::Eventually(
      [&] { return server.stats().connections.value() == 2; }));
  RawClient third(server.port());
  EXPECT_EQ(third.ReceiveAll(), "");
  EXPECT_EQ(server.stats().hits(Limit::kConnections), 1u);
  first.Close();
  ASSERT_TRUE(TestServer::Eventually(
      [&] { return server.stats().connections.value() == 1; }));
  ExpectServes(&server);
}

TEST(LimitsTest, CallsInFlight) {
  server::Options options;
  options.calls_in_flight_max = 3;
  TestServer server(options);
  H2Connection client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.Post(kSleep, kGrpc, Envelope(SleepMessage(60'000)));
  }
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 3; }));
  ClientResponse& refused =
      client.Await(client.Post(kEcho, kGrpc, Envelope("")));
  EXPECT_EQ(refused.headers["grpc-status"], "14");
  // A balancer still learns that the server is up.
  ClientResponse& health =
      client.Await(client.Post(kHealth, kGrpc, Envelope("")));
  EXPECT_EQ(health.trailers["grpc-status"], "0");
  EXPECT_EQ(server.stats().hits(Limit::kCallsInFlight), 1u);
}

// A client that resets its calls does not get more of them at once than one
// that waits, though nobody waits for the handlers.
TEST(LimitsTest, CallsThatNobodyWaitsForStillCount) {
  server::Options options;
  options.streams_per_connection_max = 5;
  TestServer server(options);
  H2Connection client(server.port());
  client.RunUntil([&] { return client.client.max_concurrent_streams == 5; });
  for (int i = 0; i < 10; ++i) {
    int32_t id = client.Post(kSleep, kGrpc, Envelope(SleepMessage(2000, true)));
    ASSERT_TRUE(TestServer::Eventually(
        [&] { return server.service().sleeping == i + 1; }));
    client.client.Reset(id, NGHTTP2_CANCEL);
    client.Flush();
  }
  ClientResponse& refused =
      client.Await(client.Post(kEcho, kGrpc, Envelope("")));
  EXPECT_EQ(refused.headers["grpc-status"], "14");
  ExpectServes(&server);
}

TEST(LimitsTest, MessageSizesBothWays) {
  server::Options options;
  options.message_in_bytes_max = 100'000;
  options.message_out_bytes_max = 50'000;
  TestServer server(options);
  H2Connection client(server.port());
  std::string large = "\x32\xa1\x8d\x06" + std::string(100'001, 'x');
  ClientResponse& in = client.Await(client.Post(kEcho, kGrpc, Envelope(large)));
  EXPECT_EQ(in.headers["grpc-status"], "8");
  ClientResponse& huge = client.Await(
      client.Post(kEcho, kGrpc, Envelope(std::string(1'000'000, 'x'))));
  EXPECT_EQ(huge.headers["grpc-status"], "8");
  ClientResponse& out =
      client.Await(client.Post(kBlob, kGrpc, Envelope(BlobMessage(50'001))));
  EXPECT_EQ(out.headers["grpc-status"], "8");
  RawClient h1(server.port());
  std::string buffer;
  h1.Send(Http1Post(kEcho, "application/json", std::string(200'000, ' ')));
  EXPECT_EQ(ReadHttp1(&h1, &buffer).status, 429);
  EXPECT_GE(server.stats().hits(Limit::kMessageIn), 3u);
  EXPECT_EQ(server.stats().hits(Limit::kMessageOut), 1u);
}

TEST(LimitsTest, KeysPerRequest) {
  server::Options options;
  options.keys_per_request_max = 10;
  TestServer server(options);
  H2Connection client(server.port());
  for (int keys : {10, 11}) {
    EchoRequest request;
    for (int i = 0; i < keys; ++i) request.add_keys("k");
    ClientResponse& response = client.Await(
        client.Post(kEcho, kGrpc, Envelope(request.SerializeAsString())));
    if (keys == 10) {
      EXPECT_EQ(response.trailers["grpc-status"], "0");
    } else {
      EXPECT_EQ(response.headers["grpc-status"], "3");
      EXPECT_THAT(response.headers["grpc-message"], HasSubstr("11 keys"));
    }
  }
  EXPECT_EQ(server.stats().hits(Limit::kKeys), 1u);
}

TEST(LimitsTest, HeaderBytesAreAnswered431) {
  TestServer server;
  RawClient h1(server.port());
  h1.Send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(20'000, 'x') +
          "\r\n\r\n");
  EXPECT_THAT(h1.ReceiveAll(), HasSubstr("HTTP/1.1 431 "));
  H2Connection h2(server.port());
  http_testing::Fields fields = kGrpc;
  for (int i = 0; i < 20; ++i) fields.push_back({"x", std::string(900, 'x')});
  EXPECT_EQ(h2.Await(h2.Post(kEcho, fields, Envelope(""))).headers[":status"],
            "431");
  EXPECT_EQ(server.stats().hits(Limit::kHeaderBytes), 2u);
}

TEST(LimitsTest, SlowHeadsAndBodiesAreEnded) {
  server::Options options;
  options.header_timeout = absl::Milliseconds(50);
  options.body_timeout = absl::Milliseconds(50);
  TestServer server(options);
  RawClient silent(server.port());
  EXPECT_EQ(silent.ReceiveAll(), "");
  RawClient slow_head(server.port());
  slow_head.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_THAT(slow_head.ReceiveAll(), HasSubstr("HTTP/1.1 408 "));
  RawClient slow_body(server.port());
  slow_body.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx");
  EXPECT_THAT(slow_body.ReceiveAll(), HasSubstr("HTTP/1.1 408 "));
  RawClient half_preface(server.port());
  half_preface.Send("PRI * HT");
  EXPECT_EQ(half_preface.ReceiveAll(), "");
  H2Connection h2(server.port());
  int32_t id = h2.Post(kEcho, kGrpc, "\0\0", /*finish=*/false);
  ClientResponse& response = h2.Await(id);
  EXPECT_TRUE(response.closed);
  EXPECT_EQ(response.error_code, uint32_t{NGHTTP2_CANCEL});
  EXPECT_GE(server.stats().hits(Limit::kHeaderTimeout), 2u);
  EXPECT_GE(server.stats().hits(Limit::kBodyTimeout), 2u);
}

TEST(LimitsTest, IdleConnectionsAreClosedWithGoaway) {
  server::Options options;
  options.idle_timeout = absl::Milliseconds(50);
  TestServer server(options);
  H2Connection h2(server.port());
  h2.Await(h2.Post(kEcho, kGrpc, Envelope("")));
  h2.RunUntil([&] { return false; });
  EXPECT_TRUE(h2.client.goaway);
  RawClient h1(server.port());
  h1.Send(Http1Post(kEcho, "application/json", "{}"));
  h1.ReceiveAll();  // Ends.
  EXPECT_EQ(server.stats().hits(Limit::kIdleTimeout), 2u);
}

// Answers that a closed window holds back do not pile up for ever.
TEST(LimitsTest, AZeroWindowIsCutOff) {
  server::Options options;
  options.write_stall_timeout = absl::Milliseconds(100);
  TestServer server(options);
  H2Connection client(server.port(), /*window=*/0);
  for (int i = 0; i < 50; ++i) {
    client.Post(kBlob, kGrpc, Envelope(BlobMessage(10'000)));
  }
  client.RunUntil([&] { return false; });
  EXPECT_EQ(server.stats().hits(Limit::kWriteStall), 1u);
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.stats().connections.value() == 0; }));
}

TEST(LimitsTest, HeldAnswersAreBounded) {
  server::Options options;
  options.queued_output_bytes_max = 100'000;
  TestServer server(options);
  H2Connection client(server.port(), /*window=*/0);
  std::vector<int32_t> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(client.Post(kBlob, kGrpc, Envelope(BlobMessage(40'000))));
  }
  // Two are held; the others get an error, which no window holds back.
  auto refused = [&] {
    int count = 0;
    for (int32_t id : ids) {
      count += client.client.response(id).headers["grpc-status"] == "8";
    }
    return count;
  };
  ASSERT_TRUE(client.RunUntil([&] { return refused() == 8; }));
  EXPECT_GE(server.stats().hits(Limit::kQueuedOutput), 8u);
}

// A client that asks and never reads holds no more than the limit, and not
// for long.
TEST(LimitsTest, ASlowReaderIsCutOffAndNobodyElse) {
  server::Options options;
  options.write_stall_timeout = absl::Milliseconds(300);
  TestServer server(options);
  RawClient slow(server.port(), /*receive_buffer=*/4096);
  std::string request =
      Http1Post(kBlob, "application/proto", BlobMessage(500'000));
  for (int i = 0; i < 100; ++i) slow.Send(request);
  ExpectServes(&server);
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.stats().hits(Limit::kWriteStall) == 1; }));
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.stats().connections.value() == 0; }));
}

TEST(LimitsTest, AFloodEndsWithGoawayWhileOthersAreServed) {
  TestServer server;
  std::string block = LiteralBlock(GrpcFields(kSleep));
  struct Attack {
    const char* name;
    std::function<std::string(uint32_t)> frames;  // by stream id
  };
  const Attack attacks[] = {
      {"rapid reset",
       [&](uint32_t id) {
         return Frame(NGHTTP2_HEADERS, 4, id, block) +
                Frame(NGHTTP2_DATA, 1, id, Envelope(SleepMessage(50))) +
                Frame(NGHTTP2_RST_STREAM, 0, id,
                      std::string_view("\0\0\0\x8", 4));
       }},
      {"window overflow",
       [&](uint32_t id) {
         return Frame(NGHTTP2_HEADERS, 4, id, block) +
                Frame(NGHTTP2_WINDOW_UPDATE, 0, id,
                      std::string_view("\x7f\xff\xff\xff", 4));
       }},
      {"ping", [](uint32_t) { return Frame(NGHTTP2_PING, 0, 0, "12345678"); }},
      {"settings", [](uint32_t) { return Frame(NGHTTP2_SETTINGS, 0, 0, ""); }},
  };
  for (const Attack& attack : attacks) {
    RawClient raw(server.port());
    raw.Send(http_testing::Preface());
    std::string bytes;
    for (uint32_t id = 1; id < 6000; id += 2) bytes += attack.frames(id);
    raw.Send(bytes);
    std::string answer = raw.ReceiveAll();
    // The last frame is GOAWAY(ENHANCE_YOUR_CALM).
    ASSERT_GE(answer.size(), 17u) << attack.name;
    std::string goaway = answer.substr(answer.size() - 17);
    EXPECT_EQ(goaway[3], NGHTTP2_GOAWAY) << attack.name;
    EXPECT_EQ(goaway[16], NGHTTP2_ENHANCE_YOUR_CALM) << attack.name;
    ExpectServes(&server);
  }
  EXPECT_EQ(server.stats().hits(Limit::kHttp2Abuse), 4u);
  EXPECT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 0; }));
}

}  // namespace
}  // namespace server_testing
