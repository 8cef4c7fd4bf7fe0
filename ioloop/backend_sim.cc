#include "ioloop/backend_sim.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "ioloop/check.h"
#include "ioloop/internal/sim_memory.h"
#include "ioloop/internal/sim_network.h"
#include "ioloop/internal/sim_socket.h"

namespace ioloop {

using internal::SimFile;
using internal::SimNetwork;

namespace {

// What a word of the trace is about.
enum TraceOf : uint64_t { kIssued = 1, kCancelled, kPosted, kHandedOver };

bool IsSilent(const Request& request) {
  return request.kind == OpKind::kSend && (request.flags & kSendWaits) == 0;
}

bool IsSend(const Request& request) { return request.kind == OpKind::kSend; }

bool IsReceive(const Request& request) {
  return request.kind == OpKind::kReceive ||
         request.kind == OpKind::kReceiveMessage;
}

}  // namespace

SimBackend::SimBackend(SimKernel* kernel, uint32_t sq_entries,
                       uint32_t cq_entries, BufferPool* pool, LoopStats* stats)
    : kernel_(kernel),
      network_(kernel->network_.get()),
      sq_entries_(std::max(1u, sq_entries)),
      cq_entries_(std::max(1u, cq_entries)),
      pool_(pool),
      stats_(stats),
      buffer_keys_(pool->count()) {
  kernel_->backends_.push_back(this);
  pool_->Attach(this);
}

SimBackend::~SimBackend() {
  pool_->Detach();
  std::erase(kernel_->backends_, this);
  for (const auto& [op, pending] : pending_) {
    if (pending->file != nullptr) SimNetwork::Drop(pending->file);
  }
}

void SimBackend::ProvideBuffer(uint32_t id) {
  const uint64_t key = (uint64_t{id} << 32) + ++numbers_;
  buffer_keys_[id] = key;
  internal::Scribble(pool_->buffer(id), pool_->buffer_bytes(), key);
  buffers_.push_back(id);
}

void SimBackend::Submit(Operation* op, const Request& request) {
  auto pending = std::make_unique<Pending>();
  pending->op = op;
  pending->request = request;
  pending->number = ++numbers_;
  pending->silent = IsSilent(request);
  LendMemory(pending.get());
  const bool inserted = pending_.emplace(op, std::move(pending)).second;
  RINGPLANE_CHECK(inserted, "an operation submitted twice");
  ++kernel_->counts_.submitted;
  kernel_->Stir();
  if (queue_.size() >= sq_entries_) Issue(queue_.size());
  queue_.push_back({op, /*cancel=*/false});
}

void SimBackend::Cancel(Operation* op) {
  // A silent send ends by itself with the next submission. A request that is
  // not known any more has ended in this very turn: the cancellation is queued
  // all the same, and must not hit whoever is submitted after it.
  const auto found = pending_.find(op);
  if (found != pending_.end() && found->second->silent) return;
  kernel_->Stir();
  if (queue_.size() >= sq_entries_) Issue(queue_.size());
  queue_.push_back({op, /*cancel=*/true});
}

absl::Status SimBackend::Turn(int64_t wait_ns, std::vector<Harvested>* batch) {
  const int64_t until_ns =
      wait_ns == kForever ? SimNetwork::kNever : Now() + wait_ns;
  kernel_->BeginTurn();
  stats_->enters.Add(1);
  // A turn that was to look only may have been the interrupted one.
  bool comes_back = std::exchange(left_behind_, false);
  comes_back |= Enter();
  Work();
  while (!comes_back && posted_.empty() && Now() < until_ns) {
    switch (kernel_->SleepUntil(this, until_ns)) {
      case SimKernel::Sleep::kDead:
        return absl::InternalError(
            absl::StrCat("every loop sleeps, and nothing will ever wake one;",
                         kernel_->Describe()));
      case SimKernel::Sleep::kOthersFirst:
        // Still asleep: whoever sent silently is not told either.
        return absl::OkStatus();
      case SimKernel::Sleep::kOver:
        break;
    }
    Work();
    if (kernel_->driving_ && posted_.empty() && Now() < until_ns) {
      return absl::OkStatus();  // It was for somebody else.
    }
  }
  kernel_->Stir();
  HandOver(batch);
  return absl::OkStatus();
}

// Taking requests in.

bool SimBackend::Enter() {
  size_t count = queue_.size();
  const bool interrupted =
      network_->Strikes(network_->trouble().interrupts, &SimCounts::interrupts);
  if (interrupted) count = network_->random().Below(count + 1);
  Issue(count);
  left_behind_ = !queue_.empty();
  return interrupted;
}

void SimBackend::Issue(size_t count) {
  stats_->submissions.Add(count);
  for (; count > 0; --count) {
    const Queued next = queue_.front();
    queue_.pop_front();
    if (next.cancel) {
      IssueCancel(next.op);
    } else {
      IssueRequest(pending_.at(next.op).get());
    }
  }
}

void SimBackend::IssueRequest(Pending* pending) {
  const Request& request = pending->request;
  pending->issued = true;
  issued_.push_back(pending);
  Trace(kIssued, *pending, request.length);
  if (request.kind == OpKind::kNop) return;
  if (request.fd >= SimKernel::kFirstDescriptor || request.fd < 0) {
    // The file, not its number, is what the request is about from now on.
    pending->file = kernel_->Lookup(request.fd);
    if (pending->file == nullptr) {
      End(pending, -EBADF);
      return;
    }
    SimNetwork::Hold(pending->file);
    if (IsSend(request)) ++pending->file->sends;
    if (IsReceive(request)) ++pending->file->receives;
    RINGPLANE_CHECK(pending->file->sends <= 1,
                    "two sends at a time on one socket");
    RINGPLANE_CHECK(pending->file->receives <= 1,
                    "two receives at a time on one socket");
  } else if (request.kind != OpKind::kRead && request.kind != OpKind::kPoll) {
    End(pending, -EOPNOTSUPP);
    return;
  }
  if (request.kind == OpKind::kConnect) {
    CheckMemory(*pending);
    const SocketAddress address = SocketAddress::FromSockaddr(
        static_cast<const sockaddr*>(request.address), request.length);
    int result = -ENOTSOCK;
    if (internal::SimStream* stream = pending->file->stream()) {
      result = stream->StartConnect(address);
      if (result == 0) return;
    } else if (internal::SimDatagram* datagram = pending->file->datagram()) {
      result = datagram->Connect(address);
    }
    End(pending, result);
  } else if (pending->silent) {
    IssueSilentSend(pending);
  }
}

// Takes what the socket has room for, now or never. No completion tells of one
// that was taken whole.
void SimBackend::IssueSilentSend(Pending* pending) {
  const Request& request = pending->request;
  internal::SimStream* stream = pending->file->stream();
  if (stream == nullptr) {
    End(pending, -ENOTSOCK);
    return;
  }
  if (network_->Strikes(network_->trouble().spurious_ends,
                        &SimCounts::spurious_ends)) {
    End(pending, network_->random().Below(2) == 0 ? -EINTR : -EAGAIN);
    return;
  }
  const size_t room = stream->Room();
  if (room == 0) {
    const int error = stream->TakeSendError();
    End(pending, error != 0 ? error : -EAGAIN);
    return;
  }
  CheckMemory(*pending);
  size_t bytes = std::min<size_t>(room, request.length);
  if (bytes > 1 && network_->Strikes(network_->trouble().short_sends,
                                     &SimCounts::short_sends)) {
    bytes = 1 + network_->random().Below(bytes - 1);
  }
  stream->Put(internal::ReadFromUser(request.address, bytes));
  if (bytes < request.length) {
    End(pending, static_cast<int32_t>(bytes));
    return;
  }
  pending->ended = true;
  std::erase(issued_, pending);
  silent_.push_back(pending);
}

// Finds the request, comes too late, or takes effect after a while during which
// the request may still end by itself.
void SimBackend::IssueCancel(Operation* op) {
  const auto found = pending_.find(op);
  if (found == pending_.end() || !found->second->issued ||
      found->second->ended) {
    ++kernel_->counts_.cancels_too_late;
    return;
  }
  Pending* pending = found->second.get();
  Trace(kCancelled, *pending, 0);
  if (pending->cancel_at_ns != kForever) return;
  pending->cancel_at_ns = Now();
  if (network_->Strikes(network_->trouble().late_cancels,
                        &SimCounts::late_cancels)) {
    pending->cancel_at_ns += network_->DelayNs();
    WakeAt(pending->cancel_at_ns);
  }
}

// Handing completions over.

void SimBackend::Post(Pending* pending, int32_t result, uint32_t flags,
                      bool last) {
  // A full queue takes no more from a multishot request: it ends.
  if (posted_.size() >= cq_entries_) last = true;
  if (!last && network_->Strikes(network_->trouble().multishot_ends,
                                 &SimCounts::multishot_ends)) {
    last = true;
  }
  if (!last) flags |= kCompletionMore;
  Trace(kPosted, *pending, static_cast<uint32_t>(result));
  posted_.push_back({pending, {result, flags}});
  if (!last) return;
  CheckMemory(*pending);
  pending->ended = true;
  std::erase(issued_, pending);
}

void SimBackend::HandOver(std::vector<Harvested>* batch) {
  Reorder();
  size_t count = posted_.size();
  if (count > cq_entries_) {
    stats_->cq_overflows.Add(1);
    if (network_->Strikes(network_->trouble().overflow_waits,
                          &SimCounts::overflow_waits)) {
      count = cq_entries_;
    }
  }
  const bool whole = count == posted_.size();
  std::vector<Posted> out(posted_.begin(),
                          posted_.begin() + static_cast<ptrdiff_t>(count));
  posted_.erase(posted_.begin(),
                posted_.begin() + static_cast<ptrdiff_t>(count));
  if (whole) {
    // Only now is it sure that they left no completion.
    for (Pending* pending : silent_) {
      out.push_back(
          {pending, {static_cast<int32_t>(pending->request.length), 0}});
    }
    silent_.clear();
  }
  for (const Posted& each : out) {
    Pending* pending = each.pending;
    batch->push_back({pending->op, each.completion});
    Trace(kHandedOver, *pending, each.completion.flags);
    if ((each.completion.flags & kCompletionMore) != 0) continue;
    ++kernel_->counts_.ended;
    if (pending->file != nullptr) {
      if (IsSend(pending->request)) --pending->file->sends;
      if (IsReceive(pending->request)) --pending->file->receives;
      SimNetwork::Drop(pending->file);
    }
    pending_.erase(pending->op);
  }
}

// Neighbours of different requests change places; those of one keep theirs.
void SimBackend::Reorder() {
  for (size_t i = 1; i < posted_.size(); ++i) {
    if (posted_[i].pending != posted_[i - 1].pending &&
        network_->Strikes(network_->trouble().reorders, &SimCounts::reorders)) {
      std::swap(posted_[i], posted_[i - 1]);
    }
  }
}

void SimBackend::Trace(uint64_t what, const Pending& pending, uint64_t detail) {
  network_->Trace(what << 56 ^
                  static_cast<uint64_t>(pending.request.kind) << 48 ^
                  pending.number);
  network_->Trace(detail ^ static_cast<uint64_t>(pending.request.fd) << 32);
}

std::string SimBackend::Describe() const {
  constexpr std::array<const char*, kOpKinds> kNames = {"nop",
                                                        "accept",
                                                        "connect",
                                                        "receive",
                                                        "send",
                                                        "poll",
                                                        "read",
                                                        "read_at",
                                                        "write_at",
                                                        "sync",
                                                        "receive_message",
                                                        "send_message"};
  std::map<uint64_t, std::string> lines;  // In the order of their submission.
  for (const auto& [op, pending] : pending_) {
    lines[pending->number] = absl::StrCat(
        " ", kNames[static_cast<size_t>(pending->request.kind)], " of ",
        pending->request.fd, pending->ended ? " (not told)" : "");
  }
  std::string text;
  for (const auto& [number, line] : lines) text += line;
  return text;
}

void SimBackend::WakeAt(int64_t when_ns) {
  network_->At(when_ns, [] {});
}

// Sockets.

int SimBackend::Open(int family, int type) {
  if (type == SOCK_DGRAM) {
    return kernel_->Install(network_->Add(
        std::make_unique<internal::SimDatagram>(network_, family)));
  }
  if (type != SOCK_STREAM) return -EPROTONOSUPPORT;
  return kernel_->Install(
      network_->Add(std::make_unique<internal::SimStream>(network_, family)));
}

int SimBackend::Bind(int fd, const sockaddr* address, socklen_t length) {
  internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  const SocketAddress wanted = SocketAddress::FromSockaddr(address, length);
  if (wanted.family() != socket->family() || socket->bound) return -EINVAL;
  if (socket->port_with_connect && wanted.port() == 0) {
    socket->local = wanted;
    return 0;
  }
  return network_->Bind(socket, wanted);
}

int SimBackend::Listen(int fd, int backlog) {
  internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  if (socket->stream() == nullptr) return -EOPNOTSUPP;
  return socket->stream()->Listen(backlog);
}

int SimBackend::SetOption(int fd, int level, int name, const void* value,
                          socklen_t length) {
  internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  if (level == SOL_SOCKET && name == SO_LINGER) {
    linger given;
    if (length < sizeof(given)) return -EINVAL;
    memcpy(&given, value, sizeof(given));
    socket->linger_reset = given.l_onoff != 0 && given.l_linger == 0;
    return 0;
  }
  int number = 0;
  if (length < sizeof(number)) return -EINVAL;
  memcpy(&number, value, sizeof(number));
  if (level == SOL_SOCKET && name == SO_REUSEADDR) {
    socket->reuse_address = number != 0;
  } else if (level == SOL_SOCKET && name == SO_REUSEPORT) {
    socket->reuse_port = number != 0;
  } else if (level == IPPROTO_IP && name == IP_BIND_ADDRESS_NO_PORT) {
    socket->port_with_connect = number != 0;
  }
  return 0;  // Others change nothing here.
}

int SimBackend::Shutdown(int fd, int how) {
  internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  if (socket->stream() == nullptr) return -ENOTCONN;
  return socket->stream()->Shutdown(how);
}

int SimBackend::Close(int fd) {
  if (fd < SimKernel::kFirstDescriptor) return Sockets::Close(fd);
  kernel_->Stir();
  return kernel_->Close(fd);
}

namespace {

int CopyAddress(const SocketAddress& from, int family, sockaddr* address,
                socklen_t* length) {
  sockaddr unnamed = {};
  unnamed.sa_family = static_cast<sa_family_t>(family);
  const bool named = from.family() != AF_UNSPEC;
  const void* bytes = named ? static_cast<const void*>(from.data()) : &unnamed;
  const socklen_t size = named ? from.length() : sizeof(sa_family_t);
  memcpy(address, bytes, std::min(*length, size));
  *length = size;
  return 0;
}

}  // namespace

int SimBackend::LocalAddress(int fd, sockaddr* address, socklen_t* length) {
  const internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  return CopyAddress(socket->local, socket->family(), address, length);
}

int SimBackend::PeerAddress(int fd, sockaddr* address, socklen_t* length) {
  internal::SimSocket* socket = kernel_->LookupSocket(fd);
  if (socket == nullptr) return -EBADF;
  internal::SimStream* stream = socket->stream();
  if (stream != nullptr && !stream->CanReceive()) return -ENOTCONN;
  return CopyAddress(socket->peer, socket->family(), address, length);
}

}  // namespace ioloop
