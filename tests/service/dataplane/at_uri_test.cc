#include "service/dataplane/at_uri.h"

#include <string>

#include "gtest/gtest.h"

namespace dataplane {
namespace {

TEST(AtUriTest, SplitsARecordsUri) {
  auto uri = ParseAtUri("at://did:plc:abc/app.bsky.feed.post/3k2a");
  ASSERT_TRUE(uri.has_value());
  EXPECT_EQ(uri->did, "did:plc:abc");
  EXPECT_EQ(uri->collection, "app.bsky.feed.post");
  EXPECT_EQ(uri->rkey, "3k2a");
}

TEST(AtUriTest, WhatIsNoRecordOfADidNamesNothing) {
  for (const char* text :
       {"", "at://", "at://did:plc:abc", "at://did:plc:abc/app.bsky.feed.post",
        "at://did:plc:abc/app.bsky.feed.post/", "at://did:plc:abc//x",
        "at://alice.test/app.bsky.feed.post/x",
        "at://did:plc:abc/app.bsky.feed.post/x/y", "https://did:plc:abc/a/b",
        "at://did:plc:abc/app.bsky.feed.post/a b", "at://did:/a/b",
        "at://did:plc:\x01/a/b"}) {
    EXPECT_FALSE(ParseAtUri(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseAtUri("at://did:plc:abc/a/" + std::string(5000, 'r')));
}

TEST(AtUriTest, KnowsADid) {
  EXPECT_TRUE(IsDid("did:plc:abc"));
  EXPECT_TRUE(IsDid("did:web:appview.example.com"));
  EXPECT_FALSE(IsDid("did:plc:"));
  EXPECT_FALSE(IsDid("did::abc"));
  EXPECT_FALSE(IsDid("alice.test"));
  EXPECT_FALSE(IsDid("did:plc:" + std::string(5000, 'a')));
}

}  // namespace
}  // namespace dataplane
