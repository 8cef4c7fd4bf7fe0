#include "service/dataplane/op_thread.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace dataplane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Uri(const std::string& rkey) {
  return "at://did:plc:op/app.bsky.feed.post/" + rkey;
}

const std::string kRoot = Uri("3l00000000000");

OpReply Reply(const std::string& rkey, const std::string& parent) {
  return {Uri(rkey), parent, std::nullopt};
}
OpReply Deleted(const std::string& rkey, const std::string& parent,
                int64_t at_ms) {
  return {Uri(rkey), parent, at_ms};
}

// A key that was made at 2025-03-01T01:53:26.134Z.
constexpr char kTid[] = "3ljbss7trbkaq";
constexpr int64_t kTidMs = 1740794006134;

TEST(OpThreadTest, TidsTellTheirTime) {
  ASSERT_TRUE(MicrosOfTid(kTid).has_value());
  EXPECT_NEAR(static_cast<double>(*MicrosOfTid(kTid)) / 1000, kTidMs, 1);
  EXPECT_FALSE(MicrosOfTid("self").has_value());
  EXPECT_FALSE(MicrosOfTid("3ljbss7trbka1").has_value());
}

TEST(OpThreadTest, FollowsTheOldestReplyUnderEachPost) {
  EXPECT_THAT(OpThreadOf(kRoot, {Reply("b", Uri("a")), Reply("z", kRoot),
                                 Reply("a", kRoot), Reply("c", Uri("z"))}),
              ElementsAre(kRoot, Uri("a"), Uri("b")));
}

TEST(OpThreadTest, WithoutRepliesThereIsNoThread) {
  EXPECT_THAT(OpThreadOf(kRoot, {}), IsEmpty());
  EXPECT_THAT(OpThreadOf(kRoot, {Reply("a", Uri("elsewhere"))}), IsEmpty());
}

TEST(OpThreadTest, ADeletedReplyKeepsItsPlaceWhileOneBelowItLives) {
  EXPECT_THAT(OpThreadOf(kRoot, {Deleted("a", kRoot, 1), Reply("b", Uri("a")),
                                 Deleted("c", Uri("b"), 1)}),
              ElementsAre(kRoot, Uri("a"), Uri("b")));
}

TEST(OpThreadTest, APlaceThatBecameFreeGoesToALaterReplyOnly) {
  const int64_t before = kTidMs - 5000;
  const int64_t after = kTidMs + 5000;
  EXPECT_THAT(
      OpThreadOf(kRoot, {Deleted("2", kRoot, before), Reply(kTid, kRoot)}),
      ElementsAre(kRoot, Uri(kTid)));
  EXPECT_THAT(
      OpThreadOf(kRoot, {Deleted("2", kRoot, after), Reply(kTid, kRoot)}),
      IsEmpty());
}

TEST(OpThreadTest, RepliesThatRunInACircleMakeNoThread) {
  EXPECT_THAT(OpThreadOf(kRoot, {Reply("a", kRoot), Reply("b", Uri("a")),
                                 Reply("a", Uri("b"))}),
              IsEmpty());
}

// A thread is data: however long, it must not be walked on the stack.
TEST(OpThreadTest, LongThreadsAreWalkedToTheirEnd) {
  std::vector<OpReply> replies;
  std::string parent = kRoot;
  for (int i = 0; i < 50'000; ++i) {
    replies.push_back(Reply(std::to_string(1'000'000 + i), parent));
    parent = replies.back().uri;
  }
  EXPECT_EQ(OpThreadOf(kRoot, std::move(replies)).size(), 50'001u);
}

}  // namespace
}  // namespace dataplane
