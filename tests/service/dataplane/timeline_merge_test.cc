#include "service/dataplane/timeline_merge.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace dataplane {
namespace {

// Items at the given times, named `who`.
std::vector<FeedItem> Items(const std::string& who,
                            const std::vector<int64_t>& times) {
  std::vector<FeedItem> items;
  for (int64_t time : times) {
    FeedItem item;
    item.position = {time, "cid", who + std::to_string(time)};
    item.post_uri = item.position.key;
    items.push_back(std::move(item));
  }
  return items;
}

std::vector<int64_t> Down(int64_t from, int count, int64_t step) {
  std::vector<int64_t> times;
  for (int i = 0; i < count; ++i) times.push_back(from - i * step);
  return times;
}

int CountOf(const TimelinePage& page, const std::string& who) {
  return static_cast<int>(std::count_if(
      page.items.begin(), page.items.end(),
      [&who](const FeedItem& item) { return item.uri().starts_with(who); }));
}

TEST(TimelineMergeTest, RunsNewestFirst) {
  TimelinePage page =
      MergeTimeline(Items("f", {90, 70, 50}), Items("o", {80, 60}), 10);
  ASSERT_EQ(page.items.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(page.items[i].position.sort_at_ms, 90 - 10 * int64_t(i));
  }
  EXPECT_FALSE(page.more);
}

TEST(TimelineMergeTest, OwnItemsTakeTenPlacesWhereOthersFillThePage) {
  TimelinePage page = MergeTimeline(Items("f", Down(1000, 31, 1)),
                                    Items("o", Down(5000, 31, 1)), 30);
  EXPECT_EQ(page.items.size(), 30u);
  EXPECT_EQ(CountOf(page, "o"), 10);
  EXPECT_TRUE(page.more);
}

TEST(TimelineMergeTest, OwnItemsTakeThePlacesThatOthersLeaveFree) {
  TimelinePage page = MergeTimeline(Items("f", Down(1000, 5, 1)),
                                    Items("o", Down(5000, 31, 1)), 30);
  EXPECT_EQ(page.items.size(), 30u);
  EXPECT_EQ(CountOf(page, "o"), 25);
  EXPECT_TRUE(page.more);
}

TEST(TimelineMergeTest, APageThatHoldsEverythingIsTheLast) {
  TimelinePage page = MergeTimeline(Items("f", Down(1000, 20, 1)),
                                    Items("o", Down(900, 10, 1)), 30);
  EXPECT_EQ(page.items.size(), 30u);
  EXPECT_FALSE(page.more);
}

TEST(TimelineMergeTest, OneMoreThanFitsMeansThereIsMore) {
  EXPECT_TRUE(MergeTimeline(Items("f", {3, 2}), {}, 1).more);
  EXPECT_FALSE(MergeTimeline(Items("f", {3}), {}, 1).more);
  EXPECT_TRUE(MergeTimeline({}, Items("o", {3, 2}), 1).more);
  EXPECT_TRUE(MergeTimeline({}, {}, 1).items.empty());
}

}  // namespace
}  // namespace dataplane
