#include "ioloop/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/close.h"
#include "ioloop/internal/socket_options.h"
#include "ioloop/log.h"
#include "ioloop/timer.h"

namespace ioloop {
namespace internal {

struct ListenerAccept : Operation {
  using Operation::Operation;
};
struct ListenerPause : Timer {
  using Timer::Timer;
};

// Stays put while accepting is in the kernel's hands; like StreamState it
// outlives its handle until the kernel has let go.
struct ListenerState : ListenerAccept, ListenerPause {
  ListenerState(Loop* owner, int socket, const SocketAddress& bound,
                const Listener::Options& given)
      : ListenerAccept(&OnAccepted),
        ListenerPause(owner, &OnPauseOver),
        loop(owner),
        fd(socket),
        address(bound),
        options(given) {}

  Operation* accept() { return static_cast<ListenerAccept*>(this); }
  Timer* pause() { return static_cast<ListenerPause*>(this); }

  static void OnAccepted(Operation* op, Completion completion);
  static void OnPauseOver(Timer* timer);
  void TakeAccepted(int32_t result);
  void Arm();
  size_t Pending() const { return pending.size() - pending_taken; }
  bool Ready() const { return Pending() > 0 || cancelled || closing; }
  bool Idle() { return !accept()->in_flight(); }
  void BeginClose();
  bool MaybeFinish();
  void CloseDescriptor();

  Loop* loop;
  int fd;
  SocketAddress address;
  Listener::Options options;
  std::coroutine_handle<> waiter;
  std::coroutine_handle<> close_waiter;
  std::vector<int> pending;  // Accepted; those before `pending_taken` are gone.
  size_t pending_taken = 0;
  bool pausing = false;  // Being cancelled: too many are pending.
  bool cancelled = false;
  bool closing = false;
  bool abandoned = false;
};

void ListenerState::Arm() {
  if (accept()->in_flight() || pause()->armed() || closing) return;
  Request request;
  request.kind = OpKind::kAccept;
  request.fd = fd;
  loop->Submit(accept(), request);
}

void ListenerState::OnAccepted(Operation* op, Completion completion) {
  auto* self = static_cast<ListenerState*>(static_cast<ListenerAccept*>(op));
  self->TakeAccepted(completion.result);
  if (!op->in_flight() && self->MaybeFinish()) return;
  // Last of all: the waiter may end the listener.
  if (self->waiter && self->Ready()) {
    std::exchange(self->waiter, nullptr).resume();
  }
}

void ListenerState::TakeAccepted(int32_t result) {
  if (closing) {
    if (result >= 0) loop->sockets().Close(result);
    return;
  }
  if (result >= 0) pending.push_back(result);
  if (accept()->in_flight()) {
    if (Pending() >= options.pending_max && !waiter && !pausing) {
      pausing = true;
      loop->Cancel(accept());
    }
    return;
  }
  pausing = false;
  if (result >= 0 || result == -ECANCELED || result == -ECONNABORTED ||
      result == -EINTR || result == -EAGAIN || result == -EPROTO) {
    if (Pending() <= options.pending_max / 2) Arm();
    return;
  }
  // Out of descriptors, memory or, for a moment, network. The peer waits in
  // the backlog; asking again at once would only spin.
  loop->mutable_stats()->accept_pauses.Add(1);
  RINGPLANE_LOG(kWarning, "accepting paused", {"listener", address.ToString()},
                {"error", strerror(-result)},
                {"pause", absl::FormatDuration(options.pause)});
  pause()->Arm(loop->now() + options.pause);
}

void ListenerState::OnPauseOver(Timer* timer) {
  static_cast<ListenerState*>(static_cast<ListenerPause*>(timer))->Arm();
}

void ListenerState::BeginClose() {
  closing = true;
  pause()->Disarm();
  for (size_t i = pending_taken; i < pending.size(); ++i) {
    const linger reset = {1, 0};
    static_cast<void>(loop->sockets().SetOption(
        pending[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
    loop->sockets().Close(pending[i]);
  }
  pending.clear();
  pending_taken = 0;
  loop->Cancel(accept());
  if (waiter) loop->Resume(std::exchange(waiter, nullptr));
}

bool ListenerState::MaybeFinish() {
  if (!closing || !Idle()) return false;
  if (abandoned) {
    loop->RemoveOrphan();
    CloseDescriptor();
    delete this;
    return true;
  }
  if (close_waiter) loop->Resume(std::exchange(close_waiter, nullptr));
  return false;
}

void ListenerState::CloseDescriptor() {
  if (fd < 0) return;
  loop->sockets().Close(std::exchange(fd, -1));
  const std::string path = address.is_unix() ? address.HostString() : "";
  if (options.unlink && !path.empty() && path[0] != '@') {
    static_cast<void>(unlink(path.c_str()));
  }
}

}  // namespace internal

namespace {

using internal::ListenerState;

// A unix socket's file outlives a process that was killed. It may go if it is
// a socket and nobody listens behind it. Asked with a datagram socket: who
// listens refuses the type and never hears of us.
void RemoveStaleSocket(const SocketAddress& address) {
  const std::string path = address.HostString();
  if (path.empty() || path[0] == '@') return;
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return;
  if (connect(probe, address.data(), address.length()) != 0 &&
      errno == ECONNREFUSED) {
    static_cast<void>(unlink(path.c_str()));
  }
  close(probe);
}

void Abandon(ListenerState* state) {
  RINGPLANE_CHECK(!state->close_waiter, "a Listener died while it was closed");
  RINGPLANE_CHECK(!state->waiter, "a Listener died awaited");
  state->BeginClose();
  state->abandoned = true;
  state->loop->AddOrphan();
  static_cast<void>(state->MaybeFinish());
}

}  // namespace

absl::StatusOr<Listener> Listener::Bind(Loop* loop,
                                        const SocketAddress& address,
                                        const Options& options) {
  if (address.family() == AF_UNSPEC) {
    return absl::InvalidArgumentError("no address to listen on");
  }
  Sockets& sockets = loop->sockets();
  const int fd = sockets.Open(address.family(), SOCK_STREAM);
  if (fd < 0) return internal::BindError(address, "socket for", -fd);
  const auto fail = [&](const char* what, int result) {
    sockets.Close(fd);
    return internal::BindError(address, what, -result);
  };
  if (address.is_unix()) {
    if (options.unlink) RemoveStaleSocket(address);
  } else {
    sockets.SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options.reuse_port) {
      const int result = sockets.SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
      if (result < 0) return fail("SO_REUSEPORT for", result);
    }
    if (address.family() == AF_INET6) {
      sockets.SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                        options.dual_stack ? 0 : 1);
    }
  }
  absl::Status set =
      internal::SetStreamOptions(sockets, fd, address.family(), options.stream);
  if (!set.ok()) {
    sockets.Close(fd);
    return set;
  }
  int result = sockets.Bind(fd, address.data(), address.length());
  if (result < 0) return fail("bind", result);
  result = sockets.Listen(fd, options.backlog);
  if (result < 0) return fail("listen on", result);
  SocketAddress bound = address;
  if (!address.is_unix()) {
    const SocketAddress local = internal::LocalAddress(sockets, fd);
    if (local.family() != AF_UNSPEC) bound = local;
  }
  auto* state = new ListenerState(loop, fd, bound, options);
  state->options.pending_max = std::max(1u, options.pending_max);
  // Asked for once now, so that steady accepting allocates nothing.
  state->pending.reserve(std::min(1024u, state->options.pending_max));
  return Listener(state);
}

absl::StatusOr<Listener> Listener::Bind(Loop* loop,
                                        const SocketAddress& address) {
  return Bind(loop, address, Options());
}

absl::StatusOr<Listener> Listener::Bind(Loop* loop, uint16_t port) {
  return Bind(loop, SocketAddress::Loopback(port), Options());
}

Listener::Listener(Listener&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    if (state_ != nullptr) Abandon(state_);
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

Listener::~Listener() {
  if (state_ != nullptr) Abandon(state_);
}

bool Listener::AcceptAwaiter::await_ready() const {
  return stopped_ || state_->Ready();
}

void Listener::AcceptAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  RINGPLANE_CHECK(!state_->waiter, "a Listener has one waiter");
  waits_ = true;
  state_->waiter = waiter;
  state_->Arm();
}

absl::StatusOr<Stream> Listener::AcceptAwaiter::await_resume() const {
  if (state_->closing || state_->cancelled || stopped_) {
    return absl::Status(absl::StatusCode::kCancelled, "");
  }
  const int fd = state_->pending[state_->pending_taken++];
  if (state_->pending_taken == state_->pending.size()) {
    state_->pending.clear();
    state_->pending_taken = 0;
  } else if (state_->pending_taken >= state_->options.pending_max) {
    // A queue that is never quite empty must not grow for ever.
    state_->pending.erase(
        state_->pending.begin(),
        state_->pending.begin() + static_cast<long>(state_->pending_taken));
    state_->pending_taken = 0;
  }
  if (state_->Pending() <= state_->options.pending_max / 2) state_->Arm();
  const Stream::Options& options = state_->options.stream;
  if (state_->address.is_unix()) {
    // Unix sockets do not inherit; sizes that bind() took are valid.
    static_cast<void>(internal::SetBufferSizes(state_->loop->sockets(), fd,
                                               options.socket_send_bytes,
                                               options.socket_receive_bytes));
  }
  return Stream::Adopt(state_->loop, fd, options);
}

void Listener::AcceptAwaiter::Stop() {
  stopped_ = true;
  if (!waits_ || !state_->waiter) return;
  state_->loop->Resume(std::exchange(state_->waiter, nullptr));
}

Loop* Listener::AcceptAwaiter::loop() const { return state_->loop; }

void Listener::CancelAccept() {
  state_->cancelled = true;
  if (state_->waiter) {
    state_->loop->Resume(std::exchange(state_->waiter, nullptr));
  }
}

Task<void> Listener::Close() {
  return internal::CloseState(state_, "a Listener is closed once");
}

const SocketAddress& Listener::local_address() const { return state_->address; }

int Listener::fd() const { return state_->fd; }

}  // namespace ioloop
