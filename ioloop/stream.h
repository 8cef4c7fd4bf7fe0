// A connected TCP or unix stream socket.
#ifndef RINGPLANE_IOLOOP_STREAM_H_
#define RINGPLANE_IOLOOP_STREAM_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/loop.h"

namespace ioloop {

// A socket address: "127.0.0.1:9042", "[::1]:9042" or "unix:/path".
class SocketAddress;  // socket_address.h

// Receiving is multishot into buffers lent from the loop's pool, so an idle
// stream holds no receive buffer. Sending is queued: whatever was queued in a
// turn leaves in one send at its end.
//
// Move-only handle to a state that stays put. One receiver and one waiter for
// Drained() at a time; Queue() any time.
//
// A stream is closed with `co_await Close()` before it is destroyed: closing a
// descriptor does not end requests in the kernel.
class Stream {
 public:
  struct Options {
    // Most bytes that Queue() may hold unsent. Queue() past it fails the
    // stream with kResourceExhausted: check queued_bytes() or await Drained().
    size_t send_buffer_max = 64 << 20;
    bool no_delay = true;
  };

  // Connects, from `source` if given (port 0: any). kDeadlineExceeded after
  // `timeout`; kUnavailable with the errno's text otherwise. EADDRINUSE and
  // EADDRNOTAVAIL of a given source port are kAlreadyExists.
  static Task<absl::StatusOr<Stream>> Connect(Loop* loop,
                                              SocketAddress address,
                                              absl::Duration timeout,
                                              const SocketAddress* source);

  // The next bytes, lent until the returned object dies. Empty at end of
  // stream. kCancelled after CancelReceive() or Close(); kUnavailable when the
  // connection broke. An awaiter: no allocation.
  //   absl::StatusOr<ReceivedBytes> bytes = co_await stream.Receive();
  class ReceiveAwaiter;
  ReceiveAwaiter Receive();
  void CancelReceive();

  // Room for at least `bytes` at the end of the send queue; Commit() what was
  // written. The span is valid until the next call on this stream.
  std::span<char> Reserve(size_t bytes);
  void Commit(size_t bytes);
  // Copies `bytes` into the send queue.
  void Queue(std::string_view bytes);
  // Bytes queued or in the kernel's hands.
  size_t queued_bytes() const;

  // Resumes when at most `below` bytes remain unsent, or with the error that
  // broke the stream.
  class DrainAwaiter;
  DrainAwaiter Drained(size_t below = 0);
  // Queue() and Drained().
  Task<absl::Status> SendAll(std::string_view bytes);

  // Sends FIN after what is queued.
  void ShutdownWrite();

  // Drops what is queued, cancels, awaits every request in flight, closes.
  Task<void> Close();
  // With a reset (SO_LINGER 0).
  Task<void> Abort();

  // OK, or why the stream broke.
  const absl::Status& status() const;
  int fd() const;
  Loop* loop() const;
  // ...
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_STREAM_H_
