#include "service/dataplane/post_record_cache.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace dataplane {
namespace {

using ringplane::cache::CachedPost;

// The digit is the version of the value's meaning: raise it when that changes.
constexpr std::string_view kKeyPrefix = "ringplane:post:1:";
constexpr size_t kChecksumBytes = 4;

std::string KeyOf(std::string_view uri) {
  std::string key;
  key.reserve(kKeyPrefix.size() + uri.size());
  key.append(kKeyPrefix).append(uri);
  return key;
}

uint32_t ChecksumOf(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()),
            static_cast<uInt>(bytes.size())));
}

}  // namespace

std::string EncodeCachedPost(const CachedPost& post) {
  std::string value(kChecksumBytes, '\0');
  post.AppendToString(&value);
  const uint32_t checksum =
      ChecksumOf(std::string_view(value).substr(kChecksumBytes));
  std::memcpy(value.data(), &checksum, kChecksumBytes);
  return value;
}

std::unique_ptr<CachedPost> DecodeCachedPost(std::string_view uri,
                                             std::string_view value) {
  if (value.size() < kChecksumBytes) return nullptr;
  uint32_t checksum;
  std::memcpy(&checksum, value.data(), kChecksumBytes);
  value.remove_prefix(kChecksumBytes);
  if (checksum != ChecksumOf(value)) return nullptr;
  auto post = std::make_unique<CachedPost>();
  if (!post->ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      post->uri() != uri || post->record().cid().empty()) {
    return nullptr;
  }
  return post;
}

PostRecordCache::PostRecordCache(redis::Client* client, Options options)
    : client_(client),
      loop_(client == nullptr ? nullptr : client->loop()),
      options_(options),
      ttl_ms_(absl::StrCat(absl::ToInt64Milliseconds(options.ttl))),
      tombstone_ms_(
          absl::StrCat(absl::ToInt64Milliseconds(options.tombstone))) {}

ioloop::Task<void> PostRecordCache::Get(
    std::vector<std::string_view> uris,
    std::vector<std::unique_ptr<CachedPost>>* found) {
  found->clear();
  found->resize(uris.size());
  if (client_ == nullptr) co_return;

  // Workers take the next slice each; all stop when Redis stops answering.
  struct Progress {
    size_t next = 0;
    bool failed = false;
  };
  struct Worker {
    static ioloop::Task<void> Run(
        PostRecordCache* cache, const std::vector<std::string_view>* keys,
        Progress* progress, std::vector<std::unique_ptr<CachedPost>>* results) {
      while (!progress->failed && progress->next < keys->size()) {
        const size_t begin = progress->next;
        const size_t end =
            std::min(begin + cache->options_.keys_per_call, keys->size());
        progress->next = end;
        const bool answered =
            co_await cache->GetSome(keys, begin, end, results);
        if (!answered) progress->failed = true;
      }
    }
  };
  Progress progress;
  const size_t calls =
      (uris.size() + options_.keys_per_call - 1) / options_.keys_per_call;
  ioloop::TaskGroup workers;
  for (size_t i = 0; i < std::min(calls, options_.calls_in_flight); ++i) {
    workers.Spawn(Worker::Run(this, &uris, &progress, found));
  }
  co_await workers.Join();
  stats_.errors += uris.size() - progress.next;
}

// False if Redis did not answer.
ioloop::Task<bool> PostRecordCache::GetSome(
    const std::vector<std::string_view>* uris, size_t begin, size_t end,
    std::vector<std::unique_ptr<CachedPost>>* found) {
  const size_t count = end - begin;
  std::vector<std::string> keys;
  keys.reserve(count);
  std::vector<std::string_view> command = {"MGET"};
  command.reserve(count + 1);
  for (size_t i = begin; i < end; ++i) {
    keys.push_back(KeyOf((*uris)[i]));
    command.push_back(keys.back());
  }
  redis::Call call = client_->Start(command);
  absl::StatusOr<redis::Reply> reply = co_await call;
  if (!reply.ok() || reply->type != redis::Reply::Type::kArray ||
      reply->elements.size() != count) {
    stats_.errors += count;
    co_return false;
  }
  for (size_t i = 0; i < count; ++i) {
    const redis::Reply& element = reply->elements[i];
    // An empty string is a tombstone.
    if (element.type != redis::Reply::Type::kString || element.text.empty()) {
      ++stats_.misses;
      continue;
    }
    (*found)[begin + i] = DecodeCachedPost((*uris)[begin + i], element.text);
    if ((*found)[begin + i] == nullptr) {
      ++stats_.rejected;
      ++stats_.misses;
    } else {
      ++stats_.hits;
    }
  }
  co_return true;
}

void PostRecordCache::Fill(const CachedPost& post, absl::Time looked_up_at) {
  if (client_ == nullptr || !client_->usable()) return;
  if (loop_->now() - looked_up_at > options_.fill_within) return;
  if (client_->in_flight() >= options_.fill_below_in_flight) return;
  const std::string value = EncodeCachedPost(post);
  if (value.size() > options_.value_bytes_max) return;
  const std::string key = KeyOf(post.uri());
  const std::array<std::string_view, 6> set = {"SET", key,     value,
                                               "PX",  ttl_ms_, "NX"};
  if (client_->Post(set)) ++stats_.fills;
}

void PostRecordCache::Invalidate(std::string_view uri) {
  if (client_ == nullptr) return;
  const std::string key = KeyOf(uri);
  const std::array<std::string_view, 5> set = {"SET", key, "", "PX",
                                               tombstone_ms_};
  if (client_->Post(set)) {
    ++stats_.invalidations;
  } else {
    ++stats_.invalidations_lost;
  }
}

}  // namespace dataplane
