// Extra requests to a second node.
#include "cql/internal/speculation.h"

#include <optional>
#include <set>
#include <utility>

#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using internal::Speculation;
using ioloop::Task;

constexpr absl::Duration kDelay = absl::Milliseconds(1);

// --- Policy ------------------------------------------------------------------

TEST(SpeculationTest, ThePercentileIsTheDelayOnceThereAreSamples) {
  Speculation speculation({.extra_max = 1, .percentile = 0.9});
  EXPECT_LT(speculation.DelayNs(0), 0);
  for (int i = 0; i < 128; ++i) {
    speculation.OnAnswered(i % 8 == 0 ? 50'000'000 : 1'000'000);
  }
  EXPECT_GE(speculation.DelayNs(0), 50'000'000);
  EXPECT_LT(speculation.DelayNs(0), 75'000'000);
}

// Old requests are forgotten: a server that got faster is soon seen to be.
TEST(SpeculationTest, ThePercentileFollowsWhatChanges) {
  Speculation speculation({.extra_max = 1, .percentile = 0.5});
  for (int i = 0; i < 4000; ++i) speculation.OnAnswered(100'000'000);
  EXPECT_GE(speculation.DelayNs(0), 100'000'000);
  for (int i = 0; i < 10'000; ++i) speculation.OnAnswered(1'000'000);
  EXPECT_LT(speculation.DelayNs(0), 2'000'000);
}

TEST(SpeculationTest, WhatDoesNotHelpIsPausedAndTriedAgain) {
  Speculation speculation({.extra_max = 1, .delay = kDelay});
  int64_t now = 0;
  for (uint32_t i = 0; i + 1 < Speculation::kTrial; ++i) {
    EXPECT_FALSE(speculation.OnSent(now));
  }
  EXPECT_TRUE(speculation.OnSent(now));  // None of a trial's was the first.
  EXPECT_LT(speculation.DelayNs(now + 1), 0);
  now += Speculation::kPauseNs;
  EXPECT_GE(speculation.DelayNs(now), 0);
  for (uint32_t i = 0; i < Speculation::kTrial; ++i) {
    if (i % 4 == 0) speculation.OnWon();
    EXPECT_FALSE(speculation.OnSent(now));
  }
  EXPECT_GE(speculation.DelayNs(now), 0);
}

// --- In a session ------------------------------------------------------------

// Two nodes that both hold every row. The second one can be told to keep what
// it is asked.
class TwoReplicasTest : public HoldingTest {
 protected:
  TwoReplicasTest() {
    for (int i = 0; i < 2; ++i) {
      FakeNode* node =
          AddNode({.tokens = {i == 0 ? int64_t{0} : int64_t{1} << 62}});
      node->SetKeyspace(
          "ks", {{"class", "SimpleStrategy"}, {"replication_factor", "2"}});
    }
  }
  StatementOptions Speculating(double share = 1) const {
    StatementOptions options{.idempotent = true};
    options.speculation.extra_max = 1;
    options.speculation.delay = kDelay;
    options.speculation.share = share;
    options.speculation.burst = 1000;
    options.speculation.useful_share = 0;
    return options;
  }
  // Requests that reach a node for the first time are kept, of both nodes;
  // the second one of a key is answered.
  void HoldFirstOfEachKey() {
    for (auto& node : nodes_) {
      node->on_execute = [this](const FakeRequest& request) {
        const int64_t key = request.key();
        if (!seen_.insert({key, request.connection->node}).second) {
          ADD_FAILURE() << "the same node was asked twice for " << key;
        }
        if (!keys_.insert(key).second) return false;
        held_.push_back({request, key});
        return true;
      };
    }
  }
  // Asks every node, so that each has the statement prepared, and waits until
  // nothing is in flight. Counters are told from here on.
  Task<bool> Warm(Session* session, const PreparedStatement* statement) {
    for (int i = 0; i < 20; ++i) {
      Query query = session->Execute(*statement, int64_t{-1});
      if (!(co_await query).ok()) co_return false;
    }
    const bool quiet =
        co_await Eventually([&] { return InFlight(session) == 0; });
    base_ = session->stats().counters;
    co_return quiet&& nodes_[0]->executes > 0 && nodes_[1]->executes > 0;
  }
  // With orphans.
  static uint32_t InFlight(Session* session) {
    uint32_t in_flight = 0;
    for (const ShardStats& shard : session->stats().shards) {
      in_flight += shard.in_flight + shard.orphans;
    }
    return in_flight;
  }
  uint64_t Since(Session* session, uint64_t SessionCounters::* counter) const {
    return session->stats().counters.*counter - base_.*counter;
  }
  Task<bool> Connected(Session* session) {
    const bool connected =
        co_await Eventually([&] { return session->connections() == 5; });
    co_return connected;
  }

  std::set<int64_t> keys_;
  std::set<std::pair<int64_t, FakeNode*>> seen_;
  SessionCounters base_;
};

TEST_F(TwoReplicasTest, ASecondNodeAnswersForASlowOne) {
  Run([this](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), Speculating());
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    HoldFirstOfEachKey();
    for (int64_t key = 0; key < 50; ++key) {
      Query query = session->Execute(**select, key);
      absl::StatusOr<Rows> rows = co_await query;
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), key);
    }
    EXPECT_EQ(Since(session, &SessionCounters::extra_sent), 50u);
    EXPECT_EQ(Since(session, &SessionCounters::extra_won), 50u);
    EXPECT_EQ(Since(session, &SessionCounters::answered), 50u);
    // The slow answers come after all, to nobody.
    AnswerAll();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return Since(session, &SessionCounters::late_answers) == 50; }));
    EXPECT_EQ(InFlight(session), 0u);
  });
}

// The first node may still be the faster one; the extra answer is dropped.
TEST_F(TwoReplicasTest, TheFirstAnswerCountsWhoeverGivesIt) {
  Run([this](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), Speculating());
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    for (auto& node : nodes_) HoldAll(node.get());
    for (int64_t key = 0; key < 20; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
      held_[0].Answer();
      CO_ASSERT_OK(co_await query);
      held_[1].Answer();
      held_.clear();
    }
    EXPECT_EQ(Since(session, &SessionCounters::extra_sent), 20u);
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return Since(session, &SessionCounters::late_answers) == 20; }));
  });
}

// An error is no answer as long as another node may give one.
TEST_F(TwoReplicasTest, AnErrorWaitsForTheOtherNode) {
  Run([this](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), Speculating());
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    for (auto& node : nodes_) HoldAll(node.get());
    for (size_t failing : {0u, 1u}) {
      Query query = session->Execute(**select, int64_t{1});
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
      held_[failing].Fail(ServerCode::kReadTimeout, "slow replicas");
      CO_ASSERT_TRUE(
          co_await Eventually([&] { return InFlight(session) == 1; }));
      EXPECT_FALSE(query.done());
      held_[1 - failing].Answer();
      CO_ASSERT_OK(co_await query);
      held_.clear();
    }
    // When both fail, the last error is the query's.
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
    held_[0].Fail(ServerCode::kReadTimeout, "slow replicas");
    held_[1].Fail(ServerCode::kReadTimeout, "slow replicas");
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kReadTimeout);
    held_.clear();
  });
}

TEST_F(TwoReplicasTest, AConnectionThatBreaksLeavesTheOtherRequestToAnswer) {
  Run([this](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), Speculating());
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    for (auto& node : nodes_) HoldAll(node.get());
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
    held_[0].request.connection->Kill();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.connections_lost == 1; }));
    EXPECT_FALSE(query.done());
    EXPECT_EQ(held_.size(), 2u);  // Not sent a third time.
    held_[1].Answer();
    CO_ASSERT_OK(co_await query);
    held_.clear();
  });
}

TEST_F(TwoReplicasTest, ExtraRequestsAreAShareOfAll) {
  Run([this](Session* session) -> Task<void> {
    StatementOptions options = Speculating(/*share=*/0.1);
    options.speculation.burst = 5;
    auto select = co_await session->Prepare(std::string(kSelect), options);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    for (auto& node : nodes_) HoldAll(node.get());
    QuerySet queries(session, 1000);
    for (int64_t key = 0; key < 100; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    CO_ASSERT_TRUE(co_await Eventually([&] {
      return Since(session, &SessionCounters::extra_sent) +
                 Since(session, &SessionCounters::extra_denied) ==
             100;
    }));
    // The bucket cannot hold more than its burst.
    EXPECT_EQ(Since(session, &SessionCounters::extra_sent), 5u);
    AnswerAll();
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
  });
}

TEST_F(TwoReplicasTest, WhatCannotBeRepeatedIsNotSpeculatedWith) {
  Run([](Session* session) -> Task<void> {
    StatementOptions options;
    options.speculation.extra_max = 1;
    auto select = co_await session->Prepare(std::string(kSelect), options);
    EXPECT_EQ(select.status().code(), absl::StatusCode::kInvalidArgument);
  });
}

// Whenever a caller leaves, both requests are let go and nothing else is.
TEST_F(TwoReplicasTest, ACallerMayLeaveAtAnyTime) {
  Run([this](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), Speculating());
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(co_await Connected(session));
    CO_ASSERT_TRUE(co_await Warm(session, *select));
    for (auto& node : nodes_) HoldAll(node.get());
    {
      Query before = session->Execute(**select, int64_t{1});
    }
    {
      Query after = session->Execute(**select, int64_t{2});
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 3; }));
    }
    Query late =
        session->Execute(Within(absl::Milliseconds(20)), **select, int64_t{3});
    absl::StatusOr<Rows> rows = co_await late;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kDeadlineExceeded);
    CO_ASSERT_TRUE(co_await Eventually([&] {
      AnswerAll();
      return InFlight(session) == 0;
    }));
    EXPECT_EQ(session->stats().counters.abandoned, 2u);
  });
}

TEST_F(HoldingTest, ASingleNodeIsNotAskedTwice) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    StatementOptions options{.idempotent = true};
    options.speculation.extra_max = 2;
    options.speculation.delay = kDelay;
    auto select = co_await session->Prepare(std::string(kSelect), options);
    CO_ASSERT_OK(select);
    HoldAll(node);
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.extra_denied == 1; }));
    EXPECT_EQ(held_.size(), 1u);
    AnswerAll();
    CO_ASSERT_OK(co_await query);
  });
}

}  // namespace
}  // namespace cql::testing
