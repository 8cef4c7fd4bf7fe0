// Which node and which shard a request comes to.
#include "cql/protocol/token.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;
using protocol::TypeId;

constexpr StatementOptions kIdempotent{.idempotent = true};

class RoutingTest : public ClientTest {
 protected:
  static int64_t TokenOf(int64_t key) { return Murmur3Token(Bigint(key)); }
  static uint32_t ShardOfKey(int64_t key, uint32_t shards) {
    return ShardOf(TokenOf(key), shards, 12);
  }

  // How many of the requests for keys 0..count came to another shard.
  Task<int> Misrouted(Session* session, FakeNode* node, int64_t count) {
    int wrong = 0;
    node->on_execute = [&wrong, node](const FakeRequest& request) {
      if (request.connection->shard !=
          ShardOfKey(request.key(), node->options().shards)) {
        ++wrong;
      }
      return false;
    };
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    EXPECT_TRUE(select.ok()) << select.status();
    if (!select.ok()) co_return -1;
    QuerySet queries(session, 10000);
    for (int64_t key = 0; key < count; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      EXPECT_TRUE(rows.ok()) << rows.status();
    }
    node->on_execute = nullptr;
    co_return wrong;
  }
};

TEST_F(RoutingTest, EveryRequestArrivesAtTheShardOfItsToken) {
  FakeNode* node = AddNode({.shards = 8});
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 17; }));
    for (const auto& connection : node->Connections()) {
      if (!connection->on_shard_port) continue;
      EXPECT_EQ(connection->source_port % 8, connection->shard);
      EXPECT_GE(connection->source_port, 49152);
    }
    EXPECT_EQ(co_await Misrouted(session, node, 1000), 0);
  });
}

// The vectors of ScyllaDB's drivers, whose keys are four bytes.
TEST_F(RoutingTest, TokenVectorsChooseTheShardsThatOtherDriversChoose) {
  FakeNode* node = AddNode({.shards = 3});
  FakeStatement statement;
  statement.text = "by int";
  statement.binds = {{"ks", "t", "key", TypeId::kInt}};
  statement.partition_key = {0};
  node->AddStatement(statement);
  std::vector<uint32_t> shards;
  node->on_execute = [&](const FakeRequest& request) {
    shards.push_back(request.connection->shard);
    request.connection->ReplyVoid(request.stream);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    auto by_int = co_await session->Prepare("by int", kIdempotent);
    CO_ASSERT_OK(by_int);
    for (int32_t key : {0, 1, 2, 3, 42}) {
      Query query = session->Execute(**by_int, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_THAT(shards, ::testing::ElementsAre(0, 0, 1, 2, 0));
  });
}

TEST_F(RoutingTest, CompositeKeysAreHashedInTheOrderOfTheKey) {
  FakeNode* node = AddNode({.shards = 8});
  FakeStatement statement;
  statement.text = "composite";
  statement.binds = {{"ks", "t", "b", TypeId::kText},
                     {"ks", "t", "other", TypeId::kInt},
                     {"ks", "t", "a", TypeId::kBigint}};
  statement.partition_key = {2, 0};
  node->AddStatement(statement);
  int wrong = 0;
  node->on_execute = [&](const FakeRequest& request) {
    const std::string_view a = request.execute->bound.values[2].bytes;
    const std::string_view b = request.execute->bound.values[0].bytes;
    const std::string_view components[] = {a, b};
    if (request.connection->shard != ShardOf(*TokenOfKey(components), 8, 12)) {
      ++wrong;
    }
    request.connection->ReplyVoid(request.stream);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 17; }));
    auto composite = co_await session->Prepare("composite", kIdempotent);
    CO_ASSERT_OK(composite);
    for (int64_t key = 0; key < 100; ++key) {
      Query query = session->Execute(**composite, absl::StrCat("b", key),
                                     std::nullopt, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_EQ(wrong, 0);
  });
}

TEST_F(RoutingTest, ANatThatRewritesSourcePortsIsNoticedAndLeftAlone) {
  FakeNode* node = AddNode({.shards = 4, .nat = true});
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 9; }));
    EXPECT_GE(session->stats().counters.wrong_shards, 1u);
    EXPECT_EQ(co_await Misrouted(session, node, 200), 0);
  });
}

TEST_F(RoutingTest, WithoutAShardAwarePortThePlainOneCoversEveryShard) {
  FakeNode* node = AddNode({.shards = 4, .shard_aware_port = false});
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 9; }));
    EXPECT_EQ(co_await Misrouted(session, node, 200), 0);
  });
}

TEST_F(RoutingTest, ANodeThatComesBackWithOtherShardsIsPooledAnew) {
  FakeNode* node = AddNode({.shards = 2});
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 5; }));
    node->options().shards = 6;
    node->KillConnections();
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 13; }));
    EXPECT_EQ(co_await Misrouted(session, node, 200), 0);
  });
}

TEST_F(RoutingTest, PlainCassandraHasOneConnectionForReadsAndOneForWrites) {
  AddNode();
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    EXPECT_EQ(session->stats().shards.size(), 2u);
  });
}

class RingTest : public RoutingTest {
 protected:
  RingTest() {
    // The ring in three equal parts.
    AddNode({.tokens = {kThird}});
    AddNode({.tokens = {2 * kThird}});
    AddNode({.tokens = {kLast}});
  }
  static constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kThird = kFirst / 3;
  size_t Owner(int64_t key) const {
    const int64_t token = TokenOf(key);
    // -3.07e18, -6.1e18 and the end: in the order of the ring.
    if (token <= 2 * kThird) return 1;
    if (token <= kThird) return 0;
    return 2;
  }
};

TEST_F(RingTest, ARequestGoesToTheNodeThatHoldsItsKey) {
  int wrong = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i]->on_execute = [this, i, &wrong](const FakeRequest& request) {
      if (Owner(request.key()) != i) ++wrong;
      return false;
    };
  }
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 300; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_EQ(wrong, 0);
    for (auto& node : nodes_) EXPECT_GT(node->executes, 0);
  });
}

TEST_F(RingTest, WithoutItsReplicaARequestGoesToAnyNode) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    co_await nodes_[2]->StopListening();
    nodes_[2]->KillConnections();
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 5; }));
    for (int64_t key = 0; key < 100; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
  });
}

TEST_F(RingTest, TheControlConnectionMovesToAnotherNode) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    co_await nodes_[0]->StopListening();
    nodes_[0]->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return nodes_[1]->peers_reads + nodes_[2]->peers_reads > 0; }));
    CO_ASSERT_OK(co_await session->AwaitSchemaAgreement(absl::Seconds(10)));
  });
}

TEST_F(RingTest, ANodeThatLeavesIsLetGo) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    nodes_[0]->RemovePeers();
    nodes_[0]->AddPeer(nodes_[1].get());
    protocol::Event event;
    event.kind = protocol::Event::Kind::kTopologyChange;
    event.name = "TOPOLOGY_CHANGE";
    event.change = "REMOVED_NODE";
    nodes_[0]->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->stats().nodes == 2; }));
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return nodes_[2]->Connections().empty(); }));
    nodes_[0]->AddPeer(nodes_[2].get());
    event.change = "NEW_NODE";
    nodes_[0]->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
  });
}

TEST_F(RingTest, ANodeThatLeavesAnswersFirstWhatItWasAsked) {
  std::vector<FakeRequest> held;
  nodes_[2]->on_execute = [&](const FakeRequest& request) {
    held.push_back(request);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 7; }));
    auto select = co_await session->Prepare(std::string(kSelect), {});
    CO_ASSERT_OK(select);
    int64_t key = 0;
    while (Owner(key) != 2) ++key;
    Query query = session->Execute(**select, key);
    CO_ASSERT_TRUE(co_await Eventually([&] { return held.size() == 1; }));
    nodes_[0]->RemovePeers();
    nodes_[0]->AddPeer(nodes_[1].get());
    protocol::Event event;
    event.kind = protocol::Event::Kind::kTopologyChange;
    event.name = "TOPOLOGY_CHANGE";
    event.change = "REMOVED_NODE";
    nodes_[0]->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->stats().nodes == 2; }));
    held[0].connection->ReplyVoid(held[0].stream);
    CO_ASSERT_OK(co_await query);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return nodes_[2]->Connections().empty(); }));
  });
}

// As in a cluster that was set up anew behind the same names.
TEST_F(RoutingTest, WhenEveryNodeIsGoneTheContactPointsAreAskedAgain) {
  FakeNode* gone = AddNode();
  FakeNode* fresh = AddNode();
  gone->RemovePeers();
  fresh->RemovePeers();
  SessionOptions options = Options();
  options.contact_points = {absl::StrCat("localhost:", gone->port()),
                            fresh->address()};
  Run(options, [&](Session* session) -> Task<void> {
    EXPECT_EQ(fresh->accepted, 0);
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    co_await gone->StopListening();
    gone->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return fresh->accepted >= 3 && session->connections() == 3; }));
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await query);
    EXPECT_EQ(fresh->executes, 1);
  });
}

TEST_F(RoutingTest, NodesOfOtherDatacentersAreNotUsed) {
  AddNode();
  FakeNode* remote = AddNode({.tokens = {5}, .datacenter = "far"});
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 20; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_EQ(remote->accepted, 0);
  });
}

TEST_F(RoutingTest, PeersThatCannotBeTrueAreSkippedAndCounted) {
  FakeNode* node = AddNode();
  FakeNode* second = AddNode({.tokens = {5}});
  node->AddPeer(second);  // Listed twice.
  node->AddPeer(node);    // Its own peer.
  Run([&](Session* session) -> Task<void> {
    EXPECT_EQ(session->stats().nodes, 2u);
    EXPECT_EQ(session->stats().counters.topology_rows_skipped, 2u);
    co_return;
  });
}

}  // namespace
}  // namespace cql::testing
