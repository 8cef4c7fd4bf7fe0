// Posts in Redis, in front of the store. Answers are the same with and
// without it: whatever Redis does, a post that it does not give correctly and
// in time is read from the store.
//
// Staleness. A writer calls Invalidate() after its write was acknowledged: the
// entry becomes a tombstone for some seconds, and readers fill the cache with
// SET NX, so that one that read the store before the write cannot bring the
// old row back. If Redis cannot be told, an entry lives no longer than `ttl`.
// Posts that do not exist are not cached.
//
// Thread-safety: none; a cache belongs to its loop.
#ifndef RINGPLANE_SERVICE_DATAPLANE_POST_RECORD_CACHE_H_
#define RINGPLANE_SERVICE_DATAPLANE_POST_RECORD_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "ioloop/task.h"
#include "proto/cache.pb.h"
#include "service/redis/client.h"

namespace dataplane {

class PostRecordCache {
 public:
  struct Options {
    // How long an entry may be served.
    absl::Duration ttl = absl::Seconds(60);
    // How long an invalidated entry cannot be filled. Longer than a reader may
    // take from its lookup to its fill, which `fill_within` bounds.
    absl::Duration tombstone = absl::Seconds(15);
    absl::Duration fill_within = absl::Seconds(5);
    // Keys of one MGET, and MGETs of one request that are in flight at once.
    size_t keys_per_call = 128;
    size_t calls_in_flight = 8;
    // Nothing is filled while so many calls wait for Redis: lookups come first.
    size_t fill_below_in_flight = 1024;
    // Larger posts are not cached.
    size_t value_bytes_max = 256 << 10;
  };

  struct Stats {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t errors = 0;    // keys that Redis did not answer for
    uint64_t rejected = 0;  // values that were not what we had stored
    uint64_t fills = 0;
    uint64_t invalidations = 0;
    uint64_t invalidations_lost = 0;  // Redis was not told
  };

  // `client` may be nullptr: then nothing is ever found.
  PostRecordCache(redis::Client* client, Options options);

  // Looks `uris` up; found[i] is the post or nullptr. Never fails.
  ioloop::Task<void> Get(
      std::vector<std::string_view> uris,
      std::vector<std::unique_ptr<ringplane::cache::CachedPost>>* found);

  // Offers what was read from the store. `looked_up_at` is the loop's time
  // before the read started. Does not wait.
  void Fill(const ringplane::cache::CachedPost& post, absl::Time looked_up_at);

  // Forgets a post that was written, deleted, gated or taken down. Call it
  // after the write was acknowledged. Does not wait.
  void Invalidate(std::string_view uri);

  bool enabled() const { return client_ != nullptr; }
  const Stats& stats() const { return stats_; }

 private:
  ioloop::Task<bool> GetSome(
      const std::vector<std::string_view>* uris, size_t begin, size_t end,
      std::vector<std::unique_ptr<ringplane::cache::CachedPost>>* found);

  redis::Client* const client_;
  ioloop::Loop* const loop_;
  const Options options_;
  const std::string ttl_ms_;
  const std::string tombstone_ms_;
  Stats stats_;
};

// The value that is stored for `post`, and the post of a value; nullptr if
// `value` is not a whole value of `uri`. Exposed for tests.
std::string EncodeCachedPost(const ringplane::cache::CachedPost& post);
std::unique_ptr<ringplane::cache::CachedPost> DecodeCachedPost(
    std::string_view uri, std::string_view value);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_POST_RECORD_CACHE_H_
