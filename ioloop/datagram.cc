#include "ioloop/datagram.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ioloop/await.h"
#include "ioloop/check.h"
#include "ioloop/internal/close.h"
#include "ioloop/internal/socket_options.h"

namespace ioloop {
namespace internal {

// A queued datagram; its memory is used again for the next.
struct DatagramSlot : Operation {
  explicit DatagramSlot(DatagramState* owner)
      : Operation(&OnSent), state(owner) {}
  static void OnSent(Operation* op, Completion completion);

  DatagramState* state;
  std::string bytes;
  SocketAddress to;
  iovec piece = {};
  msghdr message = {};
  DatagramSlot* next = nullptr;
};

struct DatagramReceive : Operation {
  using Operation::Operation;
};
struct DatagramStarved : Starved {
  using Starved::Starved;
};

// Like StreamState: stays put while requests of it are in the kernel, and
// outlives its handle until they have ended.
struct DatagramState : DatagramReceive, DatagramStarved {
  // `local` is what the socket was bound to, or null.
  DatagramState(Loop* owner, int socket, int family, const SocketAddress* local,
                const DatagramSocket::Options& given)
      : DatagramReceive(&OnReceived),
        DatagramStarved(&OnBuffersBack),
        loop(owner),
        fd(socket),
        is_unix(family == AF_UNIX),
        options(given) {
    if (is_unix && local != nullptr) path = local->HostString();
    if (!path.empty() && path[0] == '@') path.clear();
    options.receive_queue_max = std::max(1u, options.receive_queue_max);
    // Only how much room there is for each sender's address.
    message.msg_namelen = is_unix ? sizeof(sockaddr_un) : sizeof(sockaddr_in6);
  }

  Operation* receive_op() { return static_cast<DatagramReceive*>(this); }
  Starved* starved() { return static_cast<DatagramStarved*>(this); }

  static void OnReceived(Operation* op, Completion completion);
  static void OnBuffersBack(Starved* starved);
  void TakeCompletion(Completion completion);
  void ArmReceive();
  bool ReceiveReady() const {
    return chunks_head != nullptr || error != 0 || closing;
  }
  absl::StatusOr<Datagram> TakeReceived();

  bool Queue(const SocketAddress* to, std::string_view bytes);
  void SubmitSlots();
  void SubmitMessage(Operation* op, const msghdr* sent);
  // Whether it has to be sent anew, because nothing is wrong with it.
  bool MustSendAgain(int32_t result) const {
    return !closing && (result == -EINTR || result == -EAGAIN);
  }
  void FinishSlot(DatagramSlot* slot, int32_t result);
  void AddSender(DatagramSocket::SendAwaiter* sender);
  void RemoveSender(DatagramSocket::SendAwaiter* sender);

  bool Idle() {
    return !receive_op()->in_flight() && slots_in_flight == 0 &&
           senders == nullptr;
  }
  void BeginClose();
  bool MaybeFinish();
  void CloseDescriptor();

  Loop* loop;
  int fd;
  bool is_unix;
  std::string path;  // To be removed with the socket.
  DatagramSocket::Options options;
  msghdr message = {};
  std::coroutine_handle<> receive_waiter;
  std::coroutine_handle<> close_waiter;
  Chunk* chunks_head = nullptr;
  Chunk* chunks_tail = nullptr;
  uint32_t chunks = 0;
  int error = 0;  // To be told to the next receiver.

  std::vector<std::unique_ptr<DatagramSlot>> slots;
  DatagramSlot* free_slots = nullptr;
  DatagramSlot* queue_head = nullptr;  // Not yet in the kernel's hands.
  DatagramSlot* queue_tail = nullptr;
  size_t slots_waiting = 0;
  size_t slots_in_flight = 0;
  DatagramSocket::SendAwaiter* senders = nullptr;
  uint64_t dropped = 0;
  uint64_t send_errors = 0;

  bool pausing = false;
  bool closing = false;
  bool abandoned = false;
};

void DatagramState::ArmReceive() {
  if (receive_op()->in_flight() || starved()->queued() || closing) return;
  Request request;
  request.kind = OpKind::kReceiveMessage;
  request.fd = fd;
  request.address = &message;
  loop->Submit(receive_op(), request);
}

void DatagramState::OnReceived(Operation* op, Completion completion) {
  auto* self = static_cast<DatagramState*>(static_cast<DatagramReceive*>(op));
  self->TakeCompletion(completion);
  if (!op->in_flight() && self->MaybeFinish()) return;
  // Last of all: the waiter may end the socket.
  if (self->receive_waiter && self->ReceiveReady()) {
    std::exchange(self->receive_waiter, nullptr).resume();
  }
}

void DatagramState::TakeCompletion(Completion completion) {
  const int32_t result = completion.result;
  if ((completion.flags & kCompletionBuffer) != 0) {
    Chunk* chunk =
        loop->buffers().Take(completion.flags >> kCompletionBufferShift,
                             result > 0 ? static_cast<uint32_t>(result) : 0);
    if (result <= 0 || closing) {
      loop->buffers().Return(chunk);
    } else {
      (chunks_tail ? chunks_tail->next : chunks_head) = chunk;
      chunks_tail = chunk;
      ++chunks;
    }
  }
  if (closing) return;
  if (receive_op()->in_flight()) {
    if (chunks >= options.receive_queue_max && !receive_waiter && !pausing) {
      pausing = true;
      loop->Cancel(receive_op());
    }
    return;
  }
  // The multishot has ended, as it also does with an empty datagram.
  pausing = false;
  if (result == -ENOBUFS) {
    loop->mutable_stats()->buffers_exhausted.Add(1);
    // Else it goes on when its receiver has taken some.
    if (chunks <= options.receive_queue_max / 2) {
      loop->buffers().AddStarved(starved());
    }
  } else if (result < 0 && result != -ECANCELED && result != -EAGAIN &&
             result != -EINTR) {
    error = -result;  // The next receiver hears it, and receiving goes on.
  } else if (chunks <= options.receive_queue_max / 2) {
    ArmReceive();
  }
}

void DatagramState::OnBuffersBack(Starved* starved) {
  static_cast<DatagramState*>(static_cast<DatagramStarved*>(starved))
      ->ArmReceive();
}

// A buffer holds an io_uring_recvmsg_out, room for an address, the payload.
absl::StatusOr<Datagram> DatagramState::TakeReceived() {
  if (closing) return absl::Status(absl::StatusCode::kCancelled, "");
  if (chunks_head == nullptr) {
    RINGPLANE_CHECK(error != 0, "a receive resumed with nothing to say");
    return absl::UnavailableError(
        absl::StrCat("receive: ", strerror(std::exchange(error, 0))));
  }
  Chunk* chunk = chunks_head;
  chunks_head = chunk->next;
  if (chunks_head == nullptr) chunks_tail = nullptr;
  --chunks;
  if (error == 0 && chunks <= options.receive_queue_max / 2) ArmReceive();
  Datagram datagram;
  datagram.bytes = ReceivedBytes(chunk);
  io_uring_recvmsg_out header;
  const size_t front = sizeof(header) + message.msg_namelen;
  RINGPLANE_CHECK(chunk->size >= front, "a datagram without its header");
  memcpy(&header, chunk->data, sizeof(header));
  if (header.namelen > 0 && header.namelen <= message.msg_namelen) {
    sockaddr_storage from = {};
    memcpy(&from, chunk->data + sizeof(header), header.namelen);
    datagram.from = SocketAddress::FromSockaddr(
        reinterpret_cast<const sockaddr*>(&from), header.namelen);
  }
  datagram.truncated = (header.flags & MSG_TRUNC) != 0;
  datagram.bytes.RemovePrefix(front);
  return datagram;
}

bool DatagramState::Queue(const SocketAddress* to, std::string_view bytes) {
  if (closing || slots_waiting + slots_in_flight >= options.send_queue_max) {
    ++dropped;
    return false;
  }
  DatagramSlot* slot = free_slots;
  if (slot != nullptr) {
    free_slots = slot->next;
  } else {
    slots.push_back(std::make_unique<DatagramSlot>(this));
    slot = slots.back().get();
  }
  slot->bytes.assign(bytes);
  slot->piece = {slot->bytes.data(), slot->bytes.size()};
  slot->message = {};
  slot->message.msg_iov = &slot->piece;
  slot->message.msg_iovlen = 1;
  if (to != nullptr) {
    slot->to = *to;
    slot->message.msg_name = const_cast<sockaddr*>(slot->to.data());
    slot->message.msg_namelen = slot->to.length();
  }
  slot->next = nullptr;
  (queue_tail ? queue_tail->next : queue_head) = slot;
  queue_tail = slot;
  ++slots_waiting;
  SubmitSlots();
  return true;
}

void DatagramState::SubmitSlots() {
  // A unix socket delivers in order, so it gets one at a time: sends that wait
  // for room overtake each other.
  const size_t most = is_unix ? 1 : options.send_queue_max;
  while (queue_head != nullptr && slots_in_flight < most) {
    DatagramSlot* slot = queue_head;
    queue_head = slot->next;
    if (queue_head == nullptr) queue_tail = nullptr;
    --slots_waiting;
    ++slots_in_flight;
    SubmitMessage(slot, &slot->message);
  }
}

void DatagramState::SubmitMessage(Operation* op, const msghdr* sent) {
  Request request;
  request.kind = OpKind::kSendMessage;
  request.fd = fd;
  request.address = sent;
  loop->Submit(op, request);
}

void DatagramSlot::OnSent(Operation* op, Completion completion) {
  auto* slot = static_cast<DatagramSlot*>(op);
  if (slot->state->MustSendAgain(completion.result)) {
    slot->state->SubmitMessage(slot, &slot->message);
    return;
  }
  slot->state->FinishSlot(slot, completion.result);
}

void DatagramState::FinishSlot(DatagramSlot* slot, int32_t result) {
  --slots_in_flight;
  slot->next = free_slots;
  free_slots = slot;
  if (MaybeFinish() || closing) return;
  if (result < 0) ++send_errors;
  SubmitSlots();
}

void DatagramState::AddSender(DatagramSocket::SendAwaiter* sender) {
  sender->next_ = senders;
  sender->previous_ = nullptr;
  if (senders != nullptr) senders->previous_ = sender;
  senders = sender;
}

void DatagramState::RemoveSender(DatagramSocket::SendAwaiter* sender) {
  (sender->previous_ ? sender->previous_->next_ : senders) = sender->next_;
  if (sender->next_ != nullptr) sender->next_->previous_ = sender->previous_;
}

void DatagramState::BeginClose() {
  closing = true;
  loop->buffers().RemoveStarved(starved());
  while (chunks_head != nullptr) {
    Chunk* next = chunks_head->next;
    loop->buffers().Return(chunks_head);
    chunks_head = next;
  }
  chunks_tail = nullptr;
  queue_head = queue_tail = nullptr;
  slots_waiting = 0;
  loop->Cancel(receive_op());
  for (const auto& slot : slots) loop->Cancel(slot.get());
  for (auto* sender = senders; sender != nullptr; sender = sender->next_) {
    loop->Cancel(sender);
  }
  if (receive_waiter) loop->Resume(std::exchange(receive_waiter, nullptr));
}

bool DatagramState::MaybeFinish() {
  if (!closing || !Idle()) return false;
  if (abandoned) {
    loop->RemoveOrphan();
    CloseDescriptor();
    delete this;
    return true;
  }
  // Behind those whom closing has cancelled: they still look at the socket.
  if (close_waiter) loop->Resume(std::exchange(close_waiter, nullptr));
  return false;
}

void DatagramState::CloseDescriptor() {
  if (fd < 0) return;
  loop->sockets().Close(std::exchange(fd, -1));
  if (!path.empty()) static_cast<void>(unlink(path.c_str()));
}

}  // namespace internal

namespace {

using internal::DatagramState;

void Abandon(DatagramState* state) {
  RINGPLANE_CHECK(!state->close_waiter,
                  "a DatagramSocket died while it was closed");
  RINGPLANE_CHECK(!state->receive_waiter && state->senders == nullptr,
                  "a DatagramSocket died awaited");
  if (state->fd < 0) {
    delete state;
    return;
  }
  state->BeginClose();
  state->abandoned = true;
  state->loop->AddOrphan();
  static_cast<void>(state->MaybeFinish());
}

// An open socket with its options, bound to `local` if that is given.
absl::StatusOr<int> Open(Sockets& sockets, int family,
                         const SocketAddress* local, const char* what,
                         const SocketAddress& address,
                         const DatagramSocket::Options& options) {
  const int fd = sockets.Open(family, SOCK_DGRAM);
  if (fd < 0) return internal::BindError(address, what, -fd);
  absl::Status status = internal::SetBufferSizes(
      sockets, fd, options.socket_send_bytes, options.socket_receive_bytes);
  const auto set = [&](bool wanted, int level, int name, int value,
                       const char* option) {
    if (!wanted || !status.ok()) return;
    status = internal::SetSocketOption(sockets, fd, level, name, value, option);
  };
  const bool ip = family != AF_UNIX;
  set(ip && options.reuse_port, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
  set(ip && options.broadcast, SOL_SOCKET, SO_BROADCAST, 1, "SO_BROADCAST");
  set(family == AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, options.dual_stack ? 0 : 1,
      "IPV6_V6ONLY");
  if (status.ok() && local != nullptr) {
    const int error = -sockets.Bind(fd, local->data(), local->length());
    if (error != 0) status = internal::BindError(*local, "bind", error);
  }
  if (status.ok()) return fd;
  sockets.Close(fd);
  return status;
}

absl::Status SendError(int error) {
  std::string text = absl::StrCat("send: ", strerror(error));
  switch (error) {
    case ECANCELED:
      return absl::CancelledError(text);
    case EMSGSIZE:
    case EINVAL:
    case EDESTADDRREQ:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

}  // namespace

absl::StatusOr<DatagramSocket> DatagramSocket::Bind(
    Loop* loop, const SocketAddress& address) {
  return Bind(loop, address, Options());
}

absl::StatusOr<DatagramSocket> DatagramSocket::Bind(
    Loop* loop, const SocketAddress& address, const Options& options) {
  if (address.family() == AF_UNSPEC) {
    return absl::InvalidArgumentError("no address to bind to");
  }
  Sockets& sockets = loop->sockets();
  absl::StatusOr<int> fd =
      Open(sockets, address.family(), &address, "socket for", address, options);
  if (!fd.ok()) return fd.status();
  return DatagramSocket(
      new DatagramState(loop, *fd, address.family(), &address, options));
}

Task<absl::StatusOr<DatagramSocket>> DatagramSocket::Connect(
    Loop* loop, SocketAddress peer, const SocketAddress* local,
    Options options) {
  Sockets& sockets = loop->sockets();
  absl::StatusOr<int> fd =
      Open(sockets, peer.family(), local, "socket to", peer, options);
  if (!fd.ok()) co_return fd.status();
  DatagramSocket socket(
      new DatagramState(loop, *fd, peer.family(), local, options));
  Request request;
  request.kind = OpKind::kConnect;
  request.fd = *fd;
  request.address = peer.data();
  request.length = peer.length();
  const Completion connected = co_await RequestAwaiter(loop, request);
  if (connected.result < 0) {
    co_await socket.Close();
    co_return absl::UnavailableError(absl::StrCat(
        "connect to ", peer.ToString(), ": ", strerror(-connected.result)));
  }
  co_return socket;
}

DatagramSocket& DatagramSocket::operator=(DatagramSocket&& other) noexcept {
  if (this != &other) {
    if (state_ != nullptr) Abandon(state_);
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

DatagramSocket::~DatagramSocket() {
  if (state_ != nullptr) Abandon(state_);
}

bool DatagramSocket::ReceiveAwaiter::await_ready() const {
  return stopped_ || state_->ReceiveReady();
}

void DatagramSocket::ReceiveAwaiter::await_suspend(
    std::coroutine_handle<> waiter) {
  RINGPLANE_CHECK(!state_->receive_waiter, "a DatagramSocket has one receiver");
  waits_ = true;
  state_->receive_waiter = waiter;
  state_->ArmReceive();
}

absl::StatusOr<Datagram> DatagramSocket::ReceiveAwaiter::await_resume() const {
  if (stopped_) return absl::Status(absl::StatusCode::kCancelled, "");
  return state_->TakeReceived();
}

void DatagramSocket::ReceiveAwaiter::Stop() {
  stopped_ = true;
  if (!waits_ || !state_->receive_waiter) return;
  state_->loop->Resume(std::exchange(state_->receive_waiter, nullptr));
}

Loop* DatagramSocket::ReceiveAwaiter::loop() const { return state_->loop; }

DatagramSocket::SendAwaiter::SendAwaiter(DatagramState* state,
                                         std::string_view bytes,
                                         const SocketAddress* to)
    : Operation(&Done),
      state_(state),
      piece_{const_cast<char*>(bytes.data()), bytes.size()},
      result_(-ECANCELED) {
  message_.msg_iovlen = 1;
  if (to == nullptr) return;
  message_.msg_name = const_cast<sockaddr*>(to->data());
  message_.msg_namelen = to->length();
}

bool DatagramSocket::SendAwaiter::await_ready() const {
  return stopped_ || state_->closing;
}

void DatagramSocket::SendAwaiter::await_suspend(
    std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  message_.msg_iov = &piece_;
  state_->AddSender(this);
  state_->SubmitMessage(this, &message_);
}

void DatagramSocket::SendAwaiter::Done(Operation* op, Completion completion) {
  auto* self = static_cast<SendAwaiter*>(op);
  DatagramState* state = self->state_;
  if (!self->stopped_ && state->MustSendAgain(completion.result)) {
    state->SubmitMessage(self, &self->message_);
    return;
  }
  self->result_ = completion.result;
  const std::coroutine_handle<> waiter = self->waiter_;
  state->RemoveSender(self);
  // Whoever closes is resumed after this waiter; with one the socket was not
  // abandoned, so it is still there.
  static_cast<void>(state->MaybeFinish());
  waiter.resume();
}

absl::Status DatagramSocket::SendAwaiter::await_resume() const {
  if (result_ >= 0) return absl::OkStatus();
  return SendError(-result_);
}

void DatagramSocket::SendAwaiter::Stop() {
  stopped_ = true;
  state_->loop->Cancel(this);
}

Loop* DatagramSocket::SendAwaiter::loop() const { return state_->loop; }

bool DatagramSocket::QueueTo(const SocketAddress& to, std::string_view bytes) {
  return state_->Queue(&to, bytes);
}

bool DatagramSocket::Queue(std::string_view bytes) {
  return state_->Queue(nullptr, bytes);
}

size_t DatagramSocket::queued() const {
  return state_->slots_waiting + state_->slots_in_flight;
}

uint64_t DatagramSocket::dropped() const { return state_->dropped; }

uint64_t DatagramSocket::send_errors() const { return state_->send_errors; }

Task<void> DatagramSocket::Close() {
  return internal::CloseState(state_, "a DatagramSocket is closed once");
}

bool DatagramSocket::closed() const { return state_->closing; }

int DatagramSocket::fd() const { return state_->fd; }

Loop* DatagramSocket::loop() const { return state_->loop; }

SocketAddress DatagramSocket::local_address() const {
  return internal::LocalAddress(state_->loop->sockets(), state_->fd);
}

}  // namespace ioloop
