// The address of a TCP or unix socket: "127.0.0.1:9042", "[::1]:9042" or
// "unix:/path" ("unix:@name" is in Linux's abstract namespace).
#ifndef RINGPLANE_IOLOOP_SOCKET_ADDRESS_H_
#define RINGPLANE_IOLOOP_SOCKET_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ioloop {

// A value: copyable, trivially destructible, ordered.
class SocketAddress {
 public:
  // No address: family() is AF_UNSPEC.
  SocketAddress();

  // Numeric addresses only; names are for the resolver. kInvalidArgument says
  // what is wrong with `text`.
  static absl::StatusOr<SocketAddress> Parse(std::string_view text);
  // "127.0.0.1" or "::1" (no brackets needed) with a port.
  static absl::StatusOr<SocketAddress> FromIp(std::string_view ip,
                                              uint16_t port);
  // 4 or 16 bytes in network order, as CQL's inet; anything else is
  // kInvalidArgument.
  static absl::StatusOr<SocketAddress> FromBytes(std::string_view bytes,
                                                 uint16_t port);
  static absl::StatusOr<SocketAddress> Unix(std::string_view path);
  static SocketAddress Loopback(uint16_t port);  // 127.0.0.1
  static SocketAddress Any(uint16_t port);       // 0.0.0.0
  // What the kernel filled in; AF_UNSPEC for a family not known here.
  static SocketAddress FromSockaddr(const sockaddr* address, socklen_t length);

  int family() const { return storage_.base.sa_family; }
  bool is_unix() const { return family() == AF_UNIX; }
  uint16_t port() const;  // 0 for unix sockets.
  SocketAddress WithPort(uint16_t port) const;
  bool is_loopback() const;

  // As Parse() reads it.
  std::string ToString() const;
  // Without the port and brackets: "127.0.0.1", "::1", "/path".
  std::string HostString() const;
  // 4 or 16 bytes in network order; empty for unix sockets.
  std::string IpBytes() const;

  const sockaddr* data() const { return &storage_.base; }
  socklen_t length() const { return length_; }

  friend bool operator==(const SocketAddress& a, const SocketAddress& b);
  friend bool operator<(const SocketAddress& a, const SocketAddress& b);
  template <typename H>
  friend H AbslHashValue(H h, const SocketAddress& a) {
    return H::combine(std::move(h), a.HashedBytes());
  }

 private:
  std::string_view HashedBytes() const;

  union Storage {
    sockaddr base;
    sockaddr_in in;
    sockaddr_in6 in6;
    sockaddr_un un;
  };
  Storage storage_;
  socklen_t length_ = 0;
};

// Splits "host:port", "[v6]:port"; kInvalidArgument if there is no port or it
// is no number of 0 to 65535. The host may be a name.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_SOCKET_ADDRESS_H_
