// Servers that have too much to do: lines, limits and budgets.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "cql/internal/adaptive_limit.h"
#include "cql/internal/service_rate.h"
#include "cql/internal/token_bucket.h"
#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using internal::AdaptiveLimit;
using internal::ServiceRate;
using internal::TokenBucket;
using ioloop::Task;

constexpr StatementOptions kIdempotent{.idempotent = true};

// --- Parts -------------------------------------------------------------------

TEST(AdaptiveLimitTest, ACutTakesAQuarterOfWhatWasInFlight) {
  AdaptiveLimit limit(8, 1000);
  EXPECT_TRUE(limit.Overloaded(100, /*sent_ns=*/10, /*now_ns=*/20));
  EXPECT_EQ(limit.limit(), 75u);
  // It was sent before the cut and says nothing about the new limit.
  EXPECT_FALSE(limit.Overloaded(75, 19, 30));
  EXPECT_TRUE(limit.Overloaded(75, 20, 40));
  EXPECT_EQ(limit.limit(), 57u);
  for (int64_t now = 50; now < 100; ++now) limit.Overloaded(57, now, now);
  EXPECT_EQ(limit.limit(), 8u);
}

TEST(AdaptiveLimitTest, ItGrowsWithWhatIsServedUpToItsBound) {
  AdaptiveLimit limit(8, 100);
  limit.Overloaded(10, 0, 1);
  EXPECT_EQ(limit.limit(), 8u);
  for (int i = 0; i < 8; ++i) limit.Served();
  EXPECT_EQ(limit.limit(), 9u);
  for (int i = 0; i < 10'000; ++i) limit.Served();
  EXPECT_EQ(limit.limit(), 100u);
}

TEST(AdaptiveLimitTest, EqualBoundsFixIt) {
  AdaptiveLimit limit(64, 64);
  EXPECT_FALSE(limit.Overloaded(64, 0, 1));
  EXPECT_EQ(limit.limit(), 64u);
}

TEST(ServiceRateTest, AWaitIsToldOnceAWindowHasPassed) {
  constexpr int64_t kWindow = ServiceRate::kWindowNs;
  ServiceRate rate;
  rate.Begin(1000);
  rate.Served(10, 1000 + kWindow / 2);
  EXPECT_EQ(rate.WaitNs(100, 1000 + kWindow / 2), 0);
  rate.Served(10, 1000 + kWindow);  // Twenty a window.
  EXPECT_DOUBLE_EQ(rate.WaitNs(100, 1000 + kWindow),
                   5.0 * static_cast<double>(kWindow));
  EXPECT_EQ(rate.WaitNs(0, 1000 + kWindow), 0);
}

TEST(ServiceRateTest, ALineThatStandsStillGetsLongerAsItStands) {
  constexpr int64_t kWindow = ServiceRate::kWindowNs;
  ServiceRate rate;
  rate.Begin(0);
  double before = 0;
  for (int64_t windows = 1; windows < 5; ++windows) {
    rate.Served(0, windows * kWindow);
    const double wait = rate.WaitNs(10, windows * kWindow);
    EXPECT_GT(wait, before);
    before = wait;
  }
}

TEST(TokenBucketTest, ExtraRequestsAreAShareOfTheOthers) {
  TokenBucket bucket(0.25, 3);
  int spent = 0;
  while (bucket.Spend()) ++spent;
  EXPECT_EQ(spent, 3);
  for (int i = 0; i < 4000; ++i) {
    bucket.Earn();
    if (bucket.Spend()) ++spent;
  }
  EXPECT_EQ(spent, 1003);
}

// --- In a session ------------------------------------------------------------

class OverloadTest : public HoldingTest {};

TEST_F(OverloadTest, TheLineIsServedByDeadlineAndThenByArrival) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 1;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    QuerySet queries(session, 100);
    // The first one is sent at once; the key is the place in the line.
    const absl::Time now = loop_->now();
    std::vector<int64_t> seconds = {0, 7, 3, 3, 9, 1, 3, 7, 2, 8, 5, 5};
    std::vector<int64_t> wanted;
    for (size_t i = 0; i < seconds.size(); ++i) {
      RequestOptions request;
      request.deadline = now + absl::Seconds(30 + seconds[i]);
      queries.Add([&] {
        return session->Execute(request, **select, static_cast<int64_t>(i));
      });
      wanted.push_back(static_cast<int64_t>(i));
    }
    std::sort(wanted.begin() + 1, wanted.end(), [&](int64_t a, int64_t b) {
      return std::pair(seconds[static_cast<size_t>(a)], a) <
             std::pair(seconds[static_cast<size_t>(b)], b);
    });
    std::vector<int64_t> order;
    while (order.size() < seconds.size()) {
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
      order.push_back(held_[0].key);
      AnswerAll();
    }
    EXPECT_EQ(order, wanted);
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
  });
}

// Leaving from the middle of the line must lose nobody else.
TEST_F(OverloadTest, WhoeverLeavesTheLineLeavesTheOthersInOrder) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 1;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    const absl::Time now = loop_->now();
    Query first = session->Execute(**select, int64_t{-1});
    QuerySet stay(session, 100);
    {
      QuerySet leave(session, 100);
      for (int64_t i = 0; i < 60; ++i) {
        RequestOptions request;
        request.deadline = now + absl::Seconds(30 + (i * 37) % 60);
        (i % 3 == 0 ? stay : leave).Add([&] {
          return session->Execute(request, **select, (i * 37) % 60);
        });
      }
    }
    EXPECT_EQ(session->stats().shards[0].waiting, 20u);
    std::vector<int64_t> order;
    while (order.size() < 21) {
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
      order.push_back(held_[0].key);
      AnswerAll();
    }
    EXPECT_EQ(order[0], -1);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    for (size_t i = 0; i < stay.size(); ++i) CO_ASSERT_OK(co_await stay[i]);
    CO_ASSERT_OK(co_await first);
  });
}

// A line that does not move is not joined by those it would keep too long.
TEST_F(OverloadTest, WhatCannotMakeItsDeadlineIsRefusedAtOnce) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 1;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    QuerySet queries(session, 200);
    for (int64_t i = 0; i < 101; ++i) {
      queries.Add([&] { return session->Execute(**select, i); });
    }
    // The line stands still for a window: a hundred take ten seconds or more.
    CO_ASSERT_TRUE(co_await Eventually([&] {
      {
        Query first =
            session->Execute(Within(absl::Seconds(9)), **select, int64_t{1000});
        // Before the others, as its deadline is the earliest: not refused.
        EXPECT_FALSE(first.done());
      }
      Query last =
          session->Execute(Within(absl::Seconds(61)), **select, int64_t{1001});
      return last.done();
    }));
    EXPECT_GT(session->stats().counters.hopeless, 0u);
    Query refused =
        session->Execute(Within(absl::Seconds(61)), **select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await refused;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("past the deadline"));
    // Once it moves again, everybody in it is served.
    node->on_execute = nullptr;
    AnswerAll();
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
  });
}

TEST_F(OverloadTest, AServerThatSaysOverloadedIsGivenLess) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 64;
  options.in_flight_min = 4;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    const auto limit = [&] {
      return session->stats().shards[0].in_flight_limit;
    };
    EXPECT_EQ(limit(), 64u);
    {
      QuerySet queries(session, 100);
      for (int64_t i = 0; i < 64; ++i) {
        queries.Add([&] { return session->Execute(**select, i); });
      }
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 64; }));
      for (const Held& held : std::exchange(held_, {})) {
        held.Fail(ServerCode::kOverloaded, "too much");
      }
      for (size_t i = 0; i < queries.size(); ++i) {
        absl::StatusOr<Rows> rows = co_await queries[i];
        EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kOverloaded);
      }
    }
    // All were sent before the first cut: there was one.
    EXPECT_EQ(limit(), 48u);
    EXPECT_EQ(session->stats().counters.overloaded, 64u);
    EXPECT_EQ(session->stats().shards[0].limit_cuts, 1u);

    QuerySet more(session, 1000);
    for (int64_t i = 0; i < 600; ++i) {
      more.Add([&] { return session->Execute(**select, i); });
    }
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 48; }));
    EXPECT_EQ(session->stats().shards[0].waiting, 552u);
    // What it answers well it gets again, and more.
    node->on_execute = nullptr;
    AnswerAll();
    for (size_t i = 0; i < more.size(); ++i) CO_ASSERT_OK(co_await more[i]);
    EXPECT_EQ(limit(), 64u);
  });
}

// Silence up to a deadline that was long enough is a sign, too.
TEST_F(OverloadTest, AServerThatLetsRequestsTimeOutIsGivenLess) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 8;
  options.in_flight_min = 2;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    QuerySet queries(session, 100);
    for (int64_t i = 0; i < 8; ++i) {
      queries.Add([&] {
        return session->Execute(Within(absl::Milliseconds(150)), **select, i);
      });
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await queries[i];
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kDeadlineExceeded);
    }
    EXPECT_EQ(session->stats().counters.overloaded, 8u);
    EXPECT_EQ(session->stats().shards[0].in_flight_limit, 6u);
    EXPECT_EQ(session->stats().shards[0].limit_cuts, 1u);
  });
  held_.clear();
}

// One shard that answers nothing keeps its own line full and nobody else's.
TEST_F(OverloadTest, ASlowShardDoesNotFillTheLinesOfOthers) {
  constexpr uint32_t kSlow = 1;
  FakeNode* node = AddNode({.shards = 4});
  std::map<int64_t, uint32_t> shard_of;
  bool learning = true;
  std::map<uint32_t, int> most_waiting;
  node->on_execute = [&](const FakeRequest& request) {
    const uint32_t shard = request.connection->shard;
    if (learning) shard_of[request.key()] = shard;
    if (learning || shard != kSlow) return false;
    held_.push_back({request, request.key()});
    return true;
  };
  SessionOptions options = Options();
  options.in_flight_max = 8;
  options.queued_max = 16;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 9; }));
    constexpr int64_t kKeys = 400;
    for (int64_t key = 0; key < kKeys; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    learning = false;
    QuerySet slow(session, 1000);
    int64_t refused = 0, fast = 0;
    for (int round = 0; round < 5; ++round) {
      for (int64_t key = 0; key < kKeys; ++key) {
        if (shard_of[key] == kSlow) {
          Query& query =
              slow.Add([&] { return session->Execute(**select, key); });
          refused += query.done() ? 1 : 0;
          continue;
        }
        // As many as find a place at their own shard.
        Query query = session->Execute(**select, key);
        absl::StatusOr<Rows> rows = co_await query;
        CO_ASSERT_OK(rows);
        EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), key);
        ++fast;
      }
    }
    EXPECT_GT(fast, 1000);
    EXPECT_EQ(slow.unanswered(), 8u + 16u);
    EXPECT_EQ(slow.size(), static_cast<size_t>(refused) + 8 + 16);
    for (const ShardStats& shard : session->stats().shards) {
      const bool is_slow = shard.shard == kSlow && !shard.for_writes;
      EXPECT_EQ(shard.waiting, is_slow ? 16u : 0u) << shard.shard;
      EXPECT_EQ(shard.in_flight, is_slow ? 8u : 0u) << shard.shard;
    }
    learning = true;
    AnswerAll();
    size_t answered = 0;
    for (size_t i = 0; i < slow.size(); ++i) {
      absl::StatusOr<Rows> rows = co_await slow[i];
      answered += rows.ok() ? 1u : 0u;
    }
    EXPECT_EQ(answered, 24u);
  });
}

// A server that forgets every statement at once is not asked three times for
// everything.
TEST_F(OverloadTest, RequestsSentAgainAreAShareOfAll) {
  FakeNode* node = AddNode();
  node->on_execute = [&](const FakeRequest& request) {
    request.connection->ReplyError(request.stream, ServerCode::kUnprepared,
                                   "unprepared", request.statement->id);
    return true;
  };
  SessionOptions options = Options();
  options.retry_share = 0.1;
  options.retry_burst = 10;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 1000; ++key) {
      Query query = session->Execute(**select, key);
      absl::StatusOr<Rows> rows = co_await query;
      EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kUnprepared);
    }
    EXPECT_LE(node->executes, 1000 + 10 + 100);
    EXPECT_GT(node->executes, 1000);
    EXPECT_GT(session->stats().counters.retries_denied, 0u);
  });
}

}  // namespace
}  // namespace cql::testing
