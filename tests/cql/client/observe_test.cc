// What can be seen of a session: latencies, slow queries, warnings, traces.
#include <optional>
#include <string>

#include "cql/latency_histogram.h"
#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using ioloop::Task;

constexpr StatementOptions kIdempotent{.idempotent = true};

TEST(LatencyHistogramTest, BucketsMeetAndHoldWhatTheySay) {
  for (size_t i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
    const int64_t end = LatencyHistogram::EndNs(i);
    EXPECT_EQ(LatencyHistogram::BucketOf(end - 1), i);
    EXPECT_EQ(LatencyHistogram::BucketOf(end), i + 1);
  }
  EXPECT_EQ(LatencyHistogram::BucketOf(-5), 0u);
  EXPECT_EQ(LatencyHistogram::BucketOf(INT64_MAX),
            LatencyHistogram::kBuckets - 1);
}

TEST(LatencyHistogramTest, PercentilesAreKnownWithinHalf) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.PercentileNs(0.5), 0);
  for (int64_t ms = 1; ms <= 1000; ++ms) histogram.Record(ms * 1'000'000);
  EXPECT_EQ(histogram.count(), 1000u);
  EXPECT_EQ(histogram.sum_ns(), 500'500 * 1'000'000LL);
  for (double share : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = share * 1e9;
    EXPECT_GE(static_cast<double>(histogram.PercentileNs(share)), exact);
    EXPECT_LE(static_cast<double>(histogram.PercentileNs(share)), exact * 1.5);
  }
  LatencyHistogram sum;
  sum.Add(histogram);
  sum.Add(histogram);
  EXPECT_EQ(sum.count(), 2000u);
  sum.Halve();
  EXPECT_EQ(sum.count(), 1000u);
}

class ObserveTest : public HoldingTest {};

TEST_F(ObserveTest, EachShardHasItsHistogramAndCounters) {
  FakeNode* node = AddNode({.shards = 2});
  std::map<uint32_t, uint64_t> asked;
  node->on_execute = [&](const FakeRequest& request) {
    ++asked[request.connection->shard];
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    auto update = co_await session->Prepare(std::string(kUpdate),
                                            {.access = Access::kWrite});
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(update);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 5; }));
    for (int64_t key = 0; key < 100; ++key) {
      Query read = session->Execute(**select, key);
      CO_ASSERT_OK(co_await read);
    }
    Query write = session->Execute(**update, std::string_view("x"), int64_t{1});
    CO_ASSERT_OK(co_await write);
    SessionStats stats = session->stats();
    EXPECT_EQ(stats.latency[0].count(), 100u);
    EXPECT_EQ(stats.latency[1].count(), 1u);
    uint64_t reads = 0;
    for (const ShardStats& shard : stats.shards) {
      EXPECT_EQ(shard.node, node->address());
      EXPECT_EQ(shard.reconnects, 0u);
      if (shard.for_writes) continue;
      reads += shard.latency.count();
      EXPECT_GT(shard.latency.count(), 0u);
      EXPECT_GT(shard.latency.PercentileNs(0.5), 0);
    }
    EXPECT_EQ(reads, 100u);
    EXPECT_EQ(asked[0] + asked[1], 101u);
    // Histograms outlive connections.
    node->KillConnections();
    CO_ASSERT_TRUE(co_await Eventually([&] {
      stats = session->stats();
      return stats.counters.connections_lost >= 4 &&
             session->connections() == 5;
    }));
    EXPECT_EQ(stats.latency[0].count(), 100u);
    for (const ShardStats& shard : stats.shards) {
      EXPECT_EQ(shard.reconnects, 1u);
    }
  });
}

TEST_F(ObserveTest, TimeoutsAndRetriesAreCountedWhereTheyHappen) {
  FakeNode* node = AddNode();
  HoldAll(node);
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    Query late =
        session->Execute(Within(absl::Milliseconds(5)), **select, int64_t{1});
    EXPECT_FALSE((co_await late).ok());
    EXPECT_EQ(session->stats().shards[0].timeouts, 1u);
    // A deadline so short says nothing about the server.
    EXPECT_EQ(session->stats().counters.overloaded, 0u);
    Query query = session->Execute(**select, int64_t{2});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
    held_[1].request.connection->Kill();
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 3; }));
    const SessionStats stats = session->stats();
    EXPECT_EQ(stats.shards[0].retries + stats.shards[1].retries, 1u);
    AnswerAll();
    CO_ASSERT_OK(co_await query);
  });
}

// What is kept says which statement, where and how it ended, never a value.
TEST_F(ObserveTest, SlowQueriesAreKeptWithoutTheirValues) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.slow_query = absl::Milliseconds(10);
  options.slow_queries_max = 3;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int i = 0; i < 4; ++i) {
      Query query = session->Execute(Within(absl::Milliseconds(20)), **select,
                                     int64_t{123456789});
      EXPECT_FALSE((co_await query).ok());
    }
    node->on_query = [&](const FakeRequest& request) {
      if (request.text.find("secret") == request.text.npos) return false;
      held_.push_back({request, 0});
      return true;
    };
    RequestOptions within = Within(absl::Milliseconds(20));
    Query text = session->ExecuteText(
        within, "INSERT INTO ks.t (key) VALUES ('secret')");
    EXPECT_FALSE((co_await text).ok());
    const std::vector<SlowQuery> slow = session->slow_queries();
    CO_ASSERT_TRUE(slow.size() == 3);
    EXPECT_LE(slow[0].ended, slow[1].ended);
    EXPECT_EQ(slow[0].statement, kSelect);
    EXPECT_EQ(slow[0].node, node->address());
    EXPECT_EQ(slow[0].outcome, absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(slow[0].sent, 1u);
    EXPECT_GE(slow[0].duration, absl::Milliseconds(10));
    EXPECT_EQ(slow[2].statement.find("secret"), std::string::npos);
  });
  held_.clear();
}

TEST_F(ObserveTest, FastQueriesAreNotKept) {
  AddNode();
  SessionOptions options = Options();
  options.slow_query = absl::InfiniteDuration();
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await query);
    EXPECT_TRUE(session->slow_queries().empty());
  });
}

TEST_F(ObserveTest, WhatIsInFlightCanBeListed) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 3;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    auto shared = co_await session->Prepare(
        std::string(kSelect), {.idempotent = true, .coalesce = true});
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(shared);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    QuerySet queries(session, 100);
    for (int64_t key = 0; key < 2; ++key) {
      queries.Add([&] { return session->Execute(**shared, int64_t{1}); });
    }
    for (int64_t key = 0; key < 6; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    int waiting = 0, sent = 0, following = 0;
    for (const QueryInFlight& query : session->in_flight(100)) {
      EXPECT_EQ(query.statement, kSelect);
      EXPECT_GE(query.age, absl::ZeroDuration());
      EXPECT_GT(query.left, absl::ZeroDuration());
      waiting += query.state == QueryInFlight::State::kWaiting ? 1 : 0;
      following += query.state == QueryInFlight::State::kFollowing ? 1 : 0;
      if (query.state == QueryInFlight::State::kSent) {
        ++sent;
        EXPECT_EQ(query.node, node->address());
      }
    }
    EXPECT_EQ(sent, 3);
    EXPECT_EQ(following, 1);
    EXPECT_EQ(waiting, 4);
    EXPECT_EQ(session->in_flight(5).size(), 5u);
    node->on_execute = nullptr;
    AnswerAll();
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
    EXPECT_TRUE(session->in_flight(100).empty());
  });
}

TEST_F(ObserveTest, WarningsAndTracesComeWithTheRows) {
  FakeNode* node = AddNode();
  std::vector<uint8_t> flags;
  node->on_execute = [&](const FakeRequest& request) {
    flags.push_back(request.flags);
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    auto update = co_await session->Prepare(std::string(kUpdate),
                                            {.access = Access::kWrite});
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(update);
    Query plain = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await plain;
    CO_ASSERT_OK(rows);
    EXPECT_TRUE(rows->warnings().empty());
    EXPECT_EQ(rows->tracing_id(), std::nullopt);

    Uuid id;
    id.bytes.fill(7);
    node->options().prefix.tracing_id = id;
    node->options().prefix.warnings = {"Read 5000 tombstones", "and another"};
    RequestOptions tracing;
    tracing.tracing = true;
    Query read = session->Execute(tracing, **select, int64_t{1});
    rows = co_await read;
    CO_ASSERT_OK(rows);
    EXPECT_THAT(rows->warnings(),
                ::testing::ElementsAre("Read 5000 tombstones", "and another"));
    EXPECT_EQ(rows->tracing_id(), id);
    EXPECT_EQ((*rows->begin()).Get<std::string>(1).value(), "v1");
    // A write has no rows, but may be warned of.
    Query write =
        session->Execute(tracing, **update, std::string_view("x"), int64_t{1});
    rows = co_await write;
    CO_ASSERT_OK(rows);
    EXPECT_EQ(rows->warnings().size(), 2u);
    EXPECT_THAT(flags, ::testing::ElementsAre(0, protocol::kFlagTracing,
                                              protocol::kFlagTracing));
    node->options().prefix = {};
  });
}

// ScyllaDB's per-partition rate limit: told as it is, and not tried again.
TEST_F(ObserveTest, ARateLimitIsATypedErrorAndNotRetried) {
  FakeNode* node = AddNode({.shards = 1});
  node->on_execute = [&](const FakeRequest& request) {
    ServerError error;
    error.code = ServerCode::kRateLimit;
    error.message = "Per-partition rate limit reached for writes";
    error.operation = 1;
    error.rejected_by_coordinator = true;
    std::string body;
    protocol::Writer writer(&body);
    protocol::EncodeError(&writer, error);
    writer.Finish();
    request.connection->Reply(request.stream, protocol::Opcode::kError, body);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ErrorCode(rows.status()), ServerCode::kRateLimit);
    const std::optional<ServerError> error = GetServerError(rows.status());
    CO_ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->operation, 1);
    EXPECT_TRUE(error->rejected_by_coordinator);
    EXPECT_EQ(node->executes, 1);
    EXPECT_EQ(session->stats().counters.retries, 0u);
  });
}

}  // namespace
}  // namespace cql::testing
