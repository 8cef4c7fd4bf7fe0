// A connected TCP or unix stream socket.
#ifndef RINGPLANE_IOLOOP_STREAM_H_
#define RINGPLANE_IOLOOP_STREAM_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace ioloop {

namespace internal {
struct StreamState;
}

// Receiving is multishot into buffers lent from the loop's pool, so an idle
// stream holds no receive buffer. It starts with the first Receive(); what
// arrives while nobody receives waits in lent buffers up to a bound, then in
// the kernel, which slows the sender. Sending is queued: whatever was queued in
// a turn leaves in one send at its end, and an idle stream holds no send
// buffer either.
//
// Move-only handle to a state that stays put. One receiver and one waiter for
// Drained() at a time; Queue() any time.
//
// `co_await Close()` before destroying it. A stream destroyed open is closed in
// the background, once the kernel has let go of it; what was queued and not
// yet sent is dropped. Nobody may be waiting in Receive() or Drained() then.
//
// Thread-safety: none; a stream belongs to its loop.
class [[nodiscard]] Stream {
 public:
  struct Options {
    // Most bytes that Queue() may hold unsent. Queue() past it fails the
    // stream with kResourceExhausted: check queued_bytes() or await Drained().
    size_t send_buffer_max = 64 << 20;
    // Receive buffers that may wait for Receive() before the kernel is told to
    // stop filling them.
    uint32_t receive_queue_max = 8;
    // Receive buffers that one turn hands out; a receiver that would take more
    // goes on in the next turn, after everyone else had theirs.
    uint32_t receive_turn_max = 16;

    // The rest goes to the kernel: before connecting, or to a listener, whose
    // accepted sockets inherit it. Adopt() leaves a socket as it is.
    bool no_delay = true;
    // SO_SNDBUF and SO_RCVBUF; 0: the system's, which adapt themselves.
    uint32_t socket_send_bytes = 0;
    uint32_t socket_receive_bytes = 0;
    // After how much silence TCP asks whether the peer is still there, how
    // often again, and how often in vain until the stream breaks. Zero: never.
    absl::Duration keepalive_idle = absl::ZeroDuration();
    absl::Duration keepalive_interval = absl::Seconds(10);
    uint32_t keepalive_probes = 3;
    // How long sent bytes may stay unacknowledged until the stream breaks
    // (TCP_USER_TIMEOUT). Zero: the system's patience, some 15 minutes.
    absl::Duration user_timeout = absl::ZeroDuration();
  };

  // Connects, from `source` if given (port 0: any; `*source` is read before
  // this first suspends). kDeadlineExceeded after `timeout`; kCancelled when
  // `stop` asks; kInvalidArgument for an option that the kernel refuses;
  // kUnavailable with the errno's text otherwise. EADDRINUSE and EADDRNOTAVAIL
  // of a given source port are kAlreadyExists.
  static Task<absl::StatusOr<Stream>> Connect(Loop* loop, SocketAddress address,
                                              absl::Duration timeout,
                                              const SocketAddress* source);
  static Task<absl::StatusOr<Stream>> Connect(Loop* loop, SocketAddress address,
                                              absl::Duration timeout,
                                              const SocketAddress* source,
                                              Options options);
  static Task<absl::StatusOr<Stream>> Connect(Loop* loop, SocketAddress address,
                                              absl::Duration timeout,
                                              const SocketAddress* source,
                                              Options options, StopToken stop);

  // Takes over a connected, blocking stream socket.
  static Stream Adopt(Loop* loop, int fd);
  static Stream Adopt(Loop* loop, int fd, const Options& options);

  // No stream: only assignment, destruction and valid() are allowed.
  Stream() = default;
  Stream(Stream&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  bool valid() const { return state_ != nullptr; }

  // The next bytes, lent until the returned object dies. Empty at end of
  // stream. kCancelled after CancelReceive() or Close(), or stopped (stop.h);
  // kUnavailable when the connection broke. An awaiter: no allocation.
  //   absl::StatusOr<ReceivedBytes> bytes = co_await stream.Receive();
  class [[nodiscard]] ReceiveAwaiter {
   public:
    explicit ReceiveAwaiter(internal::StreamState* state) : state_(state) {}
    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> waiter);
    absl::StatusOr<ReceivedBytes> await_resume() const;
    void Stop();
    Loop* loop() const;

   private:
    internal::StreamState* state_;
    bool waits_ = false;
    bool stopped_ = false;
  };
  ReceiveAwaiter Receive() { return ReceiveAwaiter(state_); }
  // Makes the Receive() that waits now return kCancelled, in this turn or the
  // next; nothing if none waits. Later ones go on as before: no byte is lost.
  void CancelReceive();

  // Room for at least `bytes` at the end of the send queue; Commit() what was
  // written. The span is valid until the next call on this stream.
  std::span<char> Reserve(size_t bytes);
  void Commit(size_t bytes);
  // Copies `bytes` into the send queue. Dropped if the stream broke or closed.
  void Queue(std::string_view bytes);
  // Bytes queued or in the kernel's hands.
  size_t queued_bytes() const;

  // Resumes when at most `below` bytes remain unsent, or with the error that
  // broke the stream. Stopped (stop.h), it is kCancelled and what was queued
  // still goes out: close a stream whose peer is too slow.
  class [[nodiscard]] DrainAwaiter {
   public:
    DrainAwaiter(internal::StreamState* state, size_t below)
        : state_(state), below_(below) {}
    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> waiter);
    absl::Status await_resume() const;
    void Stop();
    Loop* loop() const;

   private:
    internal::StreamState* state_;
    size_t below_;
    bool waits_ = false;
    bool stopped_ = false;
  };
  DrainAwaiter Drained(size_t below = 0) { return DrainAwaiter(state_, below); }
  // Queue() at once, then Drained(). An awaiter: no allocation. `bytes` may go
  // when this returns.
  DrainAwaiter SendAll(std::string_view bytes) {
    Queue(bytes);
    return Drained();
  }

  // Sends FIN after what is queued.
  void ShutdownWrite();

  // Drops what is queued and not yet handed to the kernel, cancels, awaits
  // every request in flight, closes. A waiter of Receive() or Drained() gets
  // kCancelled first. Nothing if closed already. Destroy the stream when this
  // is done, not before.
  Task<void> Close();
  // With a reset (SO_LINGER 0).
  Task<void> Abort();
  // Sends what is queued, then FIN, and drops what still comes until the peer
  // has closed too; then Close(). Closing with bytes unread would be a reset,
  // which can destroy at the peer what was sent last. OK, or why the peer did
  // not come to an end: kDeadlineExceeded, or what broke the stream.
  // REQUIRES: nobody waits in Receive() or Drained().
  Task<absl::Status> CloseGracefully(absl::Time deadline);

  // OK, or why the stream broke.
  const absl::Status& status() const;
  bool closed() const;
  int fd() const;  // -1 once closed.
  Loop* loop() const;
  SocketAddress local_address() const;
  SocketAddress peer_address() const;

 private:
  explicit Stream(internal::StreamState* state) : state_(state) {}
  internal::StreamState* state_ = nullptr;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_STREAM_H_
