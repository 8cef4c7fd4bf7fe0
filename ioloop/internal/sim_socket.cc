#include "ioloop/internal/sim_socket.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace ioloop::internal {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
// As Linux: a connect that nobody answers is tried again after 1, 3, 7, ...
// seconds, and given up after 127.
constexpr int kConnectAttempts = 7;

}  // namespace

SimStream::SimStream(SimNetwork* network, int family)
    : SimSocket(network, family, SOCK_STREAM) {}

uint32_t SimStream::Events() const {
  uint32_t events = 0;
  if (HasAccepted() || (CanReceive() && Readable())) events |= POLLIN;
  if (Writable()) events |= POLLOUT;
  if (state_ == State::kIdle || state_ == State::kBroken ||
      (end_received_ && end_sent_)) {
    events |= POLLHUP;
  }
  if (error_ != 0) events |= POLLERR;
  return events;
}

// Listening.

int SimStream::Listen(int backlog) {
  if (state_ != State::kIdle && state_ != State::kListening) return -EINVAL;
  if (!bound) return -EINVAL;
  state_ = State::kListening;
  backlog_ = static_cast<size_t>(std::max(0, backlog)) + 1;
  return 0;
}

SimStream* SimStream::TakeAccepted() {
  SimStream* taken = network_->Find(accepted_.front())->stream();
  accepted_.pop_front();
  taken->waits_for_accept_ = false;
  return taken;
}

// Connecting.

int SimStream::StartConnect(const SocketAddress& address) {
  if (state_ == State::kConnected) return -EISCONN;
  if (state_ == State::kConnecting) return -EALREADY;
  if (state_ == State::kListening) return -EOPNOTSUPP;
  if (address.family() != family()) return -EAFNOSUPPORT;
  if (!address.is_unix()) {
    if (!bound) {
      const SocketAddress from = port_with_connect ? local
                                 : address.family() == AF_INET
                                     ? SocketAddress::Loopback(0)
                                     : *SocketAddress::FromIp("::1", 0);
      local = network_->PickPort(from);
    } else if (network_->Connected(local, address)) {
      return -EADDRNOTAVAIL;
    }
  }
  state_ = State::kConnecting;
  target_ = address;
  network_->AfterDelay([network = network_, number = number()] {
    SimFile* self = network->Find(number);
    if (self != nullptr) self->stream()->SynArrives(0);
  });
  return 0;
}

void SimStream::SynArrives(int attempt) {
  if (state_ != State::kConnecting || released_) return;
  SimSocket* found = network_->FindBound(target_, SOCK_STREAM);
  if (found == nullptr ||
      network_->Strikes(network_->trouble().refusals, &SimCounts::refusals)) {
    EndConnect(-ECONNREFUSED);
    return;
  }
  SimStream* listener = found->stream();
  if (listener->accepted_.size() >= listener->backlog_ ||
      network_->Strikes(network_->trouble().lost_connects,
                        &SimCounts::lost_connects)) {
    if (attempt + 1 == kConnectAttempts) {
      EndConnect(-ETIMEDOUT);
      return;
    }
    const int64_t pause = kSecond << attempt;
    network_->At(network_->now_ns() + pause,
                 [network = network_, number = number(), attempt] {
                   SimFile* self = network->Find(number);
                   if (self != nullptr) self->stream()->SynArrives(attempt + 1);
                 });
    return;
  }
  SimStream* far =
      network_->Add(std::make_unique<SimStream>(network_, family()));
  far->local = target_;
  far->peer = local;
  peer = target_;
  far->waits_for_accept_ = true;
  listener->accepted_.push_back(far->number());
  Join(this, far);
  EndConnect(0);
}

// The answer takes a while to come back.
void SimStream::EndConnect(int result) {
  if (result != 0) state_ = State::kIdle;
  network_->AfterDelay([network = network_, number = number(), result] {
    SimFile* self = network->Find(number);
    if (self == nullptr) return;
    self->stream()->connect_result_ = result;
    self->stream()->connect_ended_ = true;
  });
}

int SimStream::TakeConnectResult() {
  connect_ended_ = false;
  return connect_result_;
}

void SimStream::Join(SimStream* a, SimStream* b) {
  a->state_ = b->state_ = State::kConnected;
  a->other_ = b->number();
  b->other_ = a->number();
}

SimStream* SimStream::Other() const {
  SimFile* other = network_->Find(other_);
  return other == nullptr ? nullptr : other->stream();
}

// Transfers.

std::string SimStream::Take(size_t bytes) {
  std::string taken = received_.substr(0, bytes);
  received_.erase(0, bytes);
  SimStream* other = Other();
  if (other != nullptr) other->AskDelivery();  // There is room again.
  return taken;
}

bool SimStream::Writable() const {
  return !CanSend() || error_ != 0 || Room() > 0;
}

size_t SimStream::Room() const {
  const size_t most = network_->options().send_buffer_bytes;
  return CanSend() && sending_.size() < most ? most - sending_.size() : 0;
}

void SimStream::Put(std::string_view bytes) {
  sending_.append(bytes);
  AskDelivery();
}

int SimStream::TakeReceiveError() {
  if (error_ == 0 || error_ == EPIPE) return 0;
  return -std::exchange(error_, 0);
}

int SimStream::TakeSendError() {
  if (error_ != 0) return -std::exchange(error_, 0);
  return state_ == State::kIdle ? -ENOTCONN : CanSend() ? 0 : -EPIPE;
}

int SimStream::Shutdown(int how) {
  if (state_ != State::kConnected) return -ENOTCONN;
  if (how == SHUT_RD || how == SHUT_RDWR) end_received_ = true;
  if (how == SHUT_WR || how == SHUT_RDWR) {
    end_wanted_ = true;
    AskDelivery();
  }
  return 0;
}

// One piece is on its way at a time, so that nothing overtakes.
void SimStream::AskDelivery() {
  if (delivering_ || state_ != State::kConnected) return;
  if (sending_.empty() && (!end_wanted_ || end_sent_)) return;
  const SimStream* other = Other();
  if (other != nullptr && !other->released_ && !sending_.empty() &&
      other->received_.size() >= network_->options().receive_buffer_bytes) {
    return;  // Taking bytes there asks again.
  }
  delivering_ = true;
  int64_t delay_ns = network_->DelayNs();
  if (network_->Strikes(network_->trouble().stalls, &SimCounts::stalls)) {
    delay_ns += network_->random().Between(
        0, absl::ToInt64Nanoseconds(network_->trouble().stall_max));
  }
  network_->At(network_->now_ns() + delay_ns,
               [network = network_, number = number()] {
                 SimFile* self = network->Find(number);
                 if (self != nullptr) self->stream()->Deliver();
               });
}

void SimStream::Deliver() {
  delivering_ = false;
  if (state_ != State::kConnected) return;
  SimStream* other = Other();
  if (other == nullptr || other->released_ || !other->connected()) {
    // Nobody there: bytes are answered with a reset, an end with nothing.
    if (!sending_.empty()) {
      Break();
      return;
    }
    end_sent_ = end_wanted_;
    MaybeRemove();
    return;
  }
  if (network_->Strikes(network_->trouble().resets, &SimCounts::resets)) {
    ResetConnection();
    return;
  }
  if (!sending_.empty()) {
    const size_t room = network_->options().receive_buffer_bytes -
                        std::min(other->received_.size(),
                                 network_->options().receive_buffer_bytes);
    const size_t most = std::min(sending_.size(), room);
    if (most > 0) {
      const size_t piece = 1 + network_->random().Below(most);
      other->received_.append(sending_, 0, piece);
      sending_.erase(0, piece);
    }
  } else if (end_wanted_ && !end_sent_) {
    end_sent_ = true;
    other->end_received_ = true;
  }
  if (end_sent_) {
    MaybeRemove();
    return;
  }
  AskDelivery();
}

void SimStream::ResetConnection() {
  SimStream* other = Other();
  Break();
  if (other != nullptr) other->Break();
}

// What has arrived can still be received, then the error is told, once; who
// had the end already is told by his next send.
void SimStream::Break() {
  if (state_ != State::kConnected) return;
  state_ = State::kBroken;
  error_ = end_received_ ? EPIPE : ECONNRESET;
  end_received_ = true;
  sending_.clear();
  MaybeRemove();
}

void SimStream::Released() {
  released_ = true;
  network_->Unbind(this);
  while (!accepted_.empty()) {
    // Connections that nobody took are reset.
    SimStream* waiting = TakeAccepted();
    waiting->linger_reset = true;
    waiting->Released();
  }
  if (state_ == State::kConnected) {
    SimStream* other = Other();
    if (linger_reset || !received_.empty()) {
      state_ = State::kBroken;
      if (other != nullptr) {
        network_->AfterDelay([network = network_, number = other->number()] {
          SimFile* told = network->Find(number);
          if (told != nullptr) told->stream()->Break();
        });
      }
    } else {
      end_wanted_ = true;
      AskDelivery();
    }
  }
  MaybeRemove();
}

void SimStream::MaybeRemove() {
  if (!released_) return;
  if (state_ == State::kConnected && !end_sent_) return;
  network_->Remove(this);  // `this` is gone.
}

// Datagrams.

uint32_t SimDatagram::Events() const {
  return POLLOUT | (HasMessage() ? uint32_t{POLLIN} : 0);
}

void SimDatagram::Released() {
  network_->Unbind(this);
  network_->Remove(this);
}

int SimDatagram::Connect(const SocketAddress& address) {
  if (address.family() != family()) return -EAFNOSUPPORT;
  peer = address;
  return 0;
}

int SimDatagram::Send(std::string bytes, const SocketAddress& to) {
  if (to.family() != family()) return -EDESTADDRREQ;
  if (bytes.size() > 65507) return -EMSGSIZE;
  if (!bound && family() != AF_UNIX) {
    const int result = network_->Bind(
        this, family() == AF_INET ? SocketAddress::Loopback(0)
                                  : *SocketAddress::FromIp("::1", 0));
    if (result != 0) return result;
  }
  const SimTrouble& trouble = network_->trouble();
  const int sent = static_cast<int>(bytes.size());
  if (network_->Strikes(trouble.lost_datagrams, &SimCounts::lost_datagrams)) {
    return sent;
  }
  const int copies =
      network_->Strikes(trouble.double_datagrams, &SimCounts::double_datagrams)
          ? 2
          : 1;
  for (int i = 0; i < copies; ++i) {
    // Each with a delay of its own: they overtake each other.
    network_->AfterDelay([network = network_, to, from = local, bytes] {
      SimSocket* taker = network->FindBound(to, SOCK_DGRAM);
      if (taker != nullptr) taker->datagram()->Arrive({from, bytes});
    });
  }
  return sent;
}

void SimDatagram::Arrive(Message message) {
  if (peer.family() != AF_UNSPEC && !(message.from == peer)) return;
  if (messages_.size() >= network_->options().datagrams_max) {
    ++network_->counts().lost_datagrams;
    return;
  }
  messages_.push_back(std::move(message));
}

SimDatagram::Message SimDatagram::TakeMessage() {
  Message taken = std::move(messages_.front());
  messages_.pop_front();
  return taken;
}

// Files.

uint32_t SimData::Events() const { return POLLIN | POLLOUT; }

}  // namespace ioloop::internal
