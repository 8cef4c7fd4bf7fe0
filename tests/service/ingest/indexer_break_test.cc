// An event that is broken off anywhere and applied again leaves the tables of
// an undisturbed run: every row of every table, bit for bit.
//
// RINGPLANE_REPLAY_SEEDS sets how many networks are played: a few are for every
// day, a few thousand for a night.
#include <stdlib.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/record.h"
#include "service/ingest/text.h"
#include "tests/service/ingest/indexed_store.h"
#include "tests/service/ingest/replay_network.h"

namespace ingest {
namespace {

using testing::IsEmpty;

constexpr uint32_t kSeeds = 10;
// In each network, of each kind of event, on average.
constexpr size_t kBreaksMin = 10;
constexpr size_t kEvents = 500;
// Times that an event is broken off before it may end. What most events are,
// and what has most requests, less often: all kinds come to hundreds.
int BreaksOf(const Event& event) {
  std::optional<Collection> collection = FindCollection(event.collection);
  if (collection == Collection::kPost) return 2;
  if (collection == Collection::kLike || collection == Collection::kRepost ||
      collection == Collection::kFollow) {
    return 4;
  }
  return 24;
}

// How an event is broken off.
struct Break {
  // The request that fails first, from 1.
  uint32_t nth = 1;
  // It alone fails, as when one answer is late; otherwise the store is gone
  // from there on, as after a crash.
  bool alone = false;
  // It is carried out all the same: only its answer is lost.
  bool carried_out = false;
  // The writer starts anew and remembers nothing.
  bool restart = false;

  std::string ToString() const {
    return Cat("request ", nth, alone ? " alone" : " and all after it",
               carried_out ? ", carried out all the same" : "",
               restart ? ", then a restart" : "");
  }
};

// Plays events into two stores side by side, undisturbed and broken off.
class Duel {
 public:
  explicit Duel(uint32_t seed) : random_(seed) {
    PrepareNetwork(&calm_);
    PrepareNetwork(&broken_);
  }

  // Applies `event` to both, to one of them in pieces.
  void Apply(const Event& event) {
    const uint64_t before = calm_.node()->stats().requests;
    absl::StatusOr<Indexer::Outcome> outcome = calm_.Apply(event);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    const uint64_t requests = calm_.node()->stats().requests - before;
    ASSERT_GT(requests, 0u);
    tried_.clear();
    for (int i = 0; i < BreaksOf(event); ++i) {
      Break next;
      // What is done again may ask more than what was not broken off.
      const uint64_t more = random_() % 8 == 0 ? 2 : 0;
      next.nth = 1 + random_() % (requests + more);
      next.alone = random_() % 3 == 0;
      next.carried_out = random_() % 2 == 0;
      next.restart = random_() % 16 == 0;
      if (ApplyBroken(event, next)) break;
      ++breaks_[KindOf(event)];
    }
    outcome = broken_.Apply(event);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }

  std::vector<std::string> Compare() {
    return Difference(calm_.Dump(), broken_.Dump());
  }
  // How often an event of each kind was broken off.
  const std::map<std::string, size_t>& breaks() const { return breaks_; }
  // What happened to the last event.
  std::string Story() const {
    std::string story;
    for (const Break& one : tried_) {
      Append(&story, "\n  broken off at ", one.ToString());
    }
    return story;
  }

 private:
  // Whether it came through.
  bool ApplyBroken(const Event& event, const Break& how) {
    cql::node::Rule rule;
    rule.nth = how.nth;
    rule.times = how.alone ? 1 : 0;
    rule.action = cql::node::Rule::Action::kError;
    rule.error.code = cql::ServerCode::kOverloaded;
    rule.error.message = "on purpose";
    std::vector<cql::node::Rules::Id> rules;
    if (how.carried_out) {
      // The first that it hits; the others are not carried out.
      cql::node::Rule lost = rule;
      lost.times = 1;
      lost.execute = true;
      rules.push_back(broken_.node()->rules().Add(lost));
    }
    if (!how.carried_out || !how.alone) {
      rules.push_back(broken_.node()->rules().Add(rule));
    }
    absl::StatusOr<Indexer::Outcome> outcome = broken_.Apply(event);
    uint64_t fired = 0;
    for (cql::node::Rules::Id id : rules) {
      fired += broken_.node()->rules().fired(id);
    }
    broken_.node()->rules().Clear();
    if (fired == 0) {
      EXPECT_TRUE(outcome.ok()) << outcome.status();
      return true;
    }
    // No error of the store is passed over.
    EXPECT_FALSE(outcome.ok()) << KindOf(event) << ", " << how.ToString();
    tried_.push_back(how);
    if (how.restart) broken_.Restart(SmallOptions());
    return false;
  }

  std::mt19937 random_;
  IndexedStore calm_{SmallOptions()};
  IndexedStore broken_{SmallOptions()};
  std::map<std::string, size_t> breaks_;
  std::vector<Break> tried_;
};

// The first event after which the stores differ, and how.
std::string FirstDifference(const std::vector<Event>& events, uint32_t seed) {
  Duel duel(seed);
  std::vector<std::string> difference;
  for (size_t i = 0; i < events.size(); ++i) {
    duel.Apply(events[i]);
    difference = duel.Compare();
    if (difference.empty()) continue;
    std::string line;
    AppendEventLine(events[i], &line);
    std::string text = Cat("seed ", seed, ", event ", i, ", ",
                           KindOf(events[i]), duel.Story(), "\n  ", line);
    for (const std::string& row : difference) Append(&text, "\n  ", row);
    return text;
  }
  return "not found again";
}

uint32_t Seeds() {
  const char* wanted = getenv("RINGPLANE_REPLAY_SEEDS");
  return wanted == nullptr ? kSeeds : static_cast<uint32_t>(atoi(wanted));
}

TEST(IndexerBreakTest, AnEventBrokenOffAnywhereIsCompletedByItsReplay) {
  std::map<std::string, size_t> breaks;
  for (const std::string& kind : NetworkKinds()) breaks[kind] = 0;
  for (uint32_t seed = 1; seed <= Seeds(); ++seed) {
    NetworkOptions options;
    options.events = kEvents;
    options.seed = seed;
    const std::vector<Event> events = MakeNetwork(options);
    Duel duel(seed);
    for (const Event& event : events) duel.Apply(event);
    ASSERT_THAT(duel.Compare(), IsEmpty()) << FirstDifference(events, seed);
    for (const auto& [kind, times] : duel.breaks()) breaks[kind] += times;
  }
  for (const auto& [kind, times] : breaks) {
    EXPECT_GE(times, kBreaksMin * Seeds()) << kind;
    std::cout << times << " breaks of " << kind << "\n";
  }
}

}  // namespace
}  // namespace ingest
