// USING TIMEOUT: the server is told how long the caller waits.
#include <string>
#include <vector>

#include "cql/internal/using_timeout.h"
#include "cql/protocol/value_types.h"
#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using internal::WithTimeoutMarker;
using ioloop::Task;
using protocol::TypeId;

// --- The text ----------------------------------------------------------------

struct TextCase {
  std::string text;
  std::string with_timeout;  // Empty: stays as it is.
  int marker = -1;
};

class TimeoutTextTest : public ::testing::TestWithParam<TextCase> {};

TEST_P(TimeoutTextTest, TheClauseGoesWhereTheGrammarHasIt) {
  const auto result = WithTimeoutMarker(GetParam().text);
  if (GetParam().with_timeout.empty()) {
    EXPECT_EQ(result, std::nullopt) << result->text;
    return;
  }
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->text, GetParam().with_timeout);
  EXPECT_EQ(result->marker, GetParam().marker);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, TimeoutTextTest,
    ::testing::Values(
        TextCase{"SELECT a FROM t WHERE k = ?",
                 "SELECT a FROM t WHERE k = ? USING TIMEOUT ?", 1},
        TextCase{"select a from t ;  ", "select a from t USING TIMEOUT ? ;  ",
                 0},
        TextCase{"SELECT a FROM t WHERE k IN (?, ?) LIMIT ? -- the end ?",
                 "SELECT a FROM t WHERE k IN (?, ?) LIMIT ? USING TIMEOUT ? "
                 "-- the end ?",
                 3},
        TextCase{"SELECT \"using timeout?\", '?' FROM t /* ? */ WHERE k = 'x'",
                 "SELECT \"using timeout?\", '?' FROM t /* ? */ WHERE k = 'x' "
                 "USING TIMEOUT ?",
                 0},
        TextCase{"SELECT a FROM t ALLOW FILTERING BYPASS CACHE",
                 "SELECT a FROM t ALLOW FILTERING BYPASS CACHE USING TIMEOUT ?",
                 0},
        TextCase{"INSERT INTO t (k, set) VALUES (?, ?) IF NOT EXISTS",
                 "INSERT INTO t (k, set) VALUES (?, ?) IF NOT EXISTS USING "
                 "TIMEOUT ?",
                 2},
        TextCase{"INSERT INTO t (k) VALUES (?) USING TTL ?",
                 "INSERT INTO t (k) VALUES (?) USING TTL ? AND TIMEOUT ?", 2},
        TextCase{"UPDATE ks.t SET v = ? WHERE k = ?",
                 "UPDATE ks.t USING TIMEOUT ? SET v = ? WHERE k = ?", 0},
        TextCase{"UPDATE t USING TTL ? SET v = {'a': ?} WHERE k = ?",
                 "UPDATE t USING TTL ? AND TIMEOUT ? SET v = {'a': ?} WHERE k "
                 "= ?",
                 1},
        TextCase{"DELETE m[?] FROM t USING TIMESTAMP ? WHERE k = ?",
                 "DELETE m[?] FROM t USING TIMESTAMP ? AND TIMEOUT ? WHERE k "
                 "= ?",
                 2},
        TextCase{"SELECT a FROM t USING TIMEOUT 5ms"},
        TextCase{"UPDATE t USING TTL 5 AND TIMEOUT ? SET v = ? WHERE k = ?"},
        TextCase{"SELECT a FROM t WHERE k = :k"},
        TextCase{"CREATE TABLE t (k int PRIMARY KEY)"},
        TextCase{"BEGIN BATCH INSERT INTO t (k) VALUES (1) APPLY BATCH"},
        TextCase{"UPDATE t"}, TextCase{""}, TextCase{"'"}, TextCase{"/*"}));

// --- In a session ------------------------------------------------------------

// Takes the timeout out of the values that the node was given.
class ServerTimeoutTest : public HoldingTest {
 protected:
  static FakeStatement SelectWithTimeout() {
    FakeStatement statement = SelectStatement();
    statement.text += " USING TIMEOUT ?";
    statement.binds.push_back({"ks", "t", "[timeout]", TypeId::kDuration});
    return statement;
  }
  static FakeStatement UpdateWithTimeout() {
    FakeStatement statement = UpdateStatement();
    statement.text = "UPDATE ks.t USING TIMEOUT ? SET value = ? WHERE key = ?";
    statement.binds.insert(statement.binds.begin(),
                           {"ks", "t", "[timeout]", TypeId::kDuration});
    statement.partition_key = {2};
    return statement;
  }
  static int64_t Milliseconds(const FakeRequest& request, size_t index) {
    const std::string_view bytes = request.execute->bound.values[index].bytes;
    Duration duration;
    EXPECT_TRUE(protocol::DecodeValue(
                    TypeId::kDuration,
                    {bytes.data(), static_cast<int32_t>(bytes.size())},
                    &duration)
                    .ok());
    // What ScyllaDB takes: whole milliseconds.
    EXPECT_EQ(duration.months, 0);
    EXPECT_EQ(duration.days, 0);
    EXPECT_EQ(duration.nanoseconds % 1'000'000, 0);
    return duration.nanoseconds / 1'000'000;
  }
};

constexpr StatementOptions kReadInTime{.idempotent = true,
                                       .server_timeout = true};
constexpr StatementOptions kWriteInTime{.access = Access::kWrite,
                                        .server_timeout = true};

TEST_F(ServerTimeoutTest, ScyllaIsToldHowMuchTimeIsLeft) {
  FakeNode* node = AddNode({.shards = 2});
  node->AddStatement(SelectWithTimeout());
  node->AddStatement(UpdateWithTimeout());
  std::vector<int64_t> told;
  node->on_execute = [&](const FakeRequest& request) {
    const bool select = request.statement->binds[0].name == "key";
    told.push_back(Milliseconds(request, select ? 1 : 0));
    EXPECT_EQ(request.key(), 7);
    if (!select) {
      EXPECT_EQ(request.execute->bound.values[1].bytes, "new");
    }
    return false;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kReadInTime);
    auto update = co_await session->Prepare(std::string(kUpdate), kWriteInTime);
    CO_ASSERT_OK(select);
    CO_ASSERT_OK(update);
    // Callers do not see the marker.
    EXPECT_EQ((*select)->columns().size(), 1u);
    EXPECT_EQ((*update)->columns().size(), 2u);
    EXPECT_TRUE((*update)->routable());
    for (const auto timeout : {absl::Seconds(5), absl::Hours(3)}) {
      Query read = session->Execute(Within(timeout), **select, int64_t{7});
      absl::StatusOr<Rows> rows = co_await read;
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<std::string>(1).value(), "v7");
      Query write = session->Execute(Within(timeout), **update,
                                     std::string_view("new"), int64_t{7});
      CO_ASSERT_OK(co_await write);
      for (int64_t milliseconds : std::exchange(told, {})) {
        EXPECT_GT(milliseconds, 0);
        EXPECT_LE(milliseconds, absl::ToInt64Milliseconds(timeout));
      }
    }
  });
}

// What is sent again is told what is left then, not what there was at first.
TEST_F(ServerTimeoutTest, ARetryIsToldWhatIsLeftThen) {
  FakeNode* node = AddNode({.shards = 1});
  node->AddStatement(SelectWithTimeout());
  std::vector<int64_t> told;
  node->on_execute = [&](const FakeRequest& request) {
    told.push_back(Milliseconds(request, 1));
    held_.push_back({request, request.key()});
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kReadInTime);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    const absl::Time begin = loop_->now();
    Query query =
        session->Execute(Within(absl::Seconds(50)), **select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] {
      return held_.size() == 1 && loop_->now() - begin > absl::Milliseconds(20);
    }));
    held_[0].request.connection->Kill();
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
    EXPECT_LE(told[1], told[0] - 20);
    held_[1].Answer();
    held_.clear();
    CO_ASSERT_OK(co_await query);
  });
}

// Plain Cassandra, and a ScyllaDB too old for it, get the text as it is.
TEST_F(ServerTimeoutTest, AServerThatDoesNotKnowItGetsThePlainText) {
  for (uint16_t shards : {0, 1}) {
    nodes_.clear();
    FakeNode* node = AddNode({.shards = shards});
    node->on_execute = [&](const FakeRequest& request) {
      EXPECT_EQ(request.statement->text, kSelect);
      EXPECT_EQ(request.execute->bound.values.size(), 1u);
      return false;
    };
    Run([&](Session* session) -> Task<void> {
      auto select =
          co_await session->Prepare(std::string(kSelect), kReadInTime);
      CO_ASSERT_OK(select);
      for (int i = 0; i < 3; ++i) {
        Query query = session->Execute(**select, int64_t{1});
        CO_ASSERT_OK(co_await query);
        node->ForgetPrepared();  // Prepared again, plain again.
      }
    });
  }
}

TEST_F(ServerTimeoutTest, ItDoesNotGoIntoABatch) {
  FakeNode* node = AddNode({.shards = 1});
  node->AddStatement(UpdateWithTimeout());
  Run([](Session* session) -> Task<void> {
    auto update = co_await session->Prepare(std::string(kUpdate), kWriteInTime);
    CO_ASSERT_OK(update);
    Batch batch(BatchType::kUnlogged);
    batch.Add(**update, std::string_view("x"), int64_t{1});
    Query query = session->ExecuteBatch({}, batch);
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument);
  });
}

// The server gives up for the one it was told of: later deadlines ask anew.
TEST_F(ServerTimeoutTest, ReadsShareOnlyARequestThatLastsAsLong) {
  FakeNode* node = AddNode({.shards = 1});
  node->AddStatement(SelectWithTimeout());
  HoldAll(node);
  Run([&](Session* session) -> Task<void> {
    StatementOptions options = kReadInTime;
    options.coalesce = true;
    auto select = co_await session->Prepare(std::string(kSelect), options);
    CO_ASSERT_OK(select);
    Query a = session->Execute(Within(absl::Seconds(30)), **select, int64_t{1});
    Query sooner =
        session->Execute(Within(absl::Seconds(20)), **select, int64_t{1});
    Query later =
        session->Execute(Within(absl::Seconds(40)), **select, int64_t{1});
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 2; }));
    EXPECT_EQ(session->stats().counters.coalesced, 1u);
    AnswerAll();
    CO_ASSERT_OK(co_await a);
    CO_ASSERT_OK(co_await sooner);
    CO_ASSERT_OK(co_await later);
  });
}

}  // namespace
}  // namespace cql::testing
