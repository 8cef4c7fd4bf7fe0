// The bytes of a connection on their way to a socket: at once, or through a
// secure channel.
#ifndef RINGPLANE_CQL_INTERNAL_TRANSPORT_H_
#define RINGPLANE_CQL_INTERNAL_TRANSPORT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "cql/secure_channel.h"
#include "ioloop/loop.h"
#include "ioloop/stop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace cql::internal {

// Without a channel a frame is encoded where the kernel takes it from. With one
// the frames of a turn are gathered and encrypted together at its end.
// Immovable. REQUIRES: Close() is awaited before it dies.
class Transport {
 public:
  // `channel` null: over `stream`.
  Transport(ioloop::Loop* loop, ioloop::Stream stream,
            std::unique_ptr<SecureChannel> channel)
      : stream_(std::move(stream)),
        channel_(std::move(channel)),
        gathered_(loop, channel_.get()) {}
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Room for at least `bytes`, valid until the next call; Commit() what was
  // written.
  char* Reserve(size_t bytes) {
    if (__builtin_expect(channel_ == nullptr, 1)) {
      return stream_.Reserve(bytes).data();
    }
    return gathered_.Reserve(bytes);
  }
  void Commit(size_t bytes) {
    if (__builtin_expect(channel_ == nullptr, 1)) {
      stream_.Commit(bytes);
    } else {
      gathered_.Commit(bytes);
    }
  }
  size_t queued_bytes() const {
    if (__builtin_expect(channel_ == nullptr, 1)) return stream_.queued_bytes();
    return gathered_.size() + channel_->queued_bytes();
  }

  // Null: receive from stream().
  SecureChannel* channel() { return channel_.get(); }
  ioloop::Stream& stream() { return stream_; }
  // For the channel's Receive().
  ioloop::StopToken stop() const { return stop_.token(); }
  // Ends the Receive() that waits with kCancelled.
  void CancelReceive();

  ioloop::Task<void> Close();
  bool closed() const {
    return channel_ == nullptr ? stream_.closed() : channel_->closed();
  }

 private:
  // What a turn has for the channel.
  class Gathered : ioloop::TurnEnd {
   public:
    Gathered(ioloop::Loop* loop, SecureChannel* channel)
        : TurnEnd(&OnTurnEnd), loop_(loop), channel_(channel) {}
    char* Reserve(size_t bytes);
    void Commit(size_t bytes);
    size_t size() const { return size_; }
    void Drop();

   private:
    // Memory above this is given back when it was sent.
    static constexpr size_t kKeptBytes = 64 << 10;
    static void OnTurnEnd(ioloop::TurnEnd* work);

    ioloop::Loop* const loop_;
    SecureChannel* const channel_;
    std::string bytes_;
    size_t size_ = 0;  // Of `bytes_` that is written.
  };

  ioloop::Stream stream_;
  const std::unique_ptr<SecureChannel> channel_;
  Gathered gathered_;
  ioloop::StopSource stop_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_TRANSPORT_H_
