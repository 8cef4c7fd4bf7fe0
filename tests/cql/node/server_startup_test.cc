// How clients are let in, and which shard they get.
#include <set>

#include "cql/node/server.h"
#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "cql/protocol/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/node/server_fixture.h"
#include "tests/cql/node/testing.h"

namespace cql::node {
namespace {

using protocol::Opcode;
using protocol::Supported;
using protocol::Writer;
using ::testing::HasSubstr;

constexpr int32_t kProtocolError = 0x000A;
constexpr int32_t kInvalid = 0x2200;

TEST_F(ServerTest, TellsWhatItSupportsBeforeAndAfterStartup) {
  NodeOptions options;
  options.shards = 3;
  StartNode(options);
  RawClient client(node_->port());
  for (int i = 0; i < 2; ++i) {
    const Supported supported = Options(&client);
    EXPECT_TRUE(supported.Has("COMPRESSION", "lz4"));
    EXPECT_EQ(supported.Find("SCYLLA_NR_SHARDS"), "3");
    EXPECT_EQ(supported.Find("SCYLLA_SHARDING_IGNORE_MSB"), "12");
    EXPECT_EQ(supported.Find("SCYLLA_SHARDING_ALGORITHM"),
              "biased-token-round-robin");
    EXPECT_EQ(supported.Find("SCYLLA_SHARD_AWARE_PORT"),
              std::to_string(node_->shard_aware_port()));
    EXPECT_EQ(supported.Find("SCYLLA_LWT_ADD_METADATA_MARK"),
              "LWT_OPTIMIZATION_META_BIT_MASK=2147483648");
    EXPECT_EQ(supported.Find("SCYLLA_RATE_LIMIT_ERROR"), "ERROR_CODE=61440");
    EXPECT_EQ(supported.Find("PROTOCOL_VERSIONS"), std::nullopt);
    if (i == 0) {
      EXPECT_TRUE(client.Startup().is(Opcode::kReady));
    }
  }
}

TEST_F(ServerTest, CanLeaveGroupsOfExtensionsOut) {
  NodeOptions options;
  options.announce_sharding = false;
  options.announce_extensions = false;
  options.shard_aware_port = std::nullopt;
  StartNode(options);
  RawClient client(node_->port());
  for (const auto& [key, values] : Options(&client).options) {
    EXPECT_NE(key.substr(0, 6), "SCYLLA") << key;
  }
}

TEST_F(ServerTest, RefusesOtherProtocolVersionsInAVersion4Frame) {
  StartNode();
  for (const char version : {'\x05', '\x03', '\x42'}) {
    RawClient client(node_->port());
    std::string frame(9, '\0');
    frame[0] = version;
    frame[3] = 9;
    frame[4] = 5;
    client.SendBytes(frame);
    const Reply reply = client.Receive();
    EXPECT_EQ(reply.error_code(), kProtocolError);
    EXPECT_EQ(reply.header.version, 0x84);
    EXPECT_EQ(reply.header.stream, 9);
    EXPECT_THAT(reply.error_message(),
                HasSubstr("Invalid or unsupported protocol version"));
    const Reply end = client.Receive();
    EXPECT_FALSE(end.arrived || end.timed_out);
  }
}

TEST_F(ServerTest, WantsStartupFirstAndOnce) {
  StartNode();
  RawClient client(node_->port());
  EXPECT_EQ(client.Query("SELECT * FROM system.local").error_code(),
            kProtocolError);
  EXPECT_EQ(client.Startup({{"COMPRESSION", "zip"}}).error_code(),
            kProtocolError);
  EXPECT_TRUE(client.Startup().is(Opcode::kReady));
  EXPECT_EQ(client.Startup().error_code(), kProtocolError);
  EXPECT_EQ(client.Query("SELECT key FROM system.local").result_kind(), 2);
}

TEST_F(ServerTest, AsksForTheOnePassword) {
  NodeOptions options;
  options.username = "ann";
  options.password = "secret";
  StartNode(options);
  const auto authenticate = [&](std::string_view user,
                                std::string_view password) {
    RawClient client(node_->port());
    const Reply reply = client.Startup();
    EXPECT_TRUE(reply.is(Opcode::kAuthenticate));
    EXPECT_EQ(*protocol::DecodeAuthenticate(reply.body),
              "org.apache.cassandra.auth.PasswordAuthenticator");
    EXPECT_EQ(client.Query("SELECT key FROM system.local").error_code(),
              kProtocolError);
    std::string token;
    Writer writer(&token);
    protocol::EncodeAuthResponse(&writer, protocol::PlainToken(user, password));
    writer.Finish();
    const Reply answer = client.Call(Opcode::kAuthResponse, token);
    if (answer.is(Opcode::kAuthSuccess)) {
      EXPECT_EQ(client.Query("SELECT key FROM system.local").result_kind(), 2);
    } else {
      // Refused, and gone.
      EXPECT_FALSE(client.Receive().arrived);
    }
    return answer;
  };
  EXPECT_TRUE(authenticate("ann", "secret").is(Opcode::kAuthSuccess));
  for (const auto& [user, password] :
       std::vector<std::pair<std::string, std::string>>{{"ann", "secre"},
                                                        {"ann", "secrets"},
                                                        {"bob", "secret"},
                                                        {"", ""},
                                                        {"ann", ""}}) {
    EXPECT_EQ(authenticate(user, password).error_code(), 0x0100);
  }
}

TEST_F(ServerTest, TakesNoLargeFrameFromStrangers) {
  StartNode();
  RawClient client(node_->port());
  client.Send(Opcode::kStartup, std::string(100'001, 'x'));
  EXPECT_EQ(client.Receive().error_code(), kInvalid);
  EXPECT_FALSE(client.Receive().arrived);

  RawClient known(node_->port());
  ASSERT_TRUE(known.Startup().is(Opcode::kReady));
  const std::string text =
      "SELECT key FROM system.local -- " + std::string(200'000, 'x');
  EXPECT_EQ(known.Query(text).result_kind(), 2);
  // The header alone is enough to be refused.
  protocol::FrameHeader header;
  header.opcode = Opcode::kQuery;
  header.length = 0x7fffffff;
  std::string frame(9, '\0');
  protocol::EncodeHeader(header, frame.data());
  known.SendBytes(frame);
  EXPECT_EQ(known.Receive().error_code(), kInvalid);
}

TEST_F(ServerTest, ResetsThoseWhoNeverStart) {
  NodeOptions options;
  options.startup_timeout = absl::Milliseconds(20);
  StartNode(options);
  RawClient silent(node_->port());
  const Reply reply = silent.Receive();
  EXPECT_FALSE(reply.arrived || reply.timed_out);
  // OPTIONS alone is no start.
  RawClient curious(node_->port());
  Options(&curious);
  EXPECT_FALSE(curious.Receive().timed_out);
}

TEST_F(ServerTest, RefusesConnectionsAboveItsBound) {
  NodeOptions options;
  options.connections_max = 2;
  StartNode(options);
  auto first = Ready();
  auto second = Ready();
  RawClient third(node_->port());
  EXPECT_FALSE(third.Startup().arrived);
  EXPECT_EQ(node_->OnLoop(
                [](Node* node) { return node->stats().connections_refused; }),
            1u);
  EXPECT_EQ(first->Query("SELECT k FROM ks.t").result_kind(), 2);
}

TEST_F(ServerTest, GivesTheShardThatTheSourcePortSays) {
  NodeOptions options;
  options.shards = 5;
  StartNode(options);
  auto maker = Ready();
  int tried = 0;
  for (uint16_t port = 50'000; tried < 10 && port < 60'000; port += 7) {
    RawClient client(node_->shard_aware_port(), port);
    if (!client.connected()) continue;
    ++tried;
    EXPECT_EQ(Options(&client).Find("SCYLLA_SHARD"), std::to_string(port % 5));
  }
  EXPECT_EQ(tried, 10);
}

TEST_F(ServerTest, SpreadsConnectionsOfThePlainPortOverShards) {
  NodeOptions options;
  options.shards = 4;
  StartNode(options);
  std::vector<std::unique_ptr<RawClient>> clients;
  std::set<std::string> shards;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(node_->port()));
    const Supported supported = Options(clients.back().get());
    shards.emplace(*supported.Find("SCYLLA_SHARD"));
  }
  EXPECT_EQ(shards.size(), 4u);
}

TEST_F(ServerTest, RemembersOnWhichShardEachExecuteCame) {
  NodeOptions options;
  options.shards = 4;
  StartNode(options);
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(client
                  ->Call(Opcode::kExecute,
                         RawClient::ExecuteBody(insert, {Int(i), "x"}))
                  .result_kind(),
              1);
  }
  const auto log = node_->OnLoop([](Node* node) {
    return std::vector(node->executes().begin(), node->executes().end());
  });
  ASSERT_EQ(log.size(), 4u);
  EXPECT_EQ(log[0].token, -3485513579396041028);
  for (const ExecuteLogEntry& entry : log) {
    EXPECT_EQ(*entry.token_shard, ShardOf(*entry.token, 4, 12));
    EXPECT_FALSE(entry.shard_aware_port);
    EXPECT_EQ(entry.connection, log[0].connection);
  }
}

}  // namespace
}  // namespace cql::node
