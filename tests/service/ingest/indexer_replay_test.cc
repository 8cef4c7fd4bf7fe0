// Whatever is done twice, half or side by side: the same tables.
#include <algorithm>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/scheduler.h"
#include "service/ingest/text.h"
#include "tests/service/ingest/indexed_store.h"

namespace ingest {
namespace {

using testing::IsEmpty;

// Lists get several buckets and timelines are cut within these few events.
IndexerOptions SmallOptions() {
  IndexerOptions options;
  options.list_bucket_rows = 8;
  options.page_rows = 5;
  options.writes_in_flight = 4;
  return options;
}

// A busy little network: everybody does everything to everybody.
std::vector<Event> Network(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  EventMaker make;
  const std::vector<std::string> names = {"alice", "bob",  "carol",
                                          "dan",   "erin", "frank"};
  auto pick = [&random](const auto& from) {
    return from[random() % from.size()];
  };
  struct Made {
    std::string name, collection, rkey;
  };
  struct Post {
    std::string name, rkey, uri, root;
  };
  std::vector<Event> events;
  std::vector<Made> made;
  std::vector<Post> posts;
  int next = 0;
  while (events.size() < size) {
    const std::string name = pick(names);
    const std::string rkey = Cat(++next);
    switch (posts.size() < 3 ? 0 : random() % 16) {
      case 0:
      case 1: {
        events.push_back(make.Post(name, rkey));
        posts.push_back({name, rkey, EventUri(events.back()), ""});
        break;
      }
      case 2:
      case 3: {
        const Post parent = pick(posts);
        const std::string root = parent.root.empty() ? parent.uri : parent.root;
        events.push_back(make.Reply(name, rkey, root, parent.uri));
        posts.push_back({name, rkey, EventUri(events.back()), root});
        break;
      }
      case 4: {
        events.push_back(make.Post(
            name, rkey,
            Cat(R"("embed":{"$type":"app.bsky.embed.record","record":)",
                Ref(pick(posts).uri), "}")));
        posts.push_back({name, rkey, EventUri(events.back()), ""});
        break;
      }
      case 5:
      case 6:
      case 7:
        events.push_back(make.Like(name, rkey, pick(posts).uri));
        made.push_back({name, "app.bsky.feed.like", rkey});
        break;
      case 8:
      case 9:
        events.push_back(make.Repost(name, rkey, pick(posts).uri));
        made.push_back({name, "app.bsky.feed.repost", rkey});
        break;
      case 10:
      case 11:
        events.push_back(make.Follow(name, rkey, pick(names)));
        made.push_back({name, "app.bsky.graph.follow", rkey});
        break;
      case 12: {
        const Post gated = pick(posts);
        events.push_back(
            make.Create(gated.name, "app.bsky.feed.threadgate", gated.rkey,
                        Cat(R"("post":")", gated.uri,
                            R"(","allow":[{"$type":)"
                            R"("app.bsky.feed.threadgate#followingRule"}])")));
        break;
      }
      case 13: {
        const size_t i = random() % posts.size();
        events.push_back(
            make.Delete(posts[i].name, "app.bsky.feed.post", posts[i].rkey));
        posts.erase(posts.begin() + i);
        break;
      }
      case 14:
        if (!made.empty()) {
          const size_t i = random() % made.size();
          events.push_back(
              make.Delete(made[i].name, made[i].collection, made[i].rkey));
          made.erase(made.begin() + i);
        }
        break;
      default:
        if (random() % 4 == 0) {
          events.push_back(
              make.Identity(name, Cat("h", random() % 4, ".test")));
        } else {
          events.push_back(
              make.Update(name, "app.bsky.actor.profile", "self",
                          Cat(R"("displayName":")", rkey, R"(")")));
        }
    }
  }
  return events;
}

void ApplyAll(IndexedStore* store, const std::vector<Event>& events) {
  for (const Event& event : events) {
    absl::StatusOr<Indexer::Outcome> outcome = store->Apply(event);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
}

// Where a bucket ends depends on the order that rows came in, and which of two
// concurrent events is second in a list is no promise. Lists are compared as
// sets with their numbers summed; `list_buckets` says nothing more.
std::vector<std::string> DumpIgnoringBuckets(IndexedStore* store) {
  std::vector<std::string> dump;
  for (const std::string& line : store->Dump()) {
    if (line.starts_with("list_buckets|")) continue;
    dump.push_back(line);
  }
  return dump;
}

// What is in one and not in the other.
std::vector<std::string> Difference(const std::vector<std::string>& a,
                                    const std::vector<std::string>& b) {
  std::vector<std::string> difference;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                std::back_inserter(difference));
  return difference;
}

// Large enough that every list has one bucket, whatever the order.
IndexerOptions WideOptions() {
  IndexerOptions options = SmallOptions();
  options.list_bucket_rows = 10'000;
  return options;
}

TEST(IndexerReplayTest, TheSameEventsAgainChangeNothing) {
  const std::vector<Event> events = Network(250, 1);
  IndexedStore store(SmallOptions());
  ApplyAll(&store, events);
  const std::vector<std::string> once = store.Dump();
  ASSERT_GT(once.size(), 250u);
  ApplyAll(&store, events);
  EXPECT_THAT(Difference(store.Dump(), once), IsEmpty());
  // Nor with no memory of them.
  store.Restart(SmallOptions());
  ApplyAll(&store, events);
  EXPECT_THAT(Difference(store.Dump(), once), IsEmpty());
  // Nor from the middle, twice.
  for (int i = 0; i < 2; ++i) {
    ApplyAll(&store, {events.begin() + 120, events.end()});
  }
  EXPECT_THAT(Difference(store.Dump(), once), IsEmpty());
}

// Every event is broken off at a random one of its requests, the answer of
// which may be lost after it was carried out, and then applied again.
// Fails: after some break-offs the tables differ from an undisturbed run.
TEST(IndexerReplayTest,
     DISABLED_AnEventBrokenOffAnywhereIsCompletedByItsReplay) {
  const std::vector<Event> events = Network(200, 2);
  std::vector<std::string> expected;
  {
    IndexedStore store(SmallOptions());
    ApplyAll(&store, events);
    expected = store.Dump();
  }
  IndexedStore store(SmallOptions());
  std::mt19937 random(3);
  size_t broken = 0;
  for (const Event& event : events) {
    cql::node::Rule rule;
    rule.nth = 1 + random() % 30;
    rule.times = 0;  // The store is gone from there on.
    rule.action = cql::node::Rule::Action::kError;
    rule.error.code = cql::ServerCode::kOverloaded;
    rule.error.message = "on purpose";
    store.node()->rules().Add(rule);
    absl::StatusOr<Indexer::Outcome> outcome = store.Apply(event);
    store.node()->rules().Clear();
    if (!outcome.ok()) {
      ++broken;
      store.indexer()->ForgetActor(event.did);
      outcome = store.Apply(event);
    }
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  EXPECT_GT(broken, events.size() / 3);
  EXPECT_THAT(Difference(store.Dump(), expected), IsEmpty());
}

TEST(IndexerReplayTest, ManyEventsAtOnceHaveTheEffectOfOneAfterTheOther) {
  for (uint32_t seed : {4, 5}) {
    const std::vector<Event> events = Network(400, seed);
    std::vector<std::string> expected;
    {
      IndexedStore store(WideOptions());
      ApplyAll(&store, events);
      expected = DumpIgnoringBuckets(&store);
    }
    IndexedStore store(WideOptions());
    SchedulerOptions options;
    options.concurrency = 32;
    Scheduler scheduler(store.loop(), store.indexer(), options);
    // Two calls at a time, as the ingest command makes them.
    std::vector<std::vector<Event>> batches;
    for (size_t i = 0; i < events.size(); i += 50) {
      batches.emplace_back(events.begin() + i,
                           events.begin() + std::min(i + 50, events.size()));
    }
    ioloop::TaskGroup group;
    auto apply = [](Scheduler* to,
                    const std::vector<Event>* batch) -> ioloop::Task<void> {
      auto rejections = co_await to->Apply(*batch);
      EXPECT_TRUE(rejections.ok()) << rejections.status();
      EXPECT_TRUE(rejections->empty());
    };
    auto join = [](ioloop::TaskGroup* tasks) -> ioloop::Task<void> {
      co_await tasks->Join();
    };
    for (const std::vector<Event>& batch : batches) {
      group.Spawn(apply(&scheduler, &batch));
    }
    store.loop()->RunUntilDone(join(&group));
    EXPECT_THAT(Difference(DumpIgnoringBuckets(&store), expected), IsEmpty())
        << "seed " << seed;
    EXPECT_EQ(scheduler.stats().failed, 0u);
    EXPECT_EQ(scheduler.stats().applied + scheduler.stats().no_news,
              events.size());
  }
}

TEST(IndexerReplayTest, TheSchedulerSaysWhichEventsAreMalformed) {
  IndexedStore store;
  Scheduler scheduler(store.loop(), store.indexer(), SchedulerOptions());
  EventMaker make;
  std::vector<Event> events = {make.Post("alice", "1"), make.Post("bob", "1"),
                               make.Post("alice", "2")};
  events[1].record = "{}";
  auto rejections = store.loop()->RunUntilDone(scheduler.Apply(events));
  ASSERT_TRUE(rejections.ok());
  ASSERT_EQ(rejections->size(), 1u);
  EXPECT_EQ((*rejections)[0].index, 1u);
  EXPECT_EQ((*rejections)[0].reason, "createdAt: missing");
  EXPECT_EQ(store.Value(Cat("SELECT posts FROM actor_counts WHERE did = '",
                            EventMaker::Did("alice"), "'")),
            "2");
}

// What the store refuses for a moment is tried again, in order.
TEST(IndexerReplayTest, AStoreThatIsGoneForAMomentLosesNothing) {
  IndexedStore store;
  SchedulerOptions options;
  options.retry_min = absl::Milliseconds(1);
  Scheduler scheduler(store.loop(), store.indexer(), options);
  const std::vector<Event> events = Network(60, 6);
  cql::node::Rule rule;
  rule.nth = 20;
  rule.times = 40;
  rule.error.code = cql::ServerCode::kOverloaded;
  store.node()->rules().Add(rule);
  auto rejections = store.loop()->RunUntilDone(scheduler.Apply(events));
  ASSERT_TRUE(rejections.ok()) << rejections.status();
  EXPECT_GT(scheduler.stats().retries, 0u);

  IndexedStore other;
  ApplyAll(&other, events);
  EXPECT_THAT(
      Difference(DumpIgnoringBuckets(&store), DumpIgnoringBuckets(&other)),
      IsEmpty());
}

}  // namespace
}  // namespace ingest
