// Sets the options of stream and datagram sockets, and says which one failed;
// asks for their addresses.
#ifndef RINGPLANE_IOLOOP_INTERNAL_SOCKET_OPTIONS_H_
#define RINGPLANE_IOLOOP_INTERNAL_SOCKET_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ioloop/socket_address.h"
#include "ioloop/sockets.h"
#include "ioloop/stream.h"

namespace ioloop::internal {

// kInvalidArgument or kUnavailable, naming the option.
absl::Status SetSocketOption(Sockets& sockets, int fd, int level, int name,
                             int value, const char* what);

// "WHAT ADDRESS: error", as Listener::Bind and DatagramSocket::Bind say it.
absl::Status BindError(const SocketAddress& address, const char* what,
                       int error);

// SO_SNDBUF and SO_RCVBUF; 0 leaves the system's.
absl::Status SetBufferSizes(Sockets& sockets, int fd, uint32_t send_bytes,
                            uint32_t receive_bytes);

// What a stream socket gets before it connects or listens. `family` is its
// address's: those of TCP are skipped for AF_UNIX.
absl::Status SetStreamOptions(Sockets& sockets, int fd, int family,
                              const Stream::Options& options);

// Of none if the socket has none, or not any more.
SocketAddress LocalAddress(Sockets& sockets, int fd);
SocketAddress PeerAddress(Sockets& sockets, int fd);

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_SOCKET_OPTIONS_H_
