// Which of several replicas is asked.
#include "cql/protocol/token.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using ioloop::Task;

constexpr StatementOptions kIdempotent{.idempotent = true};
constexpr std::string_view kInsertIf =
    "UPDATE ks.t SET value = ? WHERE key = ? IF value = null";

// Three nodes, each in a rack of its own, that all hold everything.
class RouterTest : public ClientTest {
 protected:
  RouterTest() {
    for (int i = 0; i < 3; ++i) {
      FakeNode* node =
          AddNode({.shards = 1,
                   .tokens = {std::numeric_limits<int64_t>::max() / 3 * i},
                   .rack = absl::StrCat("rack", i + 1)});
      node->SetKeyspace(
          "ks", {{"class", "SimpleStrategy"}, {"replication_factor", "3"}});
      FakeStatement update = UpdateStatement();
      update.text = kInsertIf;
      update.lightweight_transaction = true;
      node->AddStatement(update);
    }
  }

  Task<bool> AllConnected(Session* session) {
    co_return co_await Eventually([=] { return session->connections() == 7; });
  }
  std::vector<int> Executes() const {
    std::vector<int> counts;
    for (const auto& node : nodes_) counts.push_back(node->executes);
    return counts;
  }
};

TEST_F(RouterTest, ReplicasShareTheWork) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int i = 0; i < 600; ++i) {
      Query query = session->Execute(**select, int64_t{7});
      CO_ASSERT_OK(co_await query);
    }
    // 200 each; 14 standard deviations below are 40.
    for (int count : Executes()) EXPECT_GT(count, 40);
  });
}

// A node that does not answer keeps what it was asked: whoever else is drawn
// with it is less busy.
TEST_F(RouterTest, AReplicaThatDoesNotAnswerIsAskedNoMore) {
  std::vector<FakeRequest> held;
  nodes_[1]->on_execute = [&](const FakeRequest& request) {
    held.push_back(request);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    QuerySet queries(session, 1000);
    for (int i = 0; i < 300; ++i) {
      queries.Add([&] { return session->Execute(**select, int64_t{7}); });
      CO_ASSERT_TRUE(co_await Eventually(
          [&] { return queries.unanswered() == held.size(); }));
    }
    EXPECT_EQ(held.size(), 1u);
    for (const FakeRequest& request : held) {
      request.connection->ReplyVoid(request.stream);
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
  });
}

// Although it has less to do than the others.
TEST_F(RouterTest, AReplicaThatFellSilentComesLast) {
  std::vector<FakeRequest> held;
  for (auto& node : nodes_) {
    node->on_execute = [&](const FakeRequest& request) {
      held.push_back(request);
      return true;
    };
  }
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    QuerySet queries(session, 1000);
    const auto add = [&](size_t count) {
      for (size_t i = 0; i < count; ++i) {
        queries.Add([&] { return session->Execute(**select, int64_t{7}); });
      }
    };
    const auto silent = [&](const ShardStats& shard) {
      return !shard.for_writes && !shard.responsive;
    };
    add(1);
    CO_ASSERT_TRUE(co_await Eventually([&] {
      const SessionStats stats = session->stats();
      return std::count_if(stats.shards.begin(), stats.shards.end(), silent) ==
             1;
    }));
    const std::vector<int> before = Executes();
    add(100);
    CO_ASSERT_TRUE(co_await Eventually([&] { return held.size() == 101; }));
    const std::vector<int> after = Executes();
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i] == 1, after[i] == 1) << i;
    }
    for (auto& node : nodes_) node->on_execute = nullptr;
    for (const FakeRequest& request : held) {
      request.connection->ReplyVoid(request.stream);
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
    const SessionStats stats = session->stats();
    EXPECT_EQ(std::count_if(stats.shards.begin(), stats.shards.end(), silent),
              0);
  });
}

TEST_F(RouterTest, TheLocalRackIsAskedWhileItCanBe) {
  SessionOptions options = Options();
  options.local_rack = "rack2";
  Run(options, [&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 50; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_THAT(Executes(), ::testing::ElementsAre(0, 50, 0));

    co_await nodes_[1]->StopListening();
    nodes_[1]->KillConnections();
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 5; }));
    for (int64_t key = 0; key < 200; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_EQ(nodes_[1]->executes, 50);
    EXPECT_GT(nodes_[0]->executes, 0);
    EXPECT_GT(nodes_[2]->executes, 0);
  });
}

TEST_F(RouterTest, ARackThatIsNotThereChangesNothing) {
  SessionOptions options = Options();
  options.local_rack = "rack9";
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await query);
  });
}

TEST_F(RouterTest, LightweightTransactionsGoAlongTheRing) {
  SessionOptions options = Options();
  options.local_rack = "rack3";
  Run(options, [&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    auto insert = co_await session->Prepare(std::string(kInsertIf), {});
    CO_ASSERT_OK(insert);
    // A key of the first node: its token is behind the last one's.
    int64_t key = 0;
    while (Murmur3Token(Bigint(key)) > 0) ++key;
    for (int i = 0; i < 50; ++i) {
      Query query = session->Execute(**insert, "value", key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_THAT(Executes(), ::testing::ElementsAre(50, 0, 0));

    co_await nodes_[0]->StopListening();
    nodes_[0]->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually([&] {
      return session->connections() == 5 &&
             nodes_[1]->peers_reads + nodes_[2]->peers_reads > 0;
    }));
    for (int i = 0; i < 50; ++i) {
      Query query = session->Execute(**insert, "value", key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_THAT(Executes(), ::testing::ElementsAre(50, 50, 0));
  });
}

// The node's other connections may be as dead as the one that broke.
TEST_F(RouterTest, ARequestWhoseConnectionBrokeGoesToAnotherNode) {
  std::vector<FakeNode*> asked;
  for (auto& node : nodes_) {
    node->on_execute = [&asked, &node](const FakeRequest& request) {
      asked.push_back(node.get());
      if (asked.size() % 2 == 0) return false;
      request.connection->Kill();
      return true;
    };
  }
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 20; ++key) {
      CO_ASSERT_TRUE(co_await AllConnected(session));
      asked.clear();
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
      CO_ASSERT_TRUE(asked.size() == 2);
      EXPECT_NE(asked[0], asked[1]);
    }
    EXPECT_EQ(session->stats().counters.retries, 20u);
  });
}

}  // namespace
}  // namespace cql::testing
