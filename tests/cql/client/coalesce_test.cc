// Equal reads that share one request.
#include <algorithm>
#include <optional>
#include <random>

#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using ioloop::Task;

constexpr StatementOptions kShared{.idempotent = true, .coalesce = true};

class CoalesceTest : public HoldingTest {};

TEST_F(CoalesceTest, EqualReadsInFlightAreSentOnce) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    HoldAll(node);
    std::optional<Rows> kept;
    {
      QuerySet queries(session, 100);
      for (int64_t i = 0; i < 50; ++i) {
        queries.Add([&] { return session->Execute(**select, i % 5); });
      }
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 5; }));
      AnswerAll();
      for (size_t i = 0; i < queries.size(); ++i) {
        absl::StatusOr<Rows> rows = co_await queries[i];
        CO_ASSERT_OK(rows);
        const int64_t key = static_cast<int64_t>(i % 5);
        EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), key);
        EXPECT_EQ((*rows->begin()).Get<std::string>(1).value(),
                  absl::StrCat("v", key));
        if (i == 7) kept = *std::move(rows);
      }
    }
    // Shared memory lives as long as the last of its owners.
    EXPECT_EQ((*kept->begin()).Get<std::string>(1).value(), "v2");
    EXPECT_EQ(node->executes, 5);
    EXPECT_EQ(session->stats().counters.coalesced, 45u);
    EXPECT_EQ(session->stats().counters.answered, 50u);
    // What is answered is shared no more.
    Query again = session->Execute(**select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
    AnswerAll();
    CO_ASSERT_OK(co_await again);
    EXPECT_EQ(node->executes, 6);
  });
}

TEST_F(CoalesceTest, WhatDiffersInAnythingIsSentByItself) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    auto same_text = co_await session->Prepare(std::string(kSelect), kShared);
    auto alone =
        co_await session->Prepare(std::string(kSelect), {.idempotent = true});
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(same_text);
    CO_ASSERT_OK(alone);
    HoldAll(node);
    RequestOptions page, consistency, tracing;
    page.page_size = 7;
    consistency.consistency = Consistency::kAll;
    tracing.tracing = true;
    QuerySet queries(session, 100);
    for (int i = 0; i < 2; ++i) {
      queries.Add([&] { return session->Execute(**select, int64_t{1}); });
      queries.Add([&] { return session->Execute(**same_text, int64_t{1}); });
      queries.Add([&] { return session->Execute(page, **select, int64_t{1}); });
      queries.Add(
          [&] { return session->Execute(consistency, **select, int64_t{1}); });
      queries.Add(
          [&] { return session->Execute(tracing, **select, int64_t{1}); });
      queries.Add([&] { return session->Execute(**alone, int64_t{1}); });
    }
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 7; }));
    EXPECT_EQ(session->stats().counters.coalesced, 5u);
    AnswerAll();
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
  });
}

TEST_F(CoalesceTest, AnErrorIsSharedToo) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    HoldAll(node);
    Query a = session->Execute(**select, int64_t{1});
    Query b = session->Execute(**select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
    held_[0].Fail(ServerCode::kReadTimeout, "slow replicas");
    held_.clear();
    absl::StatusOr<Rows> rows_a = co_await a;
    absl::StatusOr<Rows> rows_b = co_await b;
    EXPECT_EQ(ErrorCode(rows_a.status()), ServerCode::kReadTimeout);
    EXPECT_EQ(ErrorCode(rows_b.status()), ServerCode::kReadTimeout);
  });
}

// Whoever leaves first, the others get the one answer.
TEST_F(CoalesceTest, ACallerThatLeavesTakesNothingFromTheOthers) {
  FakeNode* node = AddNode();
  std::mt19937 random(20261130);
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    HoldAll(node);
    for (int64_t round = 0; round < 50; ++round) {
      constexpr size_t kCallers = 6;
      std::vector<std::unique_ptr<QuerySet>> callers;
      for (size_t i = 0; i < kCallers; ++i) {
        callers.push_back(std::make_unique<QuerySet>(session));
        callers.back()->Add([&] { return session->Execute(**select, round); });
      }
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
      std::shuffle(callers.begin(), callers.end(), random);
      callers.resize(1 + static_cast<size_t>(round) % kCallers);
      AnswerAll();
      for (auto& caller : callers) {
        absl::StatusOr<Rows> rows = co_await (*caller)[0];
        CO_ASSERT_OK(rows);
        EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), round);
      }
    }
    EXPECT_EQ(node->executes, 50);
    // When all leave, the answer is nobody's.
    {
      Query a = session->Execute(**select, int64_t{1});
      Query b = session->Execute(**select, int64_t{1});
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
    }
    AnswerAll();
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.late_answers == 1; }));
  });
}

TEST_F(CoalesceTest, EachKeepsItsOwnDeadline) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    HoldAll(node);
    // The one that was sent ends first, then a follower; another one waits.
    Query sent =
        session->Execute(Within(absl::Milliseconds(20)), **select, int64_t{1});
    Query follower =
        session->Execute(Within(absl::Milliseconds(60)), **select, int64_t{1});
    Query patient =
        session->Execute(Within(absl::Seconds(60)), **select, int64_t{1});
    absl::StatusOr<Rows> first = co_await sent;
    EXPECT_EQ(first.status().code(), absl::StatusCode::kDeadlineExceeded);
    absl::StatusOr<Rows> second = co_await follower;
    EXPECT_EQ(second.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_FALSE(patient.done());
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
    AnswerAll();
    CO_ASSERT_OK(co_await patient);
    EXPECT_EQ(node->executes, 1);
    EXPECT_EQ(session->stats().counters.timeouts, 2u);
    EXPECT_EQ(session->stats().counters.late_answers, 0u);
  });
}

// The request is handed on wherever it is: in line, too.
TEST_F(CoalesceTest, ARequestInLineIsHandedOn) {
  FakeNode* node = AddNode();
  SessionOptions options = Options();
  options.in_flight_max = 1;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    HoldAll(node);
    Query before = session->Execute(**select, int64_t{1});
    std::optional<QuerySet> leader(std::in_place, session);
    leader->Add([&] { return session->Execute(**select, int64_t{2}); });
    Query heir = session->Execute(**select, int64_t{2});
    EXPECT_EQ(session->stats().shards[0].waiting, 1u);
    leader.reset();
    EXPECT_EQ(session->stats().shards[0].waiting, 1u);
    for (int i = 0; i < 2; ++i) {
      CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
      AnswerAll();
    }
    CO_ASSERT_OK(co_await before);
    absl::StatusOr<Rows> rows = co_await heir;
    CO_ASSERT_OK(rows);
    EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), 2);
  });
}

TEST_F(CoalesceTest, AConnectionThatBreaksIsSurvivedByAll) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kShared);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    HoldAll(node);
    QuerySet queries(session);
    for (int i = 0; i < 10; ++i) {
      queries.Add([&] { return session->Execute(**select, int64_t{1}); });
    }
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 1; }));
    node->on_execute = nullptr;
    held_[0].request.connection->Kill();
    for (size_t i = 0; i < queries.size(); ++i) {
      CO_ASSERT_OK(co_await queries[i]);
    }
    EXPECT_EQ(node->executes, 2);
    held_.clear();
  });
}

TEST_F(CoalesceTest, OnlyIdempotentReadsMayShare) {
  AddNode();
  Run([](Session* session) -> Task<void> {
    const std::vector<StatementOptions> refused = {
        {.coalesce = true},
        {.access = Access::kWrite, .idempotent = true, .coalesce = true}};
    for (const StatementOptions& options : refused) {
      auto statement = co_await session->Prepare(std::string(kSelect), options);
      EXPECT_EQ(statement.status().code(), absl::StatusCode::kInvalidArgument);
    }
  });
}

}  // namespace
}  // namespace cql::testing
