// Bounds, durability, starting, stopping, and rules.
#include "cql/node/server.h"

#include <set>

#include "cql/protocol/request.h"
#include "cql/protocol/response.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cql/node/server_fixture.h"
#include "tests/cql/node/testing.h"

namespace cql::node {
namespace {

using protocol::Opcode;
using ::testing::HasSubstr;

// --- Bounds and durability --------------------------------------------------

// A client that asks and never reads costs a bounded amount, and slows only
// itself; when it reads at last, every answer is there.
TEST_F(ServerTest, StopsReadingFromAClientThatDoesNotRead) {
  NodeOptions options;
  options.output_bytes_max = 1 << 20;
  StartNode(options);
  auto client = Ready();
  const std::string large(100'000, 'z');
  client->Query("INSERT INTO ks.t (k, v) VALUES (1, '" + large + "')");
  constexpr int kRequests = 400;  // Forty megabytes of answers.
  const std::string body =
      RawClient::QueryBody("SELECT v FROM ks.t WHERE k = 1");
  for (int i = 0; i < kRequests; ++i) {
    client->Send(Opcode::kQuery, body, static_cast<int16_t>(i));
  }
  auto other = Ready();
  uint64_t of_others = 0;
  while (node_->OnLoop(
             [](Node* node) { return node->stats().output_stalls; }) == 0) {
    ASSERT_EQ(other->Query("SELECT k FROM ks.t WHERE k = 2").result_kind(), 2);
    ++of_others;
  }
  const uint64_t requests =
      node_->OnLoop([](Node* node) { return node->stats().requests; });
  EXPECT_LT(requests - of_others, uint64_t{kRequests});
  for (int i = 0; i < kRequests; ++i) {
    const Reply reply = client->Receive();
    ASSERT_TRUE(reply.is(Opcode::kResult)) << i;
    EXPECT_EQ(reply.header.stream, i);
    EXPECT_GT(reply.body.size(), large.size());
  }
}

TEST_F(ServerTest, SharesOneSyncAmongManyWrites) {
  StartNode();
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  const uint64_t before =
      node_->OnLoop([](Node* node) { return node->stats().syncs; });
  constexpr int kWrites = 2000;
  std::string bytes;
  for (int i = 0; i < kWrites; ++i) {
    const std::string body = RawClient::ExecuteBody(insert, {Int(i), "v"});
    protocol::FrameHeader header;
    header.stream = static_cast<int16_t>(i);
    header.opcode = Opcode::kExecute;
    header.length = static_cast<uint32_t>(body.size());
    std::string frame(9, '\0');
    protocol::EncodeHeader(header, frame.data());
    bytes += frame + body;
  }
  client->SendBytes(bytes);
  std::set<int16_t> answered;
  for (int i = 0; i < kWrites; ++i) {
    const Reply reply = client->Receive();
    ASSERT_EQ(reply.result_kind(), 1);
    answered.insert(reply.header.stream);
  }
  EXPECT_EQ(answered.size(), size_t{kWrites});
  const uint64_t syncs =
      node_->OnLoop([](Node* node) { return node->stats().syncs; }) - before;
  EXPECT_LT(syncs, uint64_t{kWrites} / 2);
  EXPECT_GE(syncs, 1u);
}

TEST_F(ServerTest, KeepsDataAndIdentityOverARestart) {
  TempDir dir;
  NodeOptions options;
  options.data_dir = dir.path() + "/data";
  StartNode(options);
  Ready()->Query("INSERT INTO ks.t (k, v) VALUES (1, 'kept')");
  const std::string identity =
      Rows(Ready()->Query("SELECT host_id FROM system.local"))[0][0];
  node_->Stop();
  StartNode(options);
  auto client = Ready();
  EXPECT_EQ(Rows(client->Query("SELECT v FROM ks.t WHERE k = 1")),
            (std::vector<std::vector<std::string>>{{"kept"}}));
  EXPECT_EQ(Rows(client->Query("SELECT host_id FROM system.local"))[0][0],
            identity);
}

TEST_F(ServerTest, SaysWhyItDoesNotStart) {
  StartNode();
  NodeOptions none;
  none.shards = 0;
  TestNode shards(none);
  EXPECT_THAT(std::string(shards.status().message()), HasSubstr("shards"));
  TempDir dir;
  NodeOptions same;
  same.data_dir = dir.path() + "/data";
  TestNode first(same);
  ASSERT_TRUE(first.status().ok()) << first.status();
  TestNode second(same);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(same.data_dir));
}

TEST_F(ServerTest, StopsWithClientsInEveryState) {
  StartNode();
  auto ready = Ready();
  RawClient silent(node_->port());
  RawClient half(node_->port());
  half.SendBytes("\x04\x00");
  auto busy = Ready();
  for (int16_t i = 0; i < 100; ++i) {
    busy->Send(Opcode::kQuery,
               RawClient::QueryBody("INSERT INTO ks.t (k, v) VALUES (1, 'x')"),
               i);
  }
  Rule rule;
  rule.action = Rule::Action::kDelay;
  rule.delay = absl::Hours(1);
  node_->AddRule(rule);
  ready->Send(Opcode::kQuery, RawClient::QueryBody("SELECT k FROM ks.t"));
  static_cast<void>(busy->Receive());
  node_->Stop();
  EXPECT_FALSE(silent.Receive().timed_out);
}

// --- Rules ------------------------------------------------------------------

class ServerRulesTest : public ServerTest {
 protected:
  void SetUp() override { StartNode(); }
  const std::string select_ = RawClient::QueryBody("SELECT k FROM ks.t");
};

TEST_F(ServerRulesTest, AnswerWithAnErrorInsteadOfOrAfterExecuting) {
  auto client = Ready();
  for (const bool execute : {false, true}) {
    Rule rule;
    rule.contains = "INSERT";
    rule.execute = execute;
    rule.error.code = ServerCode::kWriteTimeout;
    rule.error.message = "made up";
    rule.error.write_type = "SIMPLE";
    node_->AddRule(rule);
    const Reply reply =
        client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')");
    EXPECT_EQ(reply.error_code(), 0x1100);
    EXPECT_EQ(reply.error_message(), "made up");
    EXPECT_EQ(Rows(client->Query("SELECT k FROM ks.t")).size(),
              execute ? 1u : 0u);
  }
}

TEST_F(ServerRulesTest, SendRateLimitErrorsOnlyToThoseWhoOptedIn) {
  Rule rule;
  rule.contains = "SELECT";
  rule.times = 0;
  rule.error.code = ServerCode::kRateLimit;
  auto plain = Ready();
  auto opted = Ready({{"SCYLLA_RATE_LIMIT_ERROR", ""}});
  node_->AddRule(rule);
  EXPECT_EQ(plain->Query("SELECT k FROM ks.t").error_code(), 0x2300);
  EXPECT_EQ(opted->Query("SELECT k FROM ks.t").error_code(), 0xF000);
}

TEST_F(ServerRulesTest, FindPreparedStatementsByTheirText) {
  auto client = Ready();
  const std::string insert =
      client->Prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)");
  Rule rule;
  rule.opcode = Opcode::kExecute;
  rule.contains = "INSERT INTO ks.t";
  rule.error.code = ServerCode::kOverloaded;
  node_->AddRule(rule);
  const std::string execute = RawClient::ExecuteBody(insert, {Int(1), "x"});
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).error_code(), 0x1001);
  EXPECT_EQ(client->Call(Opcode::kExecute, execute).result_kind(), 1);
}

TEST_F(ServerRulesTest, DelayOneAnswerAndNotTheOthers) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kDelay;
  rule.delay = absl::Milliseconds(50);
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery, select_, 2);
  EXPECT_EQ(client->Receive().header.stream, 2);
  const Reply late = client->Receive();
  EXPECT_EQ(late.header.stream, 1);
  EXPECT_EQ(late.result_kind(), 2);
}

TEST_F(ServerRulesTest, CloseOrResetTheConnection) {
  auto maker = Ready();
  for (const auto action : {Rule::Action::kClose, Rule::Action::kReset}) {
    for (const bool execute : {false, true}) {
      auto client = Ready();
      Rule rule;
      rule.contains = "INSERT";
      rule.action = action;
      rule.execute = execute;
      node_->AddRule(rule);
      const Reply reply =
          client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')");
      EXPECT_FALSE(reply.arrived || reply.timed_out);
      EXPECT_EQ(Rows(maker->Query("SELECT k FROM ks.t")).size(),
                execute ? 1u : 0u);
      maker->Query("TRUNCATE ks.t");
      node_->ClearRules();
    }
  }
}

TEST_F(ServerRulesTest, DropAnAnswer) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kDrop;
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery, select_, 2);
  EXPECT_EQ(client->Receive().header.stream, 2);
  client->SetTimeout(50);
  EXPECT_TRUE(client->Receive().timed_out);
}

TEST_F(ServerRulesTest, SplitAnAnswerWithoutMixingItWithOthers) {
  auto client = Ready();
  client->Query("INSERT INTO ks.t (k, v) VALUES (1, 'x')");
  Rule rule;
  rule.action = Rule::Action::kSplit;
  rule.split_bytes = 1;
  rule.delay = absl::Microseconds(100);
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 1);
  client->Send(Opcode::kQuery,
               RawClient::QueryBody("INSERT INTO ks.t (k, v) VALUES (2, 'y')"),
               2);
  for (int16_t stream = 1; stream <= 2; ++stream) {
    const Reply reply = client->Receive();
    EXPECT_TRUE(reply.is(Opcode::kResult));
    EXPECT_EQ(reply.header.stream, stream);
  }
}

TEST_F(ServerRulesTest, RepeatAnAnswer) {
  auto client = Ready();
  Rule rule;
  rule.action = Rule::Action::kRepeat;
  node_->AddRule(rule);
  client->Send(Opcode::kQuery, select_, 5);
  const Reply first = client->Receive();
  const Reply second = client->Receive();
  EXPECT_EQ(first.header.stream, 5);
  EXPECT_EQ(second.header.stream, 5);
  EXPECT_EQ(first.body, second.body);
}

TEST_F(ServerRulesTest, GiveAConnectionTheWrongShardOrNone) {
  Rule wrong;
  wrong.on = Rule::On::kConnect;
  wrong.shard_aware_port = true;
  wrong.action = Rule::Action::kShard;
  wrong.wrong_shard = 77;
  node_->AddRule(wrong);
  RawClient client(node_->shard_aware_port());
  EXPECT_EQ(Options(&client).Find("SCYLLA_SHARD"), "77");

  Rule refuse;
  refuse.on = Rule::On::kConnect;
  refuse.action = Rule::Action::kReset;
  node_->AddRule(refuse);
  RawClient refused(node_->port());
  const Reply reply = refused.Call(Opcode::kOptions, "");
  EXPECT_FALSE(reply.arrived || reply.timed_out);
}

TEST_F(ServerRulesTest, EndAConnectionFromOutside) {
  auto client = Ready();
  const auto connections =
      node_->OnLoop([](Node* node) { return node->connections(); });
  ASSERT_EQ(connections.size(), 1u);
  EXPECT_TRUE(connections[0].ready);
  node_->OnLoop([&](Node* node) { node->ResetConnection(connections[0].id); });
  const Reply reply = client->Receive();
  EXPECT_FALSE(reply.arrived || reply.timed_out);
}

}  // namespace
}  // namespace cql::node
