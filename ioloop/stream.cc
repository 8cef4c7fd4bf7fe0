#include "ioloop/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "ioloop/await.h"
#include "ioloop/check.h"
#include "ioloop/internal/close.h"
#include "ioloop/internal/socket_options.h"
#include "ioloop/internal/stream_state.h"

namespace ioloop {
namespace {

using internal::StreamState;

constexpr char kTwice[] = "a Stream is closed once";

Task<void> AbortState(StreamState* state) {
  if (!state->closing) {
    const linger abort = {1, 0};
    static_cast<void>(state->loop->sockets().SetOption(
        state->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)));
  }
  co_await internal::CloseState(state, kTwice);
}

Task<absl::Status> CloseStateGracefully(StreamState* state,
                                        absl::Time deadline) {
  absl::Status status =
      co_await WithDeadline(Stream::DrainAwaiter(state, 0), deadline);
  if (status.ok()) {
    state->WantShutdown();
    for (;;) {
      absl::StatusOr<ReceivedBytes> rest =
          co_await WithDeadline(Stream::ReceiveAwaiter(state), deadline);
      status = rest.status();
      if (!rest.ok() || rest->empty()) break;
    }
  }
  co_await internal::CloseState(state, kTwice);
  co_return status;
}

absl::Status BindSource(Sockets& sockets, int fd, const SocketAddress& source) {
  // Ports of connections that are closing may be taken again.
  static_cast<void>(sockets.SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1));
  if (source.port() == 0 && !source.is_unix()) {
    // The port is chosen by connect(2), which knows the peer: one port then
    // serves connections to many peers.
    static_cast<void>(
        sockets.SetOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1));
  }
  const int error = -sockets.Bind(fd, source.data(), source.length());
  if (error == 0) return absl::OkStatus();
  std::string text =
      absl::StrCat("bind ", source.ToString(), ": ", strerror(error));
  if (error == EADDRINUSE) return absl::AlreadyExistsError(text);
  return absl::UnavailableError(text);
}

absl::Status ConnectError(const SocketAddress& address, int error,
                          bool source_port_given) {
  std::string text =
      absl::StrCat("connect to ", address.ToString(), ": ", strerror(error));
  if (error == ETIME) return absl::DeadlineExceededError(text);
  if (error == ECANCELED) return absl::CancelledError(text);
  if (source_port_given && (error == EADDRINUSE || error == EADDRNOTAVAIL)) {
    return absl::AlreadyExistsError(text);
  }
  return absl::UnavailableError(text);
}

}  // namespace

Task<absl::StatusOr<Stream>> Stream::Connect(Loop* loop, SocketAddress address,
                                             absl::Duration timeout,
                                             const SocketAddress* source) {
  return Connect(loop, address, timeout, source, Options(), StopToken());
}

Task<absl::StatusOr<Stream>> Stream::Connect(Loop* loop, SocketAddress address,
                                             absl::Duration timeout,
                                             const SocketAddress* source,
                                             Options options) {
  return Connect(loop, address, timeout, source, options, StopToken());
}

Task<absl::StatusOr<Stream>> Stream::Connect(Loop* loop, SocketAddress address,
                                             absl::Duration timeout,
                                             const SocketAddress* source,
                                             Options options, StopToken stop) {
  Sockets& sockets = loop->sockets();
  const int fd = sockets.Open(address.family(), SOCK_STREAM);
  if (fd < 0) {
    const int error = -fd;
    std::string text =
        absl::StrCat("socket for ", address.ToString(), ": ", strerror(error));
    if (error == EMFILE || error == ENFILE) {
      co_return absl::ResourceExhaustedError(text);
    }
    co_return absl::UnavailableError(text);
  }
  const bool source_port_given = source != nullptr && source->port() != 0;
  if (source != nullptr) {
    absl::Status bound = BindSource(sockets, fd, *source);
    if (!bound.ok()) {
      sockets.Close(fd);
      co_return bound;
    }
  }
  absl::Status set =
      internal::SetStreamOptions(sockets, fd, address.family(), options);
  if (!set.ok()) {
    sockets.Close(fd);
    co_return set;
  }
  Request request;
  request.kind = OpKind::kConnect;
  request.fd = fd;
  request.address = address.data();
  request.length = address.length();
  RequestAwaiter connect(loop, request);
  const absl::Time deadline = loop->now() + timeout;
  const Completion connected =
      co_await WithDeadline(WithStop(connect, stop), deadline);
  if (connected.result < 0) {
    sockets.Close(fd);
    co_return ConnectError(address, -connected.result, source_port_given);
  }
  Stream stream(new StreamState(loop, fd, options));
  co_return stream;
}

Stream Stream::Adopt(Loop* loop, int fd) { return Adopt(loop, fd, Options()); }

Stream Stream::Adopt(Loop* loop, int fd, const Options& options) {
  return Stream(new StreamState(loop, fd, options));
}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    if (state_ != nullptr) state_->Abandon();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

Stream::~Stream() {
  if (state_ != nullptr) state_->Abandon();
}

bool Stream::ReceiveAwaiter::await_ready() const {
  return stopped_ || state_->ReceiveReady();
}

void Stream::ReceiveAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  RINGPLANE_CHECK(!state_->receive_waiter, "a Stream has one receiver");
  waits_ = true;
  state_->receive_waiter = waiter;
  if (state_->chunks_head != nullptr) {
    state_->loop->AtNextTurn(state_->next_turn());
  } else {
    state_->ArmReceive();
  }
}

absl::StatusOr<ReceivedBytes> Stream::ReceiveAwaiter::await_resume() const {
  if (stopped_) return absl::Status(absl::StatusCode::kCancelled, "");
  return state_->TakeReceived();
}

void Stream::ReceiveAwaiter::Stop() {
  stopped_ = true;
  if (!waits_ || !state_->receive_waiter) return;
  state_->loop->Resume(std::exchange(state_->receive_waiter, nullptr));
}

Loop* Stream::ReceiveAwaiter::loop() const { return state_->loop; }

void Stream::CancelReceive() {
  if (!state_->receive_waiter) return;
  state_->receive_cancelled = true;
  state_->loop->Resume(std::exchange(state_->receive_waiter, nullptr));
}

std::span<char> Stream::Reserve(size_t bytes) {
  internal::SendBuffer& queue = state_->queue;
  state_->loop->send_buffers().Reserve(&queue, bytes);
  return {queue.data() + queue.size(), queue.capacity() - queue.size()};
}

void Stream::Commit(size_t bytes) { state_->Commit(bytes); }

void Stream::Queue(std::string_view bytes) {
  if (bytes.empty()) return;
  memcpy(Reserve(bytes.size()).data(), bytes.data(), bytes.size());
  state_->Commit(bytes.size());
}

size_t Stream::queued_bytes() const { return state_->Unsent(); }

bool Stream::DrainAwaiter::await_ready() const {
  if (stopped_) return true;
  state_->drain_below = below_;
  return state_->DrainReady();
}

void Stream::DrainAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  RINGPLANE_CHECK(!state_->drain_waiter, "a Stream has one drain waiter");
  waits_ = true;
  state_->drain_waiter = waiter;
  if (state_->send_op()->in_flight() && !state_->send_waits) {
    state_->loop->SkipNextWait();
  }
}

absl::Status Stream::DrainAwaiter::await_resume() const {
  if (!state_->error.ok()) return state_->error;
  if (state_->closing || stopped_) {
    return absl::Status(absl::StatusCode::kCancelled, "");
  }
  return absl::OkStatus();
}

void Stream::DrainAwaiter::Stop() {
  stopped_ = true;
  if (!waits_ || !state_->drain_waiter) return;
  state_->loop->Resume(std::exchange(state_->drain_waiter, nullptr));
}

Loop* Stream::DrainAwaiter::loop() const { return state_->loop; }

void Stream::ShutdownWrite() { state_->WantShutdown(); }

Task<void> Stream::Close() { return internal::CloseState(state_, kTwice); }

Task<absl::Status> Stream::CloseGracefully(absl::Time deadline) {
  return CloseStateGracefully(state_, deadline);
}

Task<void> Stream::Abort() { return AbortState(state_); }

const absl::Status& Stream::status() const { return state_->error; }

bool Stream::closed() const { return state_->closing; }

int Stream::fd() const { return state_->fd; }

Loop* Stream::loop() const { return state_->loop; }

SocketAddress Stream::local_address() const {
  return internal::LocalAddress(state_->loop->sockets(), state_->fd);
}

SocketAddress Stream::peer_address() const {
  return internal::PeerAddress(state_->loop->sockets(), state_->fd);
}

}  // namespace ioloop
