// A pipelined connection to one Redis server that runs in the caller's loop.
//
// It is for a cache: a call is answered or fails within `call_timeout`, and
// while the server is gone, slow or talks nonsense, calls fail at once without
// being sent. The client reconnects by itself with back-off.
//
//   redis::Client::Arguments key = {"GET", "name"};
//   redis::Call get = client.Start(key);
//   absl::StatusOr<redis::Reply> reply = co_await get;
//
// Thread-safety: none; a client belongs to its loop.
#ifndef RINGPLANE_SERVICE_REDIS_CLIENT_H_
#define RINGPLANE_SERVICE_REDIS_CLIENT_H_

#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"
#include "ioloop/timer.h"
#include "service/redis/reply.h"

namespace redis {

class Call;

class Client {
 public:
  struct Options {
    ioloop::SocketAddress address;
    // AUTH is sent if there is a password; with the user, if there is one.
    std::string username;
    std::string password;
    // SELECT is sent if it is not 0.
    uint32_t database = 0;
    absl::Duration connect_timeout = absl::Seconds(1);
    // Of one call, from start to answer; a quarter more is given where this
    // thread may have been the late one.
    absl::Duration call_timeout = absl::Milliseconds(20);
    // Calls that time out in a row before the connection is given up.
    uint32_t timeouts_max = 3;
    // Most calls without an answer, and most bytes that may wait to be sent;
    // past either a call fails with kResourceExhausted, unsent.
    uint32_t in_flight_max = 4096;
    size_t queued_bytes_max = 16 << 20;
    absl::Duration reconnect_min = absl::Milliseconds(50);
    absl::Duration reconnect_max = absl::Seconds(5);
    ReplyReader::Limits reply_limits;
  };

  struct Stats {
    uint64_t calls = 0;        // sent
    uint64_t replies = 0;      // of calls that still waited
    uint64_t timeouts = 0;     // calls
    uint64_t skipped = 0;      // calls that were not sent
    uint64_t connects = 0;     // connections that became usable
    uint64_t disconnects = 0;  // usable connections that were lost
    uint64_t nonsense = 0;     // connections given up for what they sent
  };

  // Starts to connect; does not wait for it, and does not fail.
  static std::unique_ptr<Client> Create(ioloop::Loop* loop, Options options);
  ~Client();  // REQUIRES: Close() was awaited.
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Whether a call would be sent now.
  bool usable() const { return ready_ && !closing_; }

  using Arguments = std::span<const std::string_view>;

  // Starts a command. It is encoded before this returns, so `arguments` may
  // go; it leaves at the end of this turn. Await it once for its reply, or
  // destroy it to ignore the reply. Errors: kUnavailable (not connected, or
  // the connection broke), kDeadlineExceeded, kResourceExhausted. What Redis
  // itself reports is a Reply of type kError, not a status.
  Call Start(Arguments arguments);

  // Starts a command whose reply nobody waits for. False if it was not sent.
  bool Post(Arguments arguments);

  // Fails calls in flight with kCancelled and closes the connection.
  ioloop::Task<void> Close();

  // Calls sent and not yet answered.
  size_t in_flight() const { return pending_.size(); }

  const Stats& stats() const { return stats_; }
  ioloop::Loop* loop() const { return loop_; }

 private:
  friend class Call;

  // A command that was sent and not yet answered. Replies come in order.
  struct Slot {
    Call* call = nullptr;  // nullptr: nobody waits (any more).
    absl::Time deadline;
    bool handshake = false;
  };

  Client(ioloop::Loop* loop, Options options);

  ioloop::Task<void> Run();
  // Serves one connection until it breaks; the reason it did.
  ioloop::Task<absl::Status> Serve();
  ioloop::Task<void> BackOff();
  void QueueHandshake();
  absl::Status Send(Arguments arguments, Slot slot);
  absl::Status Consume(std::string_view bytes, ReplyReader* reader);
  absl::Status Answer(Reply reply);
  void FailPending(const absl::Status& status);
  void Break(absl::Status why);
  void ArmTimeout();
  void OnTimeout();
  void Forget(Call* call);

  // Timers call back with themselves: each knows its client.
  struct ClientTimer : ioloop::Timer {
    ClientTimer(Client* owner, Handler handler)
        : ioloop::Timer(owner->loop_, handler), client(owner) {}
    Client* client;
  };

  ioloop::Loop* const loop_;
  const Options options_;
  Stats stats_;

  std::optional<ioloop::Stream> stream_;
  std::deque<Slot> pending_;
  uint64_t first_sequence_ = 0;  // of pending_.front()
  size_t timed_out_ = 0;         // leading slots whose deadline has passed
  uint64_t suspected_ = ~uint64_t{0};  // the slot whose time seems to be up
  uint32_t timeouts_in_row_ = 0;
  bool ready_ = false;
  bool closing_ = false;
  absl::Status broken_;  // Why this side gave the connection up.

  absl::Duration back_off_;
  std::coroutine_handle<> sleeper_;  // Run(), between connections.
  ClientTimer wake_timer_;
  ClientTimer timeout_timer_;
  ioloop::TaskGroup tasks_;
};

// A command in flight, an awaitable that lives in the caller's frame. It must
// not outlive its client.
class [[nodiscard]] Call {
 public:
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call();

  bool await_ready() const noexcept { return done_; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept {
    waiter_ = waiter;
  }
  absl::StatusOr<Reply> await_resume() { return std::move(result_); }

 private:
  friend class Client;

  Call(Client* client, Client::Arguments arguments);
  void Finish(absl::StatusOr<Reply> result);

  Client* client_;
  uint64_t sequence_ = 0;
  std::coroutine_handle<> waiter_;
  bool done_ = false;
  absl::StatusOr<Reply> result_;
};

}  // namespace redis

#endif  // RINGPLANE_SERVICE_REDIS_CLIENT_H_
