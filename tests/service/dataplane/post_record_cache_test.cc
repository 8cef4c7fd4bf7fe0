// The cache in front of the store, on a real Redis.
#include "service/dataplane/post_record_cache.h"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/dataplane/dataplane_fixture.h"
#include "tests/service/redis/redis_server.h"

namespace dataplane {
namespace {

using ringplane::cache::CachedPost;

const std::string kUri = "at://did:plc:alice/app.bsky.feed.post/1";

class PostRecordCacheTest : public DataplaneFixture {
 protected:
  void SetUp() override {
    DataplaneFixture::SetUp();
    redis::Client::Options options;
    options.address = *ioloop::SocketAddress::Parse(server_.address());
    options.call_timeout = absl::Seconds(20);
    options.connect_timeout = absl::Seconds(20);
    options.reconnect_min = absl::Milliseconds(5);
    client_ = redis::Client::Create(loop_.get(), options);
    WaitFor([this] { return client_->usable(); });
    Recreate(PostRecordCache::Options());
  }

  void TearDown() override {
    dataplane_.reset();
    loop_->RunUntilDone(client_->Close());
    client_.reset();
    DataplaneFixture::TearDown();
  }

  void Recreate(PostRecordCache::Options cache_options) {
    auto dataplane = loop_->RunUntilDone(Dataplane::Create(
        session_.get(), client_.get(), options_, cache_options));
    ASSERT_TRUE(dataplane.ok()) << dataplane.status();
    dataplane_ = *std::move(dataplane);
  }

  template <typename Condition>
  void WaitFor(Condition condition) {
    const absl::Time limit = absl::Now() + absl::Seconds(30);
    while (!condition() && absl::Now() < limit) {
      ASSERT_TRUE(loop_->RunOnce(absl::Milliseconds(5)).ok());
    }
    ASSERT_TRUE(condition());
  }

  // Everything that was sent to Redis is answered.
  void Settle() {
    WaitFor([this] { return client_->in_flight() == 0; });
  }

  bsky::GetPostRecordsResponse Get(const std::vector<std::string>& uris) {
    bsky::GetPostRecordsRequest request;
    for (const std::string& uri : uris) request.add_uris(uri);
    bsky::GetPostRecordsResponse response;
    absl::Status status = Call(&Dataplane::GetPostRecords, request, &response);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(response.records_size(), static_cast<int>(uris.size()));
    EXPECT_EQ(response.meta_size(), static_cast<int>(uris.size()));
    return response;
  }

  const PostRecordCache::Stats& stats() {
    return dataplane_->post_cache()->stats();
  }

  void RunRedis(std::vector<std::string_view> command) {
    ASSERT_TRUE(client_->Post(command));
    Settle();
  }

  std::string KeyOf(const std::string& uri) {
    return "ringplane:post:1:" + uri;
  }

  redis::RedisServer server_;
  std::unique_ptr<redis::Client> client_;
};

TEST_F(PostRecordCacheTest, AnswersAreEqualFromTheStoreAndFromTheCache) {
  AddRecord(kUri, "bafy1", 1740790000123);
  Write(absl::StrCat("UPDATE records SET reply_root = 'at://did:plc:b/",
                     "app.bsky.feed.post/r', violates_thread_gate = true, "
                     "takedown_ref = 'T' WHERE uri = '",
                     kUri, "'"));
  const std::string missing = "at://did:plc:alice/app.bsky.feed.post/2";
  const std::vector<std::string> uris = {missing, kUri, "nonsense", kUri};
  const bsky::GetPostRecordsResponse from_store = Get(uris);
  Settle();
  EXPECT_EQ(stats().hits, 0u);
  EXPECT_EQ(stats().fills, 1u);  // What does not exist is not cached.
  const bsky::GetPostRecordsResponse from_cache = Get(uris);
  EXPECT_EQ(stats().hits, 1u);
  EXPECT_EQ(from_store.SerializeAsString(), from_cache.SerializeAsString());
  EXPECT_TRUE(from_cache.meta(1).violates_thread_gate());
  EXPECT_TRUE(from_cache.records(3).taken_down());
}

TEST_F(PostRecordCacheTest, WhatIsInvalidatedIsReadAgain) {
  AddRecord(kUri, "old", 1);
  Get({kUri});
  Settle();
  AddRecord(kUri, "new", 1);
  EXPECT_EQ(Get({kUri}).records(0).cid(), "old");
  dataplane_->post_cache()->Invalidate(kUri);
  Settle();
  EXPECT_EQ(Get({kUri}).records(0).cid(), "new");
}

// A reader that looked at the store before the write must not bring the old
// row back after it.
TEST_F(PostRecordCacheTest, ALateFillDoesNotUndoAnInvalidation) {
  PostRecordCache* cache = dataplane_->post_cache();
  CachedPost old;
  old.set_uri(kUri);
  old.mutable_record()->set_cid("old");
  cache->Invalidate(kUri);
  cache->Fill(old, loop_->now());
  Settle();
  AddRecord(kUri, "new", 1);
  EXPECT_EQ(Get({kUri}).records(0).cid(), "new");
}

TEST_F(PostRecordCacheTest, WhatTookTooLongIsNotFilled) {
  CachedPost post;
  post.set_uri(kUri);
  post.mutable_record()->set_cid("old");
  dataplane_->post_cache()->Fill(post, loop_->now() - absl::Minutes(1));
  EXPECT_EQ(stats().fills, 0u);
}

TEST_F(PostRecordCacheTest, EntriesExpire) {
  PostRecordCache::Options options;
  options.ttl = absl::Milliseconds(1);
  Recreate(options);
  AddRecord(kUri, "old", 1);
  Get({kUri});
  Settle();
  AddRecord(kUri, "new", 1);
  WaitFor([this] { return Get({kUri}).records(0).cid() == "new"; });
}

TEST_F(PostRecordCacheTest, GarbageInRedisIsReadFromTheStore) {
  AddRecord(kUri, "bafy1", 1);
  const std::string key = KeyOf(kUri);
  RunRedis({"SET", key, "garbage that is long enough"});
  EXPECT_EQ(Get({kUri}).records(0).cid(), "bafy1");
  EXPECT_EQ(stats().rejected, 1u);
  // Of another type: MGET gives nil.
  RunRedis({"DEL", key});
  RunRedis({"LPUSH", key, "x"});
  EXPECT_EQ(Get({kUri}).records(0).cid(), "bafy1");
}

// Redis loses its mind: every answer comes from the store, none is wrong.
TEST_F(PostRecordCacheTest, ARedisThatIsGoneChangesNothing) {
  AddRecord(kUri, "bafy1", 1);
  Get({kUri});
  Settle();
  server_.Stop();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Get({kUri}).records(0).cid(), "bafy1");
  }
  WaitFor([this] { return !client_->usable(); });
  EXPECT_EQ(Get({kUri}).records(0).cid(), "bafy1");
  dataplane_->post_cache()->Invalidate(kUri);
  EXPECT_EQ(stats().invalidations_lost, 1u);
}

TEST_F(PostRecordCacheTest, ManyKeysAreLookedUpInPieces) {
  std::vector<std::string> uris;
  for (int i = 0; i < 2000; ++i) {
    uris.push_back(absl::StrCat("at://did:plc:alice/app.bsky.feed.post/", i));
  }
  AddRecord(uris[1999], "bafy", 1);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Get(uris).records(1999).cid(), "bafy");
    Settle();
  }
  EXPECT_EQ(stats().hits, 1u);
  EXPECT_EQ(stats().misses, 3999u);
  EXPECT_EQ(stats().errors, 0u);
}

}  // namespace
}  // namespace dataplane
