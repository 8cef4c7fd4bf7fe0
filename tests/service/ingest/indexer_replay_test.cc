// Whatever is done twice, half or side by side: the same tables.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/scheduler.h"
#include "service/ingest/text.h"
#include "tests/service/ingest/indexed_store.h"
#include "tests/service/ingest/replay_network.h"

namespace ingest {
namespace {

using testing::IsEmpty;

std::vector<Event> Network(size_t size, uint32_t seed) {
  NetworkOptions options;
  options.events = size;
  options.seed = seed;
  return MakeNetwork(options);
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

// Applies all of `events` side by side, in calls of 50 as the ingest command
// makes them; the first error, if there is one.
absl::Status Schedule(IndexedStore* store, Scheduler* scheduler,
                      const std::vector<Event>& events) {
  std::vector<std::vector<Event>> batches;
  for (size_t i = 0; i < events.size(); i += 50) {
    batches.emplace_back(events.begin() + i,
                         events.begin() + std::min(i + 50, events.size()));
  }
  absl::Status first;
  ioloop::TaskGroup group;
  auto apply = [](Scheduler* to, const std::vector<Event>* batch,
                  absl::Status* status) -> ioloop::Task<void> {
    auto rejections = co_await to->Apply(*batch);
    if (rejections.ok()) {
      EXPECT_TRUE(rejections->empty());
    } else if (status->ok()) {
      *status = rejections.status();
    }
  };
  auto join = [](ioloop::TaskGroup* tasks) -> ioloop::Task<void> {
    co_await tasks->Join();
  };
  for (const std::vector<Event>& batch : batches) {
    group.Spawn(apply(scheduler, &batch, &first));
  }
  store->loop()->RunUntilDone(join(&group));
  return first;
}

std::vector<std::string> OneByOne(const std::vector<Event>& events) {
  IndexedStore store(WideOptions());
  PrepareNetwork(&store);
  ApplyAll(&store, events);
  return DumpIgnoringBuckets(&store);
}

TEST(IndexerReplayTest, TheSameEventsAgainChangeNothing) {
  const std::vector<Event> events = Network(250, 1);
  IndexedStore store(SmallOptions());
  PrepareNetwork(&store);
  ApplyAll(&store, events);
  const std::vector<std::string> once = store.Dump();
  ASSERT_GT(once.size(), 250u);
  ApplyAll(&store, events);
  EXPECT_THAT(Difference(once, store.Dump()), IsEmpty());
  // Nor with no memory of them.
  store.Restart(SmallOptions());
  ApplyAll(&store, events);
  EXPECT_THAT(Difference(once, store.Dump()), IsEmpty());
  // Nor from the middle, twice.
  for (int i = 0; i < 2; ++i) {
    ApplyAll(&store, {events.begin() + 120, events.end()});
  }
  EXPECT_THAT(Difference(once, store.Dump()), IsEmpty());
}

TEST(IndexerReplayTest, ManyEventsAtOnceHaveTheEffectOfOneAfterTheOther) {
  for (uint32_t seed = 4; seed < 10; ++seed) {
    const std::vector<Event> events = Network(400, seed);
    IndexedStore store(WideOptions());
    PrepareNetwork(&store);
    SchedulerOptions options;
    options.concurrency = 32;
    Scheduler scheduler(store.loop(), store.indexer(), options);
    absl::Status status = Schedule(&store, &scheduler, events);
    EXPECT_TRUE(status.ok()) << status;
    ASSERT_THAT(Difference(OneByOne(events), DumpIgnoringBuckets(&store)),
                IsEmpty())
        << "seed " << seed;
    EXPECT_EQ(scheduler.stats().failed, 0u);
    EXPECT_EQ(scheduler.stats().applied + scheduler.stats().no_news,
              events.size());
  }
}

// The store goes, or one request of many fails, with dozens of events half
// done; then everything is played again from the start. What depends on an
// event that failed must not have been applied: a deletion that overtakes its
// creation would make no news of it, and leave its half for good.
TEST(IndexerReplayTest, ACrashAmongManyEventsLosesNothing) {
  for (uint32_t seed = 11; seed < 19; ++seed) {
    const std::vector<Event> events = Network(300, seed);
    std::mt19937 random(seed);
    IndexedStore store(WideOptions());
    PrepareNetwork(&store);
    SchedulerOptions options;
    options.concurrency = 32;
    options.retry_timeout = absl::ZeroDuration();
    for (int crash = 0; crash < 8; ++crash) {
      cql::node::Rule rule;
      rule.nth = 1 + random() % 3000;
      rule.times = random() % 2;  // Once, or for good.
      rule.execute = random() % 2 == 0;
      rule.error.code = cql::ServerCode::kOverloaded;
      const cql::node::Rules::Id id = store.node()->rules().Add(rule);
      Scheduler scheduler(store.loop(), store.indexer(), options);
      const absl::Status status = Schedule(&store, &scheduler, events);
      EXPECT_EQ(status.ok(), store.node()->rules().fired(id) == 0) << status;
      store.node()->rules().Clear();
      store.Restart(WideOptions());
    }
    Scheduler scheduler(store.loop(), store.indexer(), options);
    const absl::Status status = Schedule(&store, &scheduler, events);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_THAT(Difference(OneByOne(events), DumpIgnoringBuckets(&store)),
                IsEmpty())
        << "seed " << seed;
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
