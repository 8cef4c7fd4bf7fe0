// The parts of the client that need no connection.
#include <algorithm>
#include <set>

#include "absl/random/random.h"
#include "cql/internal/chunk_pool.h"
#include "cql/internal/deadline_wheel.h"
#include "cql/internal/status_util.h"
#include "cql/internal/stream_table.h"
#include "cql/policy.h"
#include "cql/sharding.h"
#include "cql/topology.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cql {
namespace {

using ::testing::ElementsAre;

class Waiter final : public internal::PendingRequest {
 public:
  void OnAnswer(const internal::Answer&) override {}
  void OnConnectionLost(const absl::Status&) override {}
  void OnDeadline() override {
    ++expired;
    if (on_deadline) on_deadline();
  }
  int expired = 0;
  std::function<void()> on_deadline;
};

using internal::StreamTable;

TEST(StreamTableTest, AnOrphanIsNotTakenBeforeItsAnswer) {
  StreamTable table(32768);
  std::vector<std::unique_ptr<Waiter>> waiters;
  std::set<int16_t> ids;
  while (!table.full()) {
    waiters.push_back(std::make_unique<Waiter>());
    const int16_t id = table.Take(waiters.back().get());
    EXPECT_GE(id, 0);
    EXPECT_TRUE(ids.insert(id).second);
  }
  EXPECT_EQ(ids.size(), 32768u);
  table.Orphan(17);
  EXPECT_TRUE(table.exhausted());
  internal::PendingRequest* found = nullptr;
  EXPECT_EQ(table.Answer(17, &found), StreamTable::Found::kOrphan);
  EXPECT_EQ(table.Answer(17, &found), StreamTable::Found::kUnknown);
  Waiter again;
  EXPECT_EQ(table.Take(&again), 17);
  EXPECT_EQ(table.Answer(17, &found), StreamTable::Found::kRequest);
  EXPECT_EQ(found, &again);
}

// An id that was just freed rests: an answer that comes twice finds it free.
TEST(StreamTableTest, IdsAreTakenInTurn) {
  StreamTable table(1000);
  Waiter waiter;
  internal::PendingRequest* found = nullptr;
  int16_t last = -1;
  for (int i = 0; i < 1000; ++i) {
    const int16_t id = table.Take(&waiter);
    EXPECT_NE(id, last);
    EXPECT_EQ(table.Answer(id, &found), StreamTable::Found::kRequest);
    EXPECT_EQ(table.Answer(id, &found), StreamTable::Found::kUnknown);
    last = id;
  }
  EXPECT_EQ(table.Answer(-1, &found), StreamTable::Found::kUnknown);
  EXPECT_EQ(table.Answer(32767, &found), StreamTable::Found::kUnknown);
}

TEST(StreamTableTest, FirstFindsEveryoneWhoWaits) {
  StreamTable table(100);
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (int i = 0; i < 100; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    table.Take(waiters.back().get());
  }
  EXPECT_TRUE(table.full());
  EXPECT_FALSE(table.exhausted());
  table.Orphan(3);
  int16_t id = 0;
  int count = 0;
  while (table.First() != nullptr) {
    if (id == 3) ++id;
    table.Orphan(id++);
    ++count;
  }
  EXPECT_EQ(count, 99);
}

class DeadlineWheelTest : public ::testing::Test {
 protected:
  DeadlineWheelTest()
      : loop_(*ioloop::Loop::Create({.buffer_count = 16})),
        wheel_(loop_.get()) {}
  int64_t Now() { return internal::DeadlineWheel::Milliseconds(loop_->now()); }
  void RunFor(int64_t milliseconds) {
    const int64_t end = Now() + milliseconds;
    while (Now() < end) {
      ASSERT_TRUE(loop_->RunOnce(absl::Milliseconds(1)).ok());
    }
    ASSERT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok());
  }
  std::unique_ptr<ioloop::Loop> loop_;
  internal::DeadlineWheel wheel_;
};

TEST_F(DeadlineWheelTest, NobodyIsEarlyAndNobodyIsForgotten) {
  std::vector<std::unique_ptr<Waiter>> waiters;
  const int64_t now = Now();
  for (int i = 0; i < 200; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    const int64_t due = now + (i * 37) % 100;
    waiters.back()->on_deadline = [this, due] { EXPECT_GE(Now(), due); };
    wheel_.Add(waiters.back().get(), due);
  }
  Waiter far, removed, past;
  wheel_.Add(&far, now + 17000);  // More than a round ahead.
  wheel_.Add(&removed, now + 10);
  wheel_.Add(&past, now - 100000);
  wheel_.Remove(&removed);
  wheel_.Remove(&removed);
  RunFor(150);
  for (const auto& waiter : waiters) EXPECT_EQ(waiter->expired, 1);
  EXPECT_EQ(past.expired, 1);
  EXPECT_EQ(removed.expired, 0);
  EXPECT_EQ(far.expired, 0);
  wheel_.Remove(&far);
}

TEST_F(DeadlineWheelTest, HandlersMayAddAndRemoveOthers) {
  Waiter first, second, third;
  const int64_t now = Now();
  // Whichever comes first takes the other out and puts a third in.
  const auto meddle = [&](Waiter* other) {
    wheel_.Remove(other);
    wheel_.Add(&third, Now());
  };
  first.on_deadline = [&] { meddle(&second); };
  second.on_deadline = [&] { meddle(&first); };
  wheel_.Add(&first, now + 1);
  wheel_.Add(&second, now + 1);
  RunFor(60);
  EXPECT_EQ(first.expired + second.expired, 1);
  EXPECT_EQ(third.expired, 1);
}

TEST(ChunkPoolTest, ChunksComeBackAndArePassedOn) {
  internal::ChunkPool* pool = internal::ChunkPool::Create(2000);
  internal::Chunk small = pool->Take(10);
  char* const memory = small.data();
  EXPECT_GE(small.capacity(), 10u);
  small.Reset();
  EXPECT_EQ(pool->retained_bytes(), 256u);
  small = pool->Take(200);
  EXPECT_EQ(small.data(), memory);
  internal::Chunk huge = pool->Take(1 << 20);
  EXPECT_GE(huge.capacity(), 1u << 20);
  huge.Reset();
  EXPECT_EQ(pool->retained_bytes(), 0u);
  // Past the bound memory goes back to the heap.
  internal::Chunk large = pool->Take(4000);
  large.Reset();
  EXPECT_EQ(pool->retained_bytes(), 0u);
  EXPECT_EQ(pool->lent(), 1u);
  pool->Release();
  small.data()[0] = 'x';  // Still lives.
}

TEST(SourcePortsTest, EveryPortOfTheShardComesOnce) {
  for (uint32_t shards : {1u, 3u, 12u, 96u, 4096u}) {
    for (uint32_t shard : {0u, shards / 2, shards - 1}) {
      SourcePorts ports(shard, shards, 12345);
      std::set<uint16_t> seen;
      while (std::optional<uint16_t> port = ports.Next()) {
        EXPECT_EQ(*port % shards, shard);
        EXPECT_GE(*port, SourcePorts::kFirst);
        EXPECT_TRUE(seen.insert(*port).second);
      }
      EXPECT_GE(seen.size(), (65536 - SourcePorts::kFirst) / shards - 1);
    }
  }
}

TEST(BackoffTest, DelaysDoubleUpToTheirBoundWithJitter) {
  absl::BitGen random;
  Backoff backoff(absl::Milliseconds(50), absl::Seconds(10));
  for (double expected : {50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0,
                          6400.0, 10000.0, 10000.0}) {
    const double delay = absl::ToDoubleMilliseconds(backoff.Next(random));
    EXPECT_GE(delay, expected * 0.849);
    EXPECT_LE(delay, expected * 1.151);
  }
  for (int i = 0; i < 100; ++i) backoff.Next(random);
  backoff.Reset();
  EXPECT_LT(backoff.Next(random), absl::Milliseconds(60));
}

NodeInfo Node(int number, std::string datacenter, std::string rack,
              std::vector<int64_t> tokens) {
  NodeInfo node;
  node.host_id = std::string(16, static_cast<char>(number));
  node.address =
      ioloop::SocketAddress::Loopback(static_cast<uint16_t>(9000 + number));
  node.datacenter = std::move(datacenter);
  node.rack = std::move(rack);
  node.tokens = std::move(tokens);
  return node;
}

Replication Parse(
    std::vector<std::pair<std::string_view, std::string_view>> options) {
  return Replication::Parse(options);
}

TEST(ReplicationTest, ReadsWhatServersWrite) {
  EXPECT_EQ(Parse({{"class", "org.apache.cassandra.locator.SimpleStrategy"},
                   {"replication_factor", "3"}})
                .factor,
            3u);
  const Replication network = Parse(
      {{"class", "NetworkTopologyStrategy"}, {"dc1", "3/1"}, {"dc2", "2"}});
  EXPECT_EQ(network.strategy, Replication::Strategy::kNetworkTopology);
  EXPECT_EQ(network.datacenters.at("dc1"), 3u);
  EXPECT_EQ(network.datacenters.at("dc2"), 2u);
  for (auto options :
       std::vector<std::vector<std::pair<std::string_view, std::string_view>>>{
           {},
           {{"class", "LocalStrategy"}},
           {{"class", "SimpleStrategy"}},
           {{"class", "SimpleStrategy"}, {"replication_factor", "-1"}},
           {{"class", "SimpleStrategy"},
            {"replication_factor", "99999999999"}}}) {
    EXPECT_EQ(Replication::Parse(options).strategy,
              Replication::Strategy::kUnknown);
  }
}

TEST(TopologyTest, RangesEndAtTheirTokenAndTheRingCloses) {
  auto topology = Topology::Build(
      {Node(0, "dc1", "r1", {0}), Node(1, "dc1", "r1", {100}),
       Node(2, "dc1", "r1", {200})},
      "dc1",
      {{"one",
        Parse({{"class", "SimpleStrategy"}, {"replication_factor", "1"}})},
       {"two",
        Parse({{"class", "SimpleStrategy"}, {"replication_factor", "2"}})},
       {"all",
        Parse({{"class", "SimpleStrategy"}, {"replication_factor", "9"}})}});
  ASSERT_TRUE(topology.ok());
  const auto replicas = [&](std::string_view keyspace, int64_t token) {
    const auto span =
        (*topology)->Find(keyspace)->Replicas((*topology)->RangeOf(token));
    return std::vector<int>(span.begin(), span.end());
  };
  EXPECT_THAT(replicas("one", 0), ElementsAre(0));
  EXPECT_THAT(replicas("one", 1), ElementsAre(1));
  EXPECT_THAT(replicas("one", 100), ElementsAre(1));
  EXPECT_THAT(replicas("one", 200), ElementsAre(2));
  EXPECT_THAT(replicas("one", 201), ElementsAre(0));
  EXPECT_THAT(replicas("one", INT64_MIN), ElementsAre(0));
  EXPECT_THAT(replicas("two", 150), ElementsAre(2, 0));
  EXPECT_THAT(replicas("all", 50), ElementsAre(1, 2, 0));
  EXPECT_EQ((*topology)->Find("none"), nullptr);
}

TEST(TopologyTest, EveryTokenIsFoundInRingsOfEverySize) {
  for (int size = 1; size <= 40; ++size) {
    std::vector<int64_t> tokens;
    for (int64_t i = 0; i < size; ++i) tokens.push_back(i * 10);
    auto topology = Topology::Build({Node(0, "dc1", "r1", tokens)}, "dc1", {});
    ASSERT_TRUE(topology.ok());
    for (int64_t token = -5; token <= size * 10; ++token) {
      const auto end = std::lower_bound(tokens.begin(), tokens.end(), token);
      EXPECT_EQ((*topology)->RangeOf(token),
                static_cast<size_t>(end - tokens.begin()) % tokens.size())
          << token << " of " << size;
    }
  }
}

TEST(TopologyTest, NetworkTopologySpreadsOverRacksAndPrefersTheLocalOne) {
  // Ring: dc1/r1, dc1/r1, dc2/r1, dc1/r2, dc2/r2.
  auto topology = Topology::Build(
      {Node(0, "dc1", "r1", {0}), Node(1, "dc1", "r1", {100}),
       Node(2, "dc2", "r1", {200}), Node(3, "dc1", "r2", {300}),
       Node(4, "dc2", "r2", {400})},
      "dc2",
      {{"ks", Parse({{"class", "NetworkTopologyStrategy"},
                     {"dc1", "2"},
                     {"dc2", "1"},
                     {"nowhere", "3"}})},
       {"three", Parse({{"class", "NetworkTopologyStrategy"}, {"dc1", "3"}})}});
  ASSERT_TRUE(topology.ok());
  const auto replicas = [&](std::string_view keyspace, int64_t token) {
    const auto span =
        (*topology)->Find(keyspace)->Replicas((*topology)->RangeOf(token));
    return std::vector<int>(span.begin(), span.end());
  };
  // Node 1 shares the rack of node 0: node 3 comes before it.
  EXPECT_THAT(replicas("ks", -5), ElementsAre(2, 0, 3));
  EXPECT_THAT(replicas("ks", 50), ElementsAre(2, 1, 3));
  EXPECT_THAT(replicas("ks", 250), ElementsAre(4, 3, 0));
  EXPECT_THAT(replicas("three", 50), ElementsAre(1, 3, 0));
}

TEST(TopologyTest, NoTokensMeansNoRouting) {
  auto topology = Topology::Build(
      {Node(0, "dc1", "r1", {})}, "dc1",
      {{"ks",
        Parse({{"class", "SimpleStrategy"}, {"replication_factor", "1"}})}});
  ASSERT_TRUE(topology.ok());
  EXPECT_EQ((*topology)->Find("ks"), nullptr);
}

TEST(TopologyTest, AClusterPastTheBoundsIsRefused) {
  EXPECT_EQ(
      Topology::Build(std::vector<NodeInfo>(Topology::kNodesMax + 1), "", {})
          .status()
          .code(),
      absl::StatusCode::kResourceExhausted);
}

TEST(StatusUtilTest, StatementsAreShortenedToALine) {
  EXPECT_EQ(internal::Shorten("SELECT\n  a,\t b  FROM t "),
            "SELECT a, b FROM t");
  const std::string line = internal::Shorten(std::string(500, 'x'));
  EXPECT_EQ(line.size(), 80u);
  EXPECT_TRUE(line.ends_with("..."));
}

TEST(StatusUtilTest, AnnotationsKeepCodeAndPayload) {
  absl::Status status = absl::DataLossError("lost");
  status.SetPayload("url", absl::Cord("payload"));
  const absl::Status annotated = internal::Annotate("reading", status);
  EXPECT_EQ(annotated.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(annotated.message(), "reading: lost");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
}

}  // namespace
}  // namespace cql
