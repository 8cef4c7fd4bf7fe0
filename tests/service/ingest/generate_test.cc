#include "service/ingest/generate.h"

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "service/ingest/generate_ids.h"
#include "service/ingest/generate_random.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

std::string Generate(const GenerateOptions& options) {
  Generator generator(options);
  std::string out;
  while (generator.Next(&out)) {
  }
  return out;
}

std::string Hash(std::string_view text) {
  return std::string(MakeRecordCid(text).view());
}

TEST(GenerateTest, SameOptionsGiveTheSameBytes) {
  GenerateOptions options{.seed = 7, .users = 50, .events = 3000};
  std::string first = Generate(options);
  EXPECT_EQ(first, Generate(options));
  options.seed = 8;
  EXPECT_NE(first, Generate(options));
}

// Golden: a seed in a bug report or a benchmark means the same network with
// every compiler and on every machine.
TEST(GenerateTest, BytesDoNotDependOnTheCompiler) {
  EXPECT_EQ(Hash(Generate({.seed = 1, .users = 20, .events = 2000})),
            "bafyreic4ndpijcgt32d55xaceaawutknvitz34piuczkdtlqcs7hxlkhw4");
}

// More events are the same events and then more.
TEST(GenerateTest, ALongerRunStartsAsAShorterOne) {
  std::string shorter = Generate({.users = 30, .events = 500});
  std::string longer = Generate({.users = 30, .events = 900});
  EXPECT_TRUE(longer.starts_with(shorter));
}

TEST(GenerateTest, EveryLineIsAnEvent) {
  for (uint32_t users : {1u, 2u, 32u, 33u, 34u, 400u}) {
    Generator generator({.seed = users, .users = users, .events = 4000});
    JetstreamParser parser({});
    Event event;
    std::string line;
    int64_t time_us = 0;
    std::set<std::string> created;
    while (generator.Next(&line)) {
      ASSERT_EQ(line.find('\n'), line.size() - 1);
      absl::StatusOr<JetstreamParser::Outcome> outcome = parser.Parse(
          std::string_view(line).substr(0, line.size() - 1), &event);
      ASSERT_TRUE(outcome.ok()) << outcome.status() << " " << line;
      ASSERT_EQ(*outcome, JetstreamParser::Outcome::kEvent) << line;
      ASSERT_GT(event.time_us, time_us);
      time_us = event.time_us;
      if (event.kind == EventKind::kCommit) {
        std::string uri = EventUri(event);
        if (event.operation == CommitOperation::kCreate) {
          ASSERT_TRUE(created.insert(uri).second) << "twice: " << line;
        } else if (event.operation == CommitOperation::kDelete) {
          ASSERT_EQ(created.erase(uri), 1u) << "never made: " << line;
        }
      }
      line.clear();
    }
    EXPECT_EQ(generator.events(), 4000u);
  }
}

TEST(GenerateTest, IsANetworkOfEveryKindOfThing) {
  Generator generator({.users = 300, .events = 30000});
  JetstreamParser parser({});
  Event event;
  std::string line;
  std::map<std::string, int> commits;
  std::map<std::string, int> followers;
  std::set<std::pair<std::string, std::string>> follows;
  int replies = 0;
  int quotes = 0;
  int identities = 0;
  int deletes = 0;
  int updates = 0;
  while (generator.Next(&line)) {
    ASSERT_TRUE(
        parser.Parse(std::string_view(line).substr(0, line.size() - 1), &event)
            .ok());
    line.clear();
    identities += event.kind == EventKind::kIdentity;
    if (event.kind != EventKind::kCommit) continue;
    deletes += event.operation == CommitOperation::kDelete;
    updates += event.operation == CommitOperation::kUpdate;
    if (event.operation != CommitOperation::kCreate) continue;
    ++commits[event.collection];
    replies += event.record.find("\"reply\":") != std::string::npos;
    quotes += event.record.find("app.bsky.embed.record\"") != std::string::npos;
    if (event.collection == "app.bsky.graph.follow") {
      size_t at = event.record.find("did:plc:");
      std::string subject = event.record.substr(at, 32);
      EXPECT_NE(subject, event.did);
      EXPECT_TRUE(follows.emplace(event.did, subject).second) << "twice";
      ++followers[subject];
    }
  }
  EXPECT_GE(identities, 300);
  EXPECT_GT(deletes, 100);
  EXPECT_GT(updates, 10);
  EXPECT_GT(replies, 1000);
  EXPECT_GT(quotes, 100);
  for (const char* collection :
       {"app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.repost",
        "app.bsky.graph.follow", "app.bsky.graph.block", "app.bsky.graph.list",
        "app.bsky.graph.listitem", "app.bsky.feed.threadgate",
        "app.bsky.feed.postgate", "app.bsky.actor.profile"}) {
    EXPECT_GT(commits[collection], 0) << collection;
  }
  // Heavy-tailed: the most followed has many times the followers of most.
  int most = 0;
  int few = 0;
  for (const auto& [subject, count] : followers) {
    most = std::max(most, count);
    few += count <= 20;
  }
  EXPECT_GT(most, 200);
  EXPECT_GT(few, 150);
}

TEST(GenerateTest, EndsAfterAsManyPosts) {
  Generator generator({.users = 20, .posts = 100});
  std::string out;
  while (generator.Next(&out)) out.clear();
  EXPECT_EQ(generator.posts(), 100u);
}

TEST(GenerateTest, RefusesWhatMakesNoNetwork) {
  EXPECT_FALSE(ValidateGenerateOptions({.users = 0}).ok());
  EXPECT_FALSE(ValidateGenerateOptions({.users = 200'000'000}).ok());
  EXPECT_FALSE(ValidateGenerateOptions({.start_us = 0}).ok());
  EXPECT_FALSE(ValidateGenerateOptions({.gap_us = -1}).ok());
  EXPECT_TRUE(ValidateGenerateOptions({}).ok());
}

TEST(GenerateIdsTest, TimestampsAreRfc3339) {
  EXPECT_EQ(MakeTimestamp(0).view(), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(MakeTimestamp(951827696789123).view(), "2000-02-29T12:34:56.789Z");
  EXPECT_EQ(MakeTimestamp(1704067199999999).view(), "2023-12-31T23:59:59.999Z");
  EXPECT_EQ(MakeTimestamp(4107542400000000).view(), "2100-03-01T00:00:00.000Z");
}

TEST(GenerateIdsTest, TidsSortByTime) {
  // A real record of the network: its key was made in the same second.
  EXPECT_EQ(MakeTid(1668200214669000, 18).view().substr(0, 7), "3jhb2kn");
  std::string last(MakeTid(1, 0).view());
  for (int64_t time = 2; time < (int64_t{1} << 52); time = time * 3 + 1) {
    std::string next(MakeTid(time, 1023).view());
    EXPECT_LT(last, next);
    last = next;
  }
}

TEST(GenerateRandomTest, ZipfFallsAsOneOverRank) {
  GenerateRandom random(1);
  int low = 0;
  int high = 0;
  for (int i = 0; i < 100000; ++i) {
    uint32_t value = random.Zipf(1023);
    ASSERT_LT(value, 1023u);
    low += value < 31;     // log2(32) / log2(1024): half of them
    high += value >= 511;  // a tenth
  }
  EXPECT_NEAR(low, 50000, 2000);
  EXPECT_NEAR(high, 10000, 1000);
}

TEST(GenerateRandomTest, LogHasItsMean) {
  GenerateRandom random(1);
  uint64_t sum = 0;
  for (int i = 0; i < 100000; ++i) sum += random.Log16();
  EXPECT_NEAR(static_cast<double>(sum) / 100000, 98304, 1000);
}

}  // namespace
}  // namespace ingest
