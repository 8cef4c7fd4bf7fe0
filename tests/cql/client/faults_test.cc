// What goes wrong: lateness, lies, and connections that die.
#include <algorithm>
#include <cstring>
#include <random>

#include "tests/cql/client/holding_test.h"

namespace cql::testing {
namespace {

using ioloop::Task;

constexpr StatementOptions kIdempotent{.idempotent = true};
constexpr StatementOptions kNotIdempotent{};

class FaultsTest : public HoldingTest {};

// A hundred thousand requests; each tenth is answered only after its caller
// has left, all in random order. Every answer must be for the key asked.
TEST_F(FaultsTest, LateAnswersNeverReachAnotherQuery) {
  constexpr int kWaves = 100;
  constexpr int kPerWave = 1000;
  FakeNode* node = AddNode();
  std::mt19937 random(20261123);
  std::vector<Held> late;
  node->on_execute = [&](const FakeRequest& request) {
    const int64_t key = request.key();
    (key % 10 == 0 ? late : held_).push_back({request, key});
    return true;
  };
  int wrong = 0, answered = 0, timed_out = 0, other = 0;
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int wave = 0; wave < kWaves; ++wave) {
      QuerySet queries(session, kPerWave);
      for (int i = 0; i < kPerWave; ++i) {
        const int64_t key = wave * kPerWave + i;
        RequestOptions options =
            Within(key % 10 == 0 ? absl::Milliseconds(1) : absl::Seconds(60));
        queries.Add([&] { return session->Execute(options, **select, key); });
      }
      // The node has them all; the late ones of the wave before go between.
      CO_ASSERT_TRUE(co_await Eventually([&] {
        return held_.size() == kPerWave - kPerWave / 10 &&
               late.size() ==
                   static_cast<size_t>(kPerWave / 10 * (wave == 0 ? 1 : 2));
      }));
      if (wave != 0) {
        held_.insert(held_.end(), late.begin(), late.begin() + kPerWave / 10);
        late.erase(late.begin(), late.begin() + kPerWave / 10);
      }
      std::shuffle(held_.begin(), held_.end(), random);
      for (const Held& held : held_) held.Answer();
      held_.clear();
      for (int i = 0; i < kPerWave; ++i) {
        absl::StatusOr<Rows> rows = co_await queries[static_cast<size_t>(i)];
        if (rows.ok()) {
          ++answered;
          if ((*rows->begin()).Get<int64_t>(0).value() != wave * kPerWave + i) {
            ++wrong;
          }
        } else if (absl::IsDeadlineExceeded(rows.status())) {
          ++timed_out;
        } else {
          ++other;
        }
      }
    }
    const SessionStats stats = session->stats();
    EXPECT_EQ(stats.counters.timeouts, static_cast<uint64_t>(timed_out));
    EXPECT_EQ(stats.counters.connections_lost, 0u);
    EXPECT_GE(stats.counters.late_answers, 99u * kPerWave / 10);
  });
  late.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(other, 0);
  EXPECT_EQ(answered, kWaves * kPerWave * 9 / 10);
  EXPECT_EQ(timed_out, kWaves * kPerWave / 10);
}

// A server that answers twice is not believed any more: its connection ends,
// and nobody gets an answer that is not theirs.
TEST_F(FaultsTest, DuplicateAnswersNeverReachAnotherQuery) {
  FakeNode* node = AddNode();
  std::mt19937 random(7);
  int executes = 0;
  node->on_execute = [&](const FakeRequest& request) {
    const Held held{request, request.key()};
    held.Answer();
    if (++executes % 50 == 0) held.Answer();
    return true;
  };
  int wrong = 0, answered = 0;
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    for (int wave = 0; wave < 50; ++wave) {
      CO_ASSERT_TRUE(
          co_await Eventually([&] { return session->connections() >= 2; }));
      QuerySet queries(session, 100);
      for (int64_t key = 0; key < 40; ++key) {
        queries.Add([&] { return session->Execute(**select, key); });
      }
      for (int64_t key = 0; key < 40; ++key) {
        absl::StatusOr<Rows> rows = co_await queries[static_cast<size_t>(key)];
        if (!rows.ok()) continue;
        ++answered;
        if ((*rows->begin()).Get<int64_t>(0).value() != key) ++wrong;
      }
    }
    EXPECT_GT(session->stats().counters.connections_lost, 0u);
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(answered, 1000);
}

class LyingStreamTest : public FaultsTest,
                        public ::testing::WithParamInterface<int> {};

TEST_P(LyingStreamTest, AnAnswerNobodyAskedForEndsTheConnection) {
  FakeNode* node = AddNode();
  bool lie = true;
  node->on_execute = [&](const FakeRequest& request) {
    if (!std::exchange(lie, false)) return false;
    request.connection->ReplyVoid(static_cast<int16_t>(GetParam()));
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    Query query = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await query);  // Idempotent: by another connection.
    EXPECT_EQ(session->stats().counters.connections_lost, 1u);
    EXPECT_EQ(session->stats().counters.retries, 1u);
  });
}
INSTANTIATE_TEST_SUITE_P(Ids, LyingStreamTest,
                         ::testing::Values(-1, -2, -32768, 63, 1000, 32767));

class BrokenBytesTest : public FaultsTest,
                        public ::testing::WithParamInterface<std::string> {};

TEST_P(BrokenBytesTest, BytesThatMakeNoSenseEndTheConnectionNotTheProcess) {
  FakeNode* node = AddNode();
  bool lie = true;
  node->on_execute = [&](const FakeRequest& request) {
    if (!std::exchange(lie, false)) return false;
    request.connection->Raw(GetParam());
    request.connection->Kill();
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), kNotIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("may have been applied"));
    // The next one finds another connection.
    Query again = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await again);
  });
}
INSTANTIATE_TEST_SUITE_P(
    Bytes, BrokenBytesTest,
    ::testing::Values(std::string(), std::string("\x84", 1),
                      std::string("\x84\0\0\0\x08\0\0\0", 8),
                      std::string("\x84\0\0\0\x08\0\0\0\x10half", 13),
                      std::string("\x83\0\0\0\x08\0\0\0\0", 9),
                      std::string("\x04\0\0\0\x08\0\0\0\0", 9),
                      std::string("\x84\0\0\0\x08\xff\xff\xff\xff", 9),
                      std::string("\x84\0\0\0\x08\x7f\xff\xff\xff", 9),
                      std::string("HTTP/1.1 400 Bad Request\r\n\r\n")));

TEST_F(FaultsTest, AnAnswerThatMakesNoSenseIsAnErrorOfItsQueryOnly) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    if (request.key() != 1) return false;
    request.connection->Reply(request.stream, protocol::Opcode::kResult,
                              std::string_view("\0\0\0\2\0\0\0\4\0\0\0\2"
                                               "\x7f\xff\xff\xff",
                                               16));
    return true;
  };
  Run([](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query bad = session->Execute(**select, int64_t{1});
    Query good = session->Execute(**select, int64_t{2});
    EXPECT_FALSE((co_await bad).ok());
    CO_ASSERT_OK(co_await good);
    EXPECT_EQ(session->stats().counters.malformed, 1u);
    EXPECT_EQ(session->stats().counters.connections_lost, 0u);
  });
}

TEST_F(FaultsTest, AConnectionThatDiesRetriesOnlyWhatIsIdempotent) {
  FakeNode* node = AddNode();
  std::map<int64_t, int> seen;
  bool kill = true;
  node->on_execute = [&](const FakeRequest& request) {
    ++seen[request.key()];
    if (seen.size() < 20 || !std::exchange(kill, false)) return kill;
    node->KillConnections();
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto safe = co_await session->Prepare(std::string(kSelect), kIdempotent);
    auto unsafe =
        co_await session->Prepare(std::string(kSelect), kNotIdempotent);
    CO_ASSERT_OK(safe);
    CO_ASSERT_OK(unsafe);
    QuerySet queries(session, 100);
    for (int64_t key = 0; key < 20; ++key) {
      queries.Add([&] {
        return session->Execute(key % 2 == 0 ? **safe : **unsafe, key);
      });
    }
    for (int64_t key = 0; key < 20; ++key) {
      absl::StatusOr<Rows> rows = co_await queries[static_cast<size_t>(key)];
      EXPECT_FALSE(key % 2 == 1 && rows.ok()) << key;
    }
  });
  for (int64_t key = 1; key < 20; key += 2) EXPECT_EQ(seen[key], 1) << key;
  for (int64_t key = 0; key < 20; key += 2) EXPECT_LE(seen[key], 2) << key;
}

TEST_F(FaultsTest, ANodeThatComesBackIsUsedAgain) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    co_await node->StopListening();
    node->KillConnections();
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 0; }));
    Query down = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await down;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("no connection"));
    node->ForgetPrepared();
    node->Listen();
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    Query up = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await up);
  });
}

TEST_F(FaultsTest, AForgottenStatementIsPreparedOnceForAllWhoNeedIt) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), kNotIdempotent);
    CO_ASSERT_OK(select);
    EXPECT_EQ(node->prepares, 1);
    node->ForgetPrepared();
    QuerySet queries(session, 1000);
    for (int64_t key = 0; key < 500; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    for (int64_t key = 0; key < 500; ++key) {
      absl::StatusOr<Rows> rows = co_await queries[static_cast<size_t>(key)];
      CO_ASSERT_OK(rows);
      EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), key);
    }
    EXPECT_EQ(node->prepares, 2);
    EXPECT_EQ(session->stats().counters.unprepared, 500u);
  });
}

TEST_F(FaultsTest, AServerThatAlwaysForgetsIsAnErrorSoon) {
  FakeNode* node = AddNode();
  node->on_execute = [](const FakeRequest& request) {
    request.connection->ReplyError(request.stream, ServerCode::kUnprepared,
                                   "never heard of it",
                                   request.execute->statement_id);
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query query = session->Execute(**select, int64_t{1});
    EXPECT_EQ(ErrorCode((co_await query).status()), ServerCode::kUnprepared);
    EXPECT_LE(node->executes, 3);
    EXPECT_LE(node->prepares, 3);
  });
}

TEST_F(FaultsTest, AConnectionWithTooManyOrphansIsReplacedAndLosesNothing) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.orphans_max = 10;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    const int accepted = node->accepted;
    Query patient = session->Execute(**select, int64_t{4711});
    for (int64_t key = 0; key < 11; ++key) {
      Query forgotten = session->Execute(**select, key);
    }
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return node->accepted == accepted + 1; }));
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 12; }));
    for (const Held& held : held_) held.Answer();
    absl::StatusOr<Rows> rows = co_await patient;
    CO_ASSERT_OK(rows);
    EXPECT_EQ((*rows->begin()).Get<int64_t>(0).value(), 4711);
    node->on_execute = nullptr;
    Query fresh = session->Execute(**select, int64_t{1});
    CO_ASSERT_OK(co_await fresh);
    const SessionCounters counters = session->stats().counters;
    EXPECT_EQ(counters.connections_worn_out, 1u);
    EXPECT_EQ(counters.connections_lost, 0u);
    EXPECT_EQ(counters.abandoned, 11u);
  });
  held_.clear();
}

TEST_F(FaultsTest, PastTheBoundsAQueryIsRefusedAtOnce) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 4;
  options.queued_max = 3;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    QuerySet queries(session, 100);
    for (int64_t key = 0; key < 10; ++key) {
      queries.Add([&] { return session->Execute(**select, key); });
    }
    EXPECT_EQ(queries.unanswered(), 7u);
    for (size_t i = 7; i < 10; ++i) {
      absl::StatusOr<Rows> refused = co_await queries[i];
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    }
    CO_ASSERT_TRUE(co_await Eventually([&] { return held_.size() == 4; }));
    node->on_execute = nullptr;
    for (const Held& held : held_) held.Answer();
    for (size_t i = 0; i < 7; ++i) CO_ASSERT_OK(co_await queries[i]);
    EXPECT_EQ(session->stats().counters.refused, 3u);
    EXPECT_EQ(session->stats().counters.queued, 3u);
  });
  held_.clear();
}

TEST_F(FaultsTest, ADeadlineEndsWhatWaitsInLineUnsent) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 1;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    Query first = session->Execute(**select, int64_t{1});
    Query second =
        session->Execute(Within(absl::Milliseconds(5)), **select, int64_t{2});
    absl::StatusOr<Rows> rows = co_await second;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("before it could be sent"));
    Query past =
        session->Execute(Within(-absl::Seconds(1)), **select, int64_t{3});
    EXPECT_TRUE(past.done());
    for (const Held& held : held_) held.Answer();
    CO_ASSERT_OK(co_await first);
    EXPECT_EQ(node->executes, 1);
  });
  held_.clear();
}

TEST_F(FaultsTest, AQueryMayBeDroppedWhereverItIs) {
  FakeNode* node = AddNode();
  HoldAll(node);
  SessionOptions options = Options();
  options.in_flight_max = 2;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    node->ForgetPrepared();
    {
      Query sent = session->Execute(**select, int64_t{1});
      Query also_sent = session->Execute(**select, int64_t{2});
      Query in_line = session->Execute(**select, int64_t{3});
    }
    {
      // Waits for the PREPARE that UNPREPARED brings about.
      Query query = session->Execute(**select, int64_t{4});
      CO_ASSERT_TRUE(co_await Eventually([&] { return node->prepares == 2; }));
    }
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.late_answers >= 2; }));
    node->on_execute = nullptr;
    Query query = session->Execute(**select, int64_t{5});
    CO_ASSERT_OK(co_await query);
  });
  held_.clear();
}

TEST_F(FaultsTest, CloseEndsEveryQueryOnce) {
  FakeNode* node = AddNode();
  HoldAll(node);
  int ended = 0;
  auto wait = [&](Session* session, const PreparedStatement* select,
                  int64_t key) -> Task<void> {
    Query query = session->Execute(*select, key);
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kCancelled);
    ++ended;
  };
  SessionOptions options = Options();
  options.in_flight_max = 50;
  Run(options, [&](Session* session) -> Task<void> {
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    CO_ASSERT_OK(select);
    ioloop::TaskGroup group;
    for (int64_t key = 0; key < 100; ++key) {
      group.Spawn(wait(session, *select, key));
    }
    co_await session->Close();
    co_await group.Join();
    Query late = session->Execute(**select, int64_t{1});
    EXPECT_EQ((co_await late).status().code(), absl::StatusCode::kCancelled);
  });
  EXPECT_EQ(ended, 100);
  held_.clear();
}

// Over a second: the heartbeat looks once a second.
TEST_F(FaultsTest, AServerThatFallsSilentIsGivenUp) {
  FakeNode* node = AddNode();
  HoldAll(node);
  bool silent = false;
  node->on_options = [&](const FakeRequest&) { return silent; };
  SessionOptions options = Options();
  options.heartbeat_interval = absl::Seconds(1);
  options.heartbeat_timeout = absl::Milliseconds(50);
  Run(options, [&](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), kNotIdempotent);
    CO_ASSERT_OK(select);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
    silent = true;
    Query query = session->Execute(**select, int64_t{1});
    absl::StatusOr<Rows> rows = co_await query;
    EXPECT_EQ(rows.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(rows.status().ToString(), HasSubstr("does not answer"));
    silent = false;
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->connections() == 3; }));
  });
  held_.clear();
}

TEST_F(FaultsTest, AFloodOfEventsCostsFewReadings) {
  FakeNode* node = AddNode();
  Run([&](Session* session) -> Task<void> {
    const int before = node->peers_reads;
    protocol::Event event;
    event.kind = protocol::Event::Kind::kTopologyChange;
    event.name = "TOPOLOGY_CHANGE";
    event.change = "NEW_NODE";
    for (int i = 0; i < 20000; ++i) node->SendEvent(event);
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.events == 20000; }));
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return node->peers_reads > before; }));
    EXPECT_LT(node->peers_reads - before, 100);
  });
}

TEST_F(FaultsTest, ANodeThatStartsUpHandsARequestToAnother) {
  FakeNode* first = AddNode();
  FakeNode* second = AddNode({.tokens = {100}});
  first->on_execute = [](const FakeRequest& request) {
    request.connection->ReplyError(request.stream, ServerCode::kIsBootstrapping,
                                   "wait");
    return true;
  };
  Run([&](Session* session) -> Task<void> {
    auto select =
        co_await session->Prepare(std::string(kSelect), kNotIdempotent);
    CO_ASSERT_OK(select);
    for (int64_t key = 0; key < 20; ++key) {
      Query query = session->Execute(**select, key);
      CO_ASSERT_OK(co_await query);
    }
    EXPECT_EQ(second->executes, 20);
  });
}

}  // namespace
}  // namespace cql::testing
