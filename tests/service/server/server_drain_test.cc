// Draining: what is in flight finishes, what comes new is turned away.
#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/server/raw_client.h"
#include "tests/service/server/test_server.h"

namespace server_testing {
namespace {

using http_testing::ClientResponse;
using ringplane::test::SleepRequest;
using ::testing::HasSubstr;

std::string SleepMessage(int millis, bool stubborn = false) {
  SleepRequest request;
  request.set_millis(millis);
  request.set_stubborn(stubborn);
  return request.SerializeAsString();
}

TEST(DrainTest, WithoutClientsItEndsAtOnce) {
  TestServer server;
  EXPECT_EQ(server.Drain().get().calls_cut, 0u);
  RawClient late(server.port());
  EXPECT_EQ(late.ReceiveAll(), "");
}

TEST(DrainTest, CallsInFlightFinishOnBothVersions) {
  TestServer server;
  H2Connection h2(server.port());
  int32_t call = h2.Post(kSleep, kGrpc, Envelope(SleepMessage(300)));
  RawClient h1(server.port());
  h1.Send(Http1Post(kSleep, "application/proto", SleepMessage(300)));
  RawClient idle(server.port());
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 2; }));
  auto drained = server.Drain();
  std::string buffer;
  Http1Response response = ReadHttp1(&h1, &buffer);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers["connection"], "close");
  ClientResponse& answer = h2.Await(call);
  EXPECT_EQ(answer.trailers["grpc-status"], "0");
  EXPECT_TRUE(h2.client.goaway);
  EXPECT_EQ(h2.client.goaway_code, uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_EQ(h2.raw.ReceiveAll(), "");
  EXPECT_EQ(idle.ReceiveAll(), "");
  h2.raw.Close();
  h1.Close();
  idle.Close();
  EXPECT_EQ(drained.get().calls_cut, 0u);
  EXPECT_EQ(server.stats().connections.value(), 0);
}

TEST(DrainTest, NewCallsAreUnavailableAndHealthSaysSo) {
  TestServer server;
  H2Connection client(server.port());
  int32_t held = client.Post(kSleep, kGrpc, Envelope(SleepMessage(500)));
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 1; }));
  auto drained = server.Drain();
  // A client that was told to go and did not listen. Raw frames: nghttp2's
  // own client would listen.
  ASSERT_TRUE(client.RunUntil([&] { return client.client.goaway; }));
  RawClient refused(server.port());
  EXPECT_EQ(refused.ReceiveAll(), "");
  std::string block =
      http_testing::LiteralBlock(http_testing::GrpcFields(kSleep));
  client.raw.Send(
      http_testing::Frame(NGHTTP2_HEADERS, 4, 3, block) +
      http_testing::Frame(NGHTTP2_DATA, 1, 3, Envelope(SleepMessage(1))));
  client.Await(held);
  client.raw.Close();
  EXPECT_EQ(drained.get().calls_cut, 0u);
}

TEST(DrainTest, ReadinessSaysNoBeforeAnythingElseHappens) {
  server::Options options;
  options.drain_notice = absl::Milliseconds(300);
  TestServer server(options);
  auto drained = server.Drain();
  H2Connection client(server.port());
  // Still served, and told that it should go elsewhere.
  ASSERT_TRUE(TestServer::Eventually([&] {
    ClientResponse& response =
        client.Await(client.Post(kHealth, kGrpc, Envelope("")));
    return response.body == Envelope("\x08\x02");
  }));
  client.raw.Close();
  EXPECT_EQ(drained.get().calls_cut, 0u);
}

TEST(DrainTest, CallsThatTakeTooLongAreCutAndCounted) {
  server::Options options;
  options.drain_timeout = absl::Milliseconds(100);
  TestServer server(options);
  H2Connection client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.Post(kSleep, kGrpc, Envelope(SleepMessage(60'000)));
  }
  RawClient h1(server.port());
  h1.Send(Http1Post(kSleep, "application/proto", SleepMessage(60'000)));
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 4; }));
  EXPECT_EQ(server.Drain().get().calls_cut, 4u);
  EXPECT_EQ(h1.ReceiveAll(), "");
  EXPECT_TRUE(
      TestServer::Eventually([&] { return server.service().cancelled == 4; }));
}

TEST(DrainTest, ClosingWithoutADrainWaitsForHandlers) {
  TestServer server;
  H2Connection client(server.port());
  client.Post(kSleep, kGrpc, Envelope(SleepMessage(200, true)));
  ASSERT_TRUE(
      TestServer::Eventually([&] { return server.service().sleeping == 1; }));
}

}  // namespace
}  // namespace server_testing
