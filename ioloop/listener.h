// A listening TCP or unix socket.
#ifndef RINGPLANE_IOLOOP_LISTENER_H_
#define RINGPLANE_IOLOOP_LISTENER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/loop.h"
#include "ioloop/socket_address.h"
#include "ioloop/stream.h"

namespace ioloop {

namespace internal {
struct ListenerState;
}

// Accepts by one multishot request. Out of descriptors or memory is no error:
// the listener pauses, tries again, and counts it (`stats().accept_pauses`).
// Connections that nobody has asked for yet wait in a bounded queue, then in
// the kernel's backlog.
//
// Move-only. Destroying it closes it in the background, as Stream does.
class Listener {
 public:
  struct Options {
    int backlog = 4096;
    // Several listeners, one per loop, share the port; the kernel spreads
    // connections among them.
    bool reuse_port = false;
    // An IPv6 address takes IPv4 connections too ("[::]" then stands for every
    // address of both; a peer looks like "[::ffff:10.0.0.1]:40000").
    bool dual_stack = false;
    // Accepted but not yet asked for, before accepting pauses.
    uint32_t pending_max = 256;
    // How long accepting pauses when descriptors or memory run out.
    absl::Duration pause = absl::Milliseconds(50);
    // A unix socket's file: removed before binding if nobody listens on it,
    // and when the listener closes.
    bool unlink = true;
    Stream::Options stream;  // Of accepted streams.
  };

  // kAlreadyExists when the address is in use, kPermissionDenied,
  // kInvalidArgument, kUnavailable otherwise; the message names the address.
  static absl::StatusOr<Listener> Bind(Loop* loop, const SocketAddress& address,
                                       const Options& options);
  static absl::StatusOr<Listener> Bind(Loop* loop,
                                       const SocketAddress& address);
  // On 127.0.0.1; port 0 picks a free one.
  static absl::StatusOr<Listener> Bind(Loop* loop, uint16_t port);

  Listener(Listener&&) noexcept;
  Listener& operator=(Listener&&) noexcept;
  ~Listener();

  // The next connection; kCancelled once closed, or stopped (stop.h). One
  // waiter at a time.
  //   absl::StatusOr<Stream> stream = co_await listener.Accept();
  class [[nodiscard]] AcceptAwaiter {
   public:
    explicit AcceptAwaiter(internal::ListenerState* state) : state_(state) {}
    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> waiter);
    absl::StatusOr<Stream> await_resume() const;
    void Stop();
    Loop* loop() const;

   private:
    internal::ListenerState* state_;
    bool waits_ = false;
    bool stopped_ = false;
  };
  AcceptAwaiter Accept() { return AcceptAwaiter(state_); }

  // Makes Accept() return kCancelled, now and from now on, without closing.
  void CancelAccept();

  // Stops accepting, resets connections nobody asked for, awaits the kernel,
  // closes.
  Task<void> Close();

  // With the port that was picked.
  const SocketAddress& local_address() const;
  int fd() const;

 private:
  explicit Listener(internal::ListenerState* state) : state_(state) {}
  internal::ListenerState* state_;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_LISTENER_H_
