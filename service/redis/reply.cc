#include "service/redis/reply.h"

#include <hiredis/read.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"

namespace redis {

// The callbacks through which hiredis hands over what it reads. A null return
// makes it fail with "Out of memory": that is how a bound is enforced before
// anything is allocated for a claim.
struct ReplyBuilder {
  static ReplyReader* Of(const redisReadTask* task) {
    return static_cast<ReplyReader*>(task->privdata);
  }

  static void* String(const redisReadTask* task, char* text, size_t size) {
    ReplyReader* reader = Of(task);
    Reply* reply = reader->Place(task);
    reader->building_bytes_ += size;
    if (reader->building_bytes_ > reader->limits_.reply_bytes_max) {
      return nullptr;
    }
    switch (task->type) {
      case REDIS_REPLY_STATUS:
        reply->type = Reply::Type::kStatus;
        break;
      case REDIS_REPLY_ERROR:
        reply->type = Reply::Type::kError;
        break;
      default:
        reply->type = Reply::Type::kString;
    }
    reply->text.assign(text, size);
    return reply;
  }

  static void* Array(const redisReadTask* task, int elements) {
    ReplyReader* reader = Of(task);
    if (elements < 0 ||
        static_cast<size_t>(elements) > reader->limits_.elements_max) {
      return nullptr;
    }
    if (task->parent != nullptr) return nullptr;
    Reply* reply = reader->Place(task);
    reply->type = Reply::Type::kArray;
    return reply;
  }

  static void* Integer(const redisReadTask* task, long long value) {
    Reply* reply = Of(task)->Place(task);
    reply->type = Reply::Type::kInteger;
    reply->integer = value;
    return reply;
  }

  static void* Nil(const redisReadTask* task) { return Of(task)->Place(task); }

  // The reply belongs to the reader.
  static void Free(void*) {}

  static redisReplyObjectFunctions functions;
};

redisReplyObjectFunctions ReplyBuilder::functions = {
    ReplyBuilder::String, ReplyBuilder::Array, ReplyBuilder::Integer,
    ReplyBuilder::Nil, ReplyBuilder::Free};

ReplyReader::ReplyReader(const Limits& limits)
    : limits_(limits),
      reader_(redisReaderCreateWithFunctions(&ReplyBuilder::functions)) {
  RINGPLANE_CHECK(reader_ != nullptr, "no memory for a reply reader");
  reader_->privdata = this;
}

ReplyReader::~ReplyReader() { redisReaderFree(reader_); }

void ReplyReader::Feed(std::string_view bytes) {
  if (!status_.ok()) return;
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("redis reply: ", reader_->errstr));
  }
}

Reply* ReplyReader::Place(const redisReadTask* task) {
  if (task->parent == nullptr) {
    building_ = Reply();
    building_bytes_ = 0;
    return &building_;
  }
  // hiredis reads elements in order, so the next one is always at the end.
  building_.elements.emplace_back();
  return &building_.elements.back();
}

absl::StatusOr<std::optional<Reply>> ReplyReader::Next() {
  if (!status_.ok()) return status_;
  void* reply = nullptr;
  if (redisReaderGetReply(reader_, &reply) != REDIS_OK) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("redis reply: ", reader_->errstr));
    return status_;
  }
  if (reply == nullptr) {
    status_ = CheckIncomplete();
    if (!status_.ok()) return status_;
    return std::optional<Reply>();
  }
  return std::optional<Reply>(std::exchange(building_, Reply()));
}

// hiredis waits for a length or a line end however long it takes, and looks
// for the line end from its start at every call.
absl::Status ReplyReader::CheckIncomplete() const {
  if (reader_->len <= reader_->pos) return absl::OkStatus();
  const size_t unread = reader_->len - reader_->pos;
  if (unread > limits_.reply_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("redis reply: more than ",
                                                   limits_.reply_bytes_max,
                                                   " bytes without an end"));
  }
  if (unread > limits_.line_bytes_max &&
      std::memchr(reader_->buf + reader_->pos, '\n', limits_.line_bytes_max) ==
          nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "redis reply: a line of more than ", limits_.line_bytes_max, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace redis
