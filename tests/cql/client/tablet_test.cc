// Tables whose tablets ScyllaDB moves about: learned from answers, kept, used.
#include "cql/protocol/tablet.h"

#include "cql/internal/tablet_cache.h"
#include "cql/internal/tablet_map.h"
#include "cql/protocol/token.h"
#include "tests/cql/client/client_test_util.h"

namespace cql::testing {
namespace {

using internal::DecodeTabletCache;
using internal::EncodeTabletCache;
using internal::TabletMap;
using internal::TabletTable;
using ioloop::Task;
using protocol::Tablet;

constexpr StatementOptions kIdempotent{.idempotent = true};
constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();

Uuid Host(uint8_t number) {
  Uuid host;
  host.bytes[15] = number;
  return host;
}

Tablet On(uint8_t host, int64_t first, int64_t last) {
  return {first, last, {{Host(host), 0}}};
}

// Which host holds a token; -1: not known.
int HostOf(const TabletMap& map, int64_t token) {
  const TabletTable* table = map.Find("ks", "t");
  if (table == nullptr) return -1;
  const auto replicas = table->Find(token);
  return replicas.empty() ? -1 : map.hosts()[replicas[0].host]->bytes[15];
}

TEST(TabletMapTest, ARangeHoldsItsLastTokenAndNotItsFirst) {
  TabletMap map(100);
  EXPECT_TRUE(map.Insert("ks", "t", On(1, 10, 20)));
  EXPECT_TRUE(map.Insert("ks", "t", On(2, 30, 40)));
  EXPECT_EQ(HostOf(map, 10), -1);
  EXPECT_EQ(HostOf(map, 11), 1);
  EXPECT_EQ(HostOf(map, 20), 1);
  EXPECT_EQ(HostOf(map, 21), -1);
  EXPECT_EQ(HostOf(map, 31), 2);
  EXPECT_EQ(HostOf(map, 41), -1);
  EXPECT_EQ(map.Find("ks", "other"), nullptr);
}

TEST(TabletMapTest, ATabletTakesThePlaceOfThoseItOverlaps) {
  TabletMap map(100);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(map.Insert("ks", "t", On(1, i * 10, i * 10 + 10)));
  }
  EXPECT_EQ(map.size(), 10u);
  // A merge of some and of parts of others.
  EXPECT_TRUE(map.Insert("ks", "t", On(2, 25, 51)));
  EXPECT_EQ(map.size(), 7u);
  EXPECT_EQ(HostOf(map, 20), 1);
  EXPECT_EQ(HostOf(map, 25), -1);
  EXPECT_EQ(HostOf(map, 26), 2);
  EXPECT_EQ(HostOf(map, 51), 2);
  EXPECT_EQ(HostOf(map, 52), -1);
  EXPECT_EQ(HostOf(map, 61), 1);
  // A split.
  EXPECT_TRUE(map.Insert("ks", "t", On(3, 25, 40)));
  EXPECT_EQ(HostOf(map, 40), 3);
  EXPECT_EQ(HostOf(map, 41), -1);
  EXPECT_TRUE(map.Insert("ks", "t", On(4, kLowest, kHighest)));
  EXPECT_EQ(map.size(), 1u);
  EXPECT_EQ(HostOf(map, kHighest), 4);
}

TEST(TabletMapTest, NoMoreThanTheBoundAreKept) {
  TabletMap map(2);
  EXPECT_TRUE(map.Insert("ks", "t", On(1, 0, 10)));
  EXPECT_TRUE(map.Insert("ks", "u", On(1, 0, 10)));
  EXPECT_FALSE(map.Insert("ks", "t", On(1, 10, 20)));
  EXPECT_FALSE(map.Insert("ks", "v", On(1, 10, 20)));
  EXPECT_EQ(map.Find("ks", "v"), nullptr);
  EXPECT_TRUE(map.Insert("ks", "t", On(2, 0, 20)));  // In the place of one.
  EXPECT_EQ(map.size(), 2u);
}

TEST(TabletMapTest, WhatIsDroppedIsForgotten) {
  TabletMap map(100);
  map.Insert("ks", "t", On(1, 0, 10));
  map.Insert("ks", "u", On(1, 0, 10));
  map.Insert("other", "t", On(1, 0, 10));
  const uint64_t version = map.version();
  map.DropTable("ks", "nothing");
  EXPECT_EQ(map.version(), version);
  map.DropTable("ks", "t");
  EXPECT_NE(map.version(), version);
  EXPECT_EQ(map.Find("ks", "t"), nullptr);
  EXPECT_EQ(map.size(), 2u);
  map.DropKeyspace("ks");
  EXPECT_EQ(map.size(), 1u);
  EXPECT_NE(map.Find("other", "t"), nullptr);
}

TEST(TabletMapTest, AHostThatLeavesTakesItsTabletsWithIt) {
  TabletMap map(100);
  map.Insert("ks", "t", {0, 10, {{Host(1), 0}, {Host(2), 3}}});
  map.Insert("ks", "t", {10, 20, {{Host(2), 0}, {Host(3), 0}}});
  map.Insert("ks", "t", On(3, 20, 30));
  map.RetainHosts([](const Uuid& host) { return host != Host(1); });
  EXPECT_EQ(HostOf(map, 5), -1);
  EXPECT_EQ(HostOf(map, 15), 2);
  // Its number goes to another one.
  map.Insert("ks", "t", On(4, 40, 50));
  EXPECT_EQ(map.hosts().size(), 3u);
  EXPECT_EQ(HostOf(map, 45), 4);
  EXPECT_EQ(HostOf(map, 25), 3);
}

TabletMap SomeTablets() {
  TabletMap map(1000);
  map.Insert("ks", "t", {kLowest, -5, {{Host(1), 0}, {Host(2), 4095}}});
  map.Insert("ks", "t", {-5, kHighest, {{Host(3), 7}}});
  for (int i = 0; i < 50; ++i) {
    map.Insert("other", "table", On(static_cast<uint8_t>(i), i, i + 1));
  }
  return map;
}

TEST(TabletCacheTest, ComesBackAsItWas) {
  const std::string bytes = EncodeTabletCache(SomeTablets());
  TabletMap read(1000);
  ASSERT_TRUE(DecodeTabletCache(bytes, &read).ok());
  EXPECT_EQ(read.size(), 52u);
  EXPECT_EQ(HostOf(read, 0), 3);
  const auto replicas = read.Find("ks", "t")->Find(-5);
  ASSERT_EQ(replicas.size(), 2u);
  EXPECT_EQ(*read.hosts()[replicas[1].host], Host(2));
  EXPECT_EQ(replicas[1].shard, 4095);
  TabletMap little(10);
  ASSERT_TRUE(DecodeTabletCache(bytes, &little).ok());
  EXPECT_EQ(little.size(), 10u);
}

TEST(TabletCacheTest, DamageIsNoticedWhereverItIs) {
  const std::string bytes = EncodeTabletCache(SomeTablets());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    TabletMap map(1000);
    EXPECT_FALSE(DecodeTabletCache(damaged, &map).ok()) << "byte " << i;
    EXPECT_FALSE(DecodeTabletCache(bytes.substr(0, i), &map).ok())
        << "cut at " << i;
    EXPECT_EQ(map.size(), 0u);
  }
  TabletMap map(1000);
  EXPECT_FALSE(DecodeTabletCache(bytes + "x", &map).ok());
}

// Three nodes of three shards, in a ring that says nothing of tablets.
class TabletRoutingTest : public ClientTest {
 protected:
  TabletRoutingTest() {
    for (int i = 0; i < 3; ++i) {
      FakeNode* node = AddNode({.shards = 3, .tablets = true});
      node->on_execute = [this, node](const FakeRequest& request) {
        return Execute(node, request);
      };
    }
    MoveTo(1, 2);
  }

  // The table has one tablet, and from now on it is here.
  void MoveTo(size_t node, uint16_t shard) {
    owner_ = nodes_[node].get();
    owner_shard_ = shard;
    payload_.clear();
    protocol::Writer writer(&payload_);
    protocol::EncodeTablet(
        &writer,
        {kLowest, kHighest, {{*Uuid::FromBytes(owner_->host_id()), shard}}});
    writer.Finish();
  }

  // Answers as a ScyllaDB node does, and counts who came to the wrong place.
  bool Execute(FakeNode* node, const FakeRequest& request) {
    if (node == owner_ && request.connection->shard == owner_shard_) {
      return false;
    }
    ++misrouted_;
    if (!request.connection->tablets) return false;
    request.ReplyRowsAndPayload({{Bigint(request.key()), "value"}},
                                protocol::kTabletPayload, payload_);
    return true;
  }

  Task<bool> AllConnected(Session* session) {
    co_return co_await Eventually([=] { return session->connections() == 19; });
  }
  // Asks for 30 keys; how many came to the wrong place.
  Task<int> Misrouted(Session* session) {
    misrouted_ = 0;
    auto select = co_await session->Prepare(std::string(kSelect), kIdempotent);
    EXPECT_TRUE(select.ok()) << select.status();
    if (!select.ok()) co_return -1;
    for (int64_t key = 0; key < 30; ++key) {
      Query query = session->Execute(**select, key);
      absl::StatusOr<Rows> rows = co_await query;
      EXPECT_TRUE(rows.ok()) << rows.status();
    }
    co_return misrouted_;
  }

  // What a session that was has learned.
  Task<void> LearnTablets(SessionOptions options, std::string* cache) {
    auto session = co_await Session::Connect(loop_.get(), std::move(options));
    CO_ASSERT_OK(session);
    static_cast<void>(co_await Misrouted(session->get()));
    *cache = (*session)->TabletCache();
    co_await (*session)->Close();
  }

  FakeNode* owner_ = nullptr;
  uint32_t owner_shard_ = 0;
  std::string payload_;
  int misrouted_ = 0;
};

TEST_F(TabletRoutingTest, OneAnswerIsEnoughToFindATablet) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    EXPECT_LE(co_await Misrouted(session), 1);
    EXPECT_EQ(co_await Misrouted(session), 0);
    EXPECT_EQ(session->stats().tablets, 1u);
    EXPECT_LE(session->stats().counters.tablets_learned, 1u);
    MoveTo(2, 0);
    EXPECT_EQ(co_await Misrouted(session), 1);
    EXPECT_EQ(session->stats().tablets, 1u);
  });
}

TEST_F(TabletRoutingTest, AClientThatStartsAgainKnowsTheTablets) {
  std::string cache;
  SessionOptions options = Options();
  options.tablet_cache = "not a cache";  // Ignored.
  loop_->RunUntilDone(LearnTablets(options, &cache));
  options.tablet_cache = cache;
  Run(options, [&](Session* session) -> Task<void> {
    EXPECT_EQ(session->stats().tablets, 1u);
    CO_ASSERT_TRUE(co_await AllConnected(session));
    EXPECT_EQ(co_await Misrouted(session), 0);
  });
}

TEST_F(TabletRoutingTest, ADroppedTableAndALostNodeAreForgotten) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    MoveTo(2, 1);
    static_cast<void>(co_await Misrouted(session));
    EXPECT_EQ(session->stats().tablets, 1u);
    protocol::Event event;
    event.kind = protocol::Event::Kind::kSchemaChange;
    event.name = "SCHEMA_CHANGE";
    event.schema = {"DROPPED", "TABLE", "ks", "t", {}};
    nodes_[0]->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->stats().tablets == 0; }));

    static_cast<void>(co_await Misrouted(session));
    EXPECT_EQ(session->stats().tablets, 1u);
    nodes_[0]->RemovePeers();
    nodes_[0]->AddPeer(nodes_[1].get());
    event.kind = protocol::Event::Kind::kTopologyChange;
    event.name = "TOPOLOGY_CHANGE";
    event.change = "REMOVED_NODE";
    nodes_[0]->SendEvent(event);
    CO_ASSERT_TRUE(
        co_await Eventually([&] { return session->stats().nodes == 2; }));
    EXPECT_EQ(session->stats().tablets, 0u);
    MoveTo(1, 0);
    EXPECT_LE(co_await Misrouted(session), 1);
  });
}

TEST_F(TabletRoutingTest, ATabletOnAnUnknownHostMakesTheTopologyBeReadAgain) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    const uint64_t before = session->stats().counters.topology_refreshes;
    payload_.clear();
    protocol::Writer writer(&payload_);
    protocol::EncodeTablet(&writer, On(9, kLowest, kHighest));
    writer.Finish();
    owner_ = nullptr;
    EXPECT_EQ(co_await Misrouted(session), 30);
    CO_ASSERT_TRUE(co_await Eventually(
        [&] { return session->stats().counters.topology_refreshes > before; }));
  });
}

TEST_F(TabletRoutingTest, WhatMakesNoSenseIsCountedAndTheRowsAreTaken) {
  Run([&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    payload_ = "junk";
    owner_ = nullptr;
    EXPECT_EQ(co_await Misrouted(session), 30);
    EXPECT_EQ(session->stats().counters.tablets_malformed, 30u);
    EXPECT_EQ(session->stats().tablets, 0u);
  });
}

TEST_F(TabletRoutingTest, PastTheBoundNoneIsKept) {
  SessionOptions options = Options();
  options.tablets_max = 0;
  Run(options, [&](Session* session) -> Task<void> {
    CO_ASSERT_TRUE(co_await AllConnected(session));
    const int misrouted = co_await Misrouted(session);
    EXPECT_GT(misrouted, 1);
    EXPECT_EQ(session->stats().counters.tablets_refused,
              static_cast<uint64_t>(misrouted));
  });
}

}  // namespace
}  // namespace cql::testing
