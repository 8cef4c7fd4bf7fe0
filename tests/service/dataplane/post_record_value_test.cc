#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "service/dataplane/post_record_cache.h"

namespace dataplane {
namespace {

using ringplane::cache::CachedPost;

constexpr char kUri[] = "at://did:plc:a/app.bsky.feed.post/3k";

CachedPost Post() {
  CachedPost post;
  post.set_uri(kUri);
  post.mutable_record()->set_cid("bafy");
  post.mutable_record()->set_record(std::string("{\"text\":\"\0\"}", 12));
  post.mutable_meta()->set_has_thread_gate(true);
  post.set_reply_root("at://did:plc:b/app.bsky.feed.post/3j");
  return post;
}

TEST(PostRecordValueTest, SurvivesTheRoundTrip) {
  const CachedPost post = Post();
  std::unique_ptr<CachedPost> decoded =
      DecodeCachedPost(kUri, EncodeCachedPost(post));
  ASSERT_NE(decoded, nullptr);
  EXPECT_EQ(decoded->SerializeAsString(), post.SerializeAsString());
}

// Whatever happened to it in Redis, a value is whole or it is a miss.
TEST(PostRecordValueTest, EveryDamageIsNoticed) {
  const std::string value = EncodeCachedPost(Post());
  for (size_t size = 0; size < value.size(); ++size) {
    EXPECT_EQ(DecodeCachedPost(kUri, value.substr(0, size)), nullptr) << size;
  }
  for (size_t i = 0; i < value.size(); ++i) {
    std::string damaged = value;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_EQ(DecodeCachedPost(kUri, damaged), nullptr) << i;
  }
  EXPECT_EQ(DecodeCachedPost(kUri, value + "x"), nullptr);
}

TEST(PostRecordValueTest, AnotherPostsValueIsNotBelieved) {
  EXPECT_EQ(DecodeCachedPost("at://did:plc:a/app.bsky.feed.post/3l",
                             EncodeCachedPost(Post())),
            nullptr);
}

// Posts that do not exist are never taken from the cache.
TEST(PostRecordValueTest, AValueWithoutARecordIsNotBelieved) {
  CachedPost post = Post();
  post.mutable_record()->clear_cid();
  EXPECT_EQ(DecodeCachedPost(kUri, EncodeCachedPost(post)), nullptr);
}

}  // namespace
}  // namespace dataplane
