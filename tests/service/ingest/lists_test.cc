#include "service/ingest/lists.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/ingest/text.h"
#include "service/ingest/writer.h"
#include "tests/service/ingest/indexed_store.h"

namespace ingest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class ListsTest : public testing::Test {
 protected:
  ListsTest() : writer_(store_.session()), lists_(&writer_, 4) {
    EXPECT_TRUE(Run(lists_.Prepare()).ok());
  }
  absl::Status Run(ioloop::Task<absl::Status> task) {
    return store_.loop()->RunUntilDone(std::move(task));
  }
  void Add(int64_t sort_ms, std::string_view uri) {
    EXPECT_TRUE(
        Run(lists_.Add(key_, ListRow(sort_ms, "cid", uri, "someone"))).ok());
  }
  void Remove(int64_t sort_ms, std::string_view uri) {
    EXPECT_TRUE(
        Run(lists_.Remove(key_, ListRow(sort_ms, "cid", uri, ""))).ok());
  }
  std::vector<std::string> Walk(int page_rows) {
    std::vector<std::string> uris;
    Lists::Walk walk(&lists_, key_, page_rows);
    std::vector<ListRow> page;
    for (;;) {
      absl::StatusOr<bool> more = store_.loop()->RunUntilDone(walk.Next(&page));
      EXPECT_TRUE(more.ok()) << more.status();
      if (!more.ok() || !*more) return uris;
      for (const ListRow& row : page) uris.push_back(row.uri);
    }
  }
  std::vector<std::string> Newest(int limit) {
    std::vector<std::string> uris;
    auto rows = store_.loop()->RunUntilDone(lists_.Newest(key_, limit));
    EXPECT_TRUE(rows.ok()) << rows.status();
    for (const ListRow& row : *rows) uris.push_back(row.uri);
    return uris;
  }
  std::string Total() {
    return store_.Value("SELECT likes FROM record_counts WHERE uri = 's'");
  }
  std::vector<std::string> Directory() {
    return store_.Query(
        "SELECT bucket, min_sort_at, max_sort_at, row_count, counted FROM "
        "list_buckets WHERE list = 'likes_by_subject' AND owner = 's'");
  }

  IndexedStore store_;
  Writer writer_;
  Lists lists_;
  const ListKey key_{ListTable::kLikesBySubject, "s"};
};

TEST_F(ListsTest, AddingTwiceIsAddingOnce) {
  Add(1, "a");
  Add(1, "a");
  EXPECT_EQ(Total(), "1");
  Remove(1, "a");
  Remove(1, "a");
  EXPECT_EQ(Total(), "0");
  EXPECT_THAT(Walk(10), IsEmpty());
}

TEST_F(ListsTest, AFullBucketIsFollowedByAnother) {
  for (int i = 0; i < 9; ++i) Add(i, Cat(i));
  EXPECT_EQ(Total(), "9");
  EXPECT_THAT(Directory(),
              ElementsAre("0|0|3|4|4", "1|4|7|4|4", "2|null|null|1|1"));
  EXPECT_EQ(store_.Value("SELECT split FROM likes_by_subject "
                         "WHERE subject = 's' AND bucket = 0"),
            "true");
  EXPECT_THAT(Walk(3), SizeIs(9));
  EXPECT_THAT(Newest(5), ElementsAre("8", "7", "6", "5", "4"));

  // In whichever bucket a row is.
  Add(2, "2");
  EXPECT_EQ(Total(), "9");
  Remove(5, "5");
  Remove(0, "0");
  EXPECT_EQ(Total(), "7");
  EXPECT_THAT(Directory(),
              ElementsAre("0|0|3|3|3", "1|4|7|3|3", "2|null|null|1|1"));
}

TEST_F(ListsTest, RowsOfAnyTimeStayWithinTheBound) {
  // All of one time: no range of time can tell them apart.
  for (int i = 0; i < 20; ++i) Add(7, Cat(10 + i));
  for (int i = 0; i < 20; ++i) Add(7, Cat(10 + i));
  EXPECT_EQ(Total(), "20");
  EXPECT_THAT(Directory(), SizeIs(5));
  for (int bucket = 0; bucket < 5; ++bucket) {
    EXPECT_THAT(store_.Query(Cat("SELECT uri FROM likes_by_subject WHERE "
                                 "subject = 's' AND bucket = ",
                                 bucket)),
                SizeIs(4));
  }
  EXPECT_THAT(Newest(3), ElementsAre("29", "28", "27"));
}

TEST_F(ListsTest, DroppingAListLeavesNothing) {
  for (int i = 0; i < 9; ++i) Add(i, Cat(i));
  ASSERT_TRUE(Run(lists_.Drop(key_)).ok());
  EXPECT_EQ(Total(), "0");
  EXPECT_THAT(Walk(10), IsEmpty());
  EXPECT_THAT(Directory(), IsEmpty());
  Add(1, "a");
  EXPECT_EQ(Total(), "1");
}

TEST_F(ListsTest, WhatDoesNotCountIsThereAllTheSame) {
  const ListKey key(ListTable::kRepliesByParent, "s");
  ASSERT_TRUE(Run(lists_.Add(key, ListRow(1, "c", "a", "x"), true)).ok());
  ASSERT_TRUE(Run(lists_.Add(key, ListRow(2, "c", "b", "x"), false)).ok());
  EXPECT_THAT(store_.Query("SELECT uri, row_count, counted FROM "
                           "replies_by_parent"),
              ElementsAre("b|2|1", "a|2|1"));
  EXPECT_EQ(store_.Value("SELECT replies FROM record_counts"), "1");
  ASSERT_TRUE(Run(lists_.Remove(key, ListRow(2, "c", "b", ""), false)).ok());
  EXPECT_EQ(store_.Value("SELECT replies FROM record_counts"), "1");
}

// Many changes at once, against a set that does the same.
TEST_F(ListsTest, ChangesSideBySideKeepTheCount) {
  std::mt19937 random(1);
  std::set<std::string> expected;
  std::vector<int64_t> sort_ms(40);
  for (int64_t& at : sort_ms) at = random() % 10;
  for (int round = 0; round < 20; ++round) {
    ioloop::TaskGroup group;
    std::vector<int> order(40);
    for (int i = 0; i < 40; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    order.resize(25);  // Each row at most once a round.
    for (int i : order) {
      ListRow row(sort_ms[i], "cid", Cat(i), "x");
      if (random() % 3 != 0) {
        group.Spawn(lists_.Add(key_, row));
        expected.insert(Cat(i));
      } else {
        group.Spawn(lists_.Remove(key_, row));
        expected.erase(Cat(i));
      }
    }
    auto join = [](ioloop::TaskGroup* tasks) -> ioloop::Task<void> {
      co_await tasks->Join();
    };
    store_.loop()->RunUntilDone(join(&group));
    ASSERT_EQ(Total(), Cat(expected.size())) << "round " << round;
  }
  std::vector<std::string> rows = Walk(7);
  EXPECT_EQ(std::set<std::string>(rows.begin(), rows.end()), expected);
  EXPECT_EQ(rows.size(), expected.size());
}

}  // namespace
}  // namespace ingest
