// What the descriptors of a simulated kernel stand for: streams that listen or
// are connected, datagram sockets, and files in memory.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SIM_SOCKET_H_
#define RINGPLANE_IOLOOP_INTERNAL_SIM_SOCKET_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "ioloop/internal/sim_network.h"
#include "ioloop/socket_address.h"

namespace ioloop::internal {

class SimSocket : public SimFile {
 public:
  SimSocket(SimNetwork* network, int family, int type)
      : SimFile(network), family_(family), type_(type) {}
  SimSocket* socket() override { return this; }
  int family() const { return family_; }
  int type() const { return type_; }
  virtual bool listening() const { return false; }

  SocketAddress local;
  SocketAddress peer;
  bool bound = false;
  bool reuse_address = false;
  bool reuse_port = false;
  bool port_with_connect = false;  // IP_BIND_ADDRESS_NO_PORT.
  bool linger_reset = false;       // SO_LINGER, 0 seconds.

 private:
  const int family_;
  const int type_;
};

// A TCP or unix stream socket. Bytes wait in the sender's buffer until they are
// delivered, in pieces and in order, into the receiver's.
class SimStream final : public SimSocket {
 public:
  SimStream(SimNetwork* network, int family);
  SimStream* stream() override { return this; }
  uint32_t Events() const override;
  void Released() override;

  // Listening.
  int Listen(int backlog);
  bool listening() const override { return state_ == State::kListening; }
  bool HasAccepted() const { return !accepted_.empty(); }
  // The longest-waiting connection, not held yet.
  SimStream* TakeAccepted();

  // Connecting: 0 when under way, or a negated errno.
  int StartConnect(const SocketAddress& address);
  bool ConnectEnded() const { return connect_ended_; }
  int TakeConnectResult();
  // Makes two sockets each other's peer.
  static void Join(SimStream* a, SimStream* b);
  bool connected() const { return state_ == State::kConnected; }

  // Receiving. Readable() also when there is an end or an error to tell.
  bool Readable() const {
    return !received_.empty() || end_received_ || error_ != 0;
  }
  size_t available() const { return received_.size(); }
  std::string Take(size_t bytes);
  // Sending. Writable() also when a send would fail.
  bool Writable() const;
  size_t Room() const;
  void Put(std::string_view bytes);
  int Shutdown(int how);
  // What a receive without bytes has to tell: 0 for the end, or a negated
  // errno, once.
  int TakeReceiveError();
  // Why nothing can be sent: a negated errno, or 0 if room is all it wants.
  int TakeSendError();
  bool CanSend() const { return state_ == State::kConnected && !end_wanted_; }
  bool CanReceive() const { return state_ != State::kIdle && !listening(); }

  // Both ends are told that the connection was reset.
  void ResetConnection();

 private:
  enum class State { kIdle, kListening, kConnecting, kConnected, kBroken };

  SimStream* Other() const;
  void SynArrives(int attempt);
  void EndConnect(int result);
  void AskDelivery();
  void Deliver();
  void Break();
  // Removes what nobody refers to and that has nothing left to deliver.
  void MaybeRemove();

  State state_ = State::kIdle;
  int error_ = 0;
  uint64_t other_ = 0;
  size_t backlog_ = 0;
  std::deque<uint64_t> accepted_;
  SocketAddress target_;
  int connect_result_ = 0;
  bool connect_ended_ = false;
  bool waits_for_accept_ = false;
  std::string received_;
  std::string sending_;
  bool end_received_ = false;
  bool end_wanted_ = false;  // FIN after what is in `sending_`.
  bool end_sent_ = false;
  bool delivering_ = false;
  bool released_ = false;
};

class SimDatagram final : public SimSocket {
 public:
  struct Message {
    SocketAddress from;
    std::string bytes;
  };
  SimDatagram(SimNetwork* network, int family)
      : SimSocket(network, family, SOCK_DGRAM) {}
  SimDatagram* datagram() override { return this; }
  uint32_t Events() const override;
  void Released() override;

  int Connect(const SocketAddress& address);
  // Bytes sent, or a negated errno.
  int Send(std::string bytes, const SocketAddress& to);
  bool HasMessage() const { return !messages_.empty(); }
  Message TakeMessage();

 private:
  void Arrive(Message message);
  std::deque<Message> messages_;
};

// A file in memory.
class SimData final : public SimFile {
 public:
  explicit SimData(SimNetwork* network) : SimFile(network) {}
  SimData* data() override { return this; }
  uint32_t Events() const override;
  void Released() override { network_->Remove(this); }
  std::string bytes;
  size_t position = 0;  // Of kRead.
  uint64_t syncs = 0;
};

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SIM_SOCKET_H_
