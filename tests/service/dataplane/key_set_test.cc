#include "service/dataplane/key_set.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/bsky.pb.h"
#include "service/dataplane/answers.h"

namespace dataplane {
namespace {

TEST(KeySetTest, KeepsEachKeyOnceInOrderOfAppearance) {
  const std::vector<std::string> keys = {"b", "a", "b", "", "a"};
  const KeySet set(keys);
  ASSERT_EQ(set.size(), 3u);
  EXPECT_EQ(set[0], "b");
  EXPECT_EQ(set[1], "a");
  EXPECT_EQ(set[2], "");
  EXPECT_EQ(set.IndexOf("a"), 1u);
  EXPECT_TRUE(set.Contains(""));
  EXPECT_FALSE(set.Contains("c"));
}

// A short answer is an error to the caller: repeats are answered each time.
TEST(KeySetTest, AnswersAreSpreadOverRepeats) {
  for (const std::vector<std::string>& keys :
       std::vector<std::vector<std::string>>{
           {}, {"x"}, {"x", "y"}, {"x", "x"}, {"x", "y", "x", "z", "y"}}) {
    const KeySet set(keys);
    std::vector<bsky::Record> answers(set.size());
    for (size_t i = 0; i < set.size(); ++i) {
      answers[i].set_cid(std::string(set[i]));
    }
    bsky::GetLikeRecordsResponse response;
    Spread(keys, set, &answers, response.mutable_records());
    ASSERT_EQ(response.records_size(), static_cast<int>(keys.size()));
    for (size_t i = 0; i < keys.size(); ++i) {
      EXPECT_EQ(response.records(static_cast<int>(i)).cid(), keys[i]);
    }
  }
}

}  // namespace
}  // namespace dataplane
