// A UDP or unix datagram socket.
#ifndef RINGPLANE_IOLOOP_DATAGRAM_H_
#define RINGPLANE_IOLOOP_DATAGRAM_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ioloop/buffer_pool.h"
#include "ioloop/loop.h"
#include "ioloop/operation.h"
#include "ioloop/socket_address.h"
#include "ioloop/stop.h"
#include "ioloop/task.h"

namespace ioloop {

namespace internal {
struct DatagramState;
}

// What one datagram brought. An empty one is a datagram as well.
struct Datagram {
  SocketAddress from;  // AF_UNSPEC from a unix socket without a name.
  ReceivedBytes bytes;
  bool truncated = false;  // The rest did not fit a buffer and is lost.
};

// Receiving is multishot into buffers lent from the loop's pool, as a Stream's.
// A datagram, its sender's address and 16 bytes more have to fit one of them
// (Loop::Options::buffer_bytes); a longer one comes truncated. What arrives
// while nobody receives waits up to a bound, then in the kernel up to its own
// (SO_RCVBUF), then UDP drops and a unix socket makes its senders wait.
//
// Move-only handle to a state that stays put. One receiver at a time, any
// number of senders. `co_await Close()` before destroying it; destroyed open it
// is closed in the background, and nobody may be waiting in it then.
//
// Thread-safety: none; a socket belongs to its loop.
class [[nodiscard]] DatagramSocket {
 public:
  struct Options {
    // Datagrams that may wait for Receive() before the kernel is told to stop
    // filling buffers.
    uint32_t receive_queue_max = 64;
    // Datagrams that Queue() may hold; the next are refused, and counted in
    // dropped().
    uint32_t send_queue_max = 1024;
    // SO_REUSEPORT: several sockets, one per loop, share the port.
    bool reuse_port = false;
    // SO_BROADCAST.
    bool broadcast = false;
    // An IPv6 address takes IPv4 too, as Listener::Options::dual_stack.
    bool dual_stack = false;
    // SO_SNDBUF and SO_RCVBUF; 0: the system's.
    uint32_t socket_send_bytes = 0;
    uint32_t socket_receive_bytes = 0;
  };

  // A socket at `address`; port 0 picks a free one. The file of a unix socket
  // must not be there; Close() removes it. Errors as Listener::Bind.
  static absl::StatusOr<DatagramSocket> Bind(Loop* loop,
                                             const SocketAddress& address,
                                             const Options& options);
  static absl::StatusOr<DatagramSocket> Bind(Loop* loop,
                                             const SocketAddress& address);
  // A socket that talks to `peer` alone: Send() needs no address, and a peer
  // that is not there may show as an error of Receive() or Send(). Given
  // `local`, it is bound first, as by Bind(): a unix socket needs that to get
  // answers. `*local` is read before this first suspends.
  static Task<absl::StatusOr<DatagramSocket>> Connect(
      Loop* loop, SocketAddress peer, const SocketAddress* local,
      Options options);

  // No socket: only assignment, destruction and valid() are allowed.
  DatagramSocket() = default;
  DatagramSocket(DatagramSocket&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  DatagramSocket& operator=(DatagramSocket&& other) noexcept;
  ~DatagramSocket();

  bool valid() const { return state_ != nullptr; }

  // The next datagram, in the order of arrival; an awaiter: no allocation.
  // kCancelled after Close(), or stopped (stop.h). kUnavailable for an error
  // that the kernel reports, such as a connected peer that refuses: the socket
  // lives on.
  //   absl::StatusOr<Datagram> datagram = co_await socket.Receive();
  class [[nodiscard]] ReceiveAwaiter {
   public:
    explicit ReceiveAwaiter(internal::DatagramState* state) : state_(state) {}
    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> waiter);
    absl::StatusOr<Datagram> await_resume() const;
    void Stop();
    Loop* loop() const;

   private:
    internal::DatagramState* state_;
    bool waits_ = false;
    bool stopped_ = false;
  };
  ReceiveAwaiter Receive() { return ReceiveAwaiter(state_); }

  // Sends one datagram and resumes when the kernel has taken it, waiting for
  // room if need be. kCancelled when stopped or closed first; kInvalidArgument
  // if it is too long (EMSGSIZE); kUnavailable otherwise. `bytes` and `to` must
  // stay until it resumes. An awaiter: no allocation.
  class [[nodiscard]] SendAwaiter : private Operation {
   public:
    SendAwaiter(internal::DatagramState* state, std::string_view bytes,
                const SocketAddress* to);
    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> waiter);
    absl::Status await_resume() const;
    void Stop();
    Loop* loop() const;

   private:
    friend struct internal::DatagramState;
    static void Done(Operation* op, Completion completion);
    internal::DatagramState* state_;
    iovec piece_;
    msghdr message_ = {};
    SendAwaiter* next_ = nullptr;
    SendAwaiter* previous_ = nullptr;
    std::coroutine_handle<> waiter_;
    int32_t result_;
    bool stopped_ = false;
  };
  SendAwaiter SendTo(const SocketAddress& to ABSL_ATTRIBUTE_LIFETIME_BOUND,
                     std::string_view bytes) {
    return SendAwaiter(state_, bytes, &to);
  }
  // REQUIRES: connected.
  SendAwaiter Send(std::string_view bytes) {
    return SendAwaiter(state_, bytes, nullptr);
  }

  // Copies a datagram to be sent with this turn. False, and it is dropped, when
  // send_queue_max of them wait already or the socket is closed. What the
  // kernel then refuses is counted in send_errors(). A unix socket keeps the
  // order; UDP does not promise any, nor does the network.
  bool QueueTo(const SocketAddress& to, std::string_view bytes);
  // REQUIRES: connected.
  bool Queue(std::string_view bytes);
  // Datagrams queued and not yet taken by the kernel.
  size_t queued() const;
  uint64_t dropped() const;
  uint64_t send_errors() const;

  // Cancels, awaits every request in flight, closes; what is queued is dropped.
  // Waiters get kCancelled first. Nothing if closed already.
  Task<void> Close();

  bool closed() const;
  int fd() const;  // -1 once closed.
  Loop* loop() const;
  SocketAddress local_address() const;

 private:
  explicit DatagramSocket(internal::DatagramState* state) : state_(state) {}
  internal::DatagramState* state_ = nullptr;
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_DATAGRAM_H_
