#include "ioloop/internal/socket_options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace ioloop::internal {
namespace {

using AddressCall = int (Sockets::*)(int, sockaddr*, socklen_t*);

SocketAddress AddressOf(Sockets& sockets, int fd, AddressCall call) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if ((sockets.*call)(fd, address, &length) != 0) return SocketAddress();
  return SocketAddress::FromSockaddr(address, length);
}

// The kernel counts whole seconds; rounded up, for a 0 would be refused.
int Seconds(absl::Duration duration) {
  const int64_t seconds =
      absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
  return static_cast<int>(std::clamp<int64_t>(seconds, 1, 32767));
}

}  // namespace

absl::Status SetSocketOption(Sockets& sockets, int fd, int level, int name,
                             int value, const char* what) {
  const int error = -sockets.SetOption(fd, level, name, value);
  if (error == 0) return absl::OkStatus();
  std::string text =
      absl::StrCat("set ", what, " to ", value, ": ", strerror(error));
  if (error == EINVAL || error == EDOM || error == ENOPROTOOPT) {
    return absl::InvalidArgumentError(text);
  }
  return absl::UnavailableError(text);
}

absl::Status SetBufferSizes(Sockets& sockets, int fd, uint32_t send_bytes,
                            uint32_t receive_bytes) {
  const auto set = [&](uint32_t bytes, int name, const char* what) {
    if (bytes == 0) return absl::OkStatus();
    const int value = static_cast<int>(std::min(bytes, 1u << 30));
    return SetSocketOption(sockets, fd, SOL_SOCKET, name, value, what);
  };
  absl::Status status = set(send_bytes, SO_SNDBUF, "SO_SNDBUF");
  if (status.ok()) status = set(receive_bytes, SO_RCVBUF, "SO_RCVBUF");
  return status;
}

absl::Status SetStreamOptions(Sockets& sockets, int fd, int family,
                              const Stream::Options& options) {
  absl::Status status = SetBufferSizes(sockets, fd, options.socket_send_bytes,
                                       options.socket_receive_bytes);
  if (family == AF_UNIX) return status;
  const auto set = [&](int level, int name, int value, const char* what) {
    if (status.ok()) {
      status = SetSocketOption(sockets, fd, level, name, value, what);
    }
  };
  // Only a matter of speed.
  if (options.no_delay) sockets.SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.keepalive_idle > absl::ZeroDuration()) {
    set(SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
    set(IPPROTO_TCP, TCP_KEEPIDLE, Seconds(options.keepalive_idle),
        "TCP_KEEPIDLE");
    set(IPPROTO_TCP, TCP_KEEPINTVL, Seconds(options.keepalive_interval),
        "TCP_KEEPINTVL");
    set(IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(options.keepalive_probes),
        "TCP_KEEPCNT");
  }
  if (options.user_timeout > absl::ZeroDuration()) {
    const int64_t milliseconds = absl::ToInt64Milliseconds(
        absl::Ceil(options.user_timeout, absl::Milliseconds(1)));
    set(IPPROTO_TCP, TCP_USER_TIMEOUT,
        static_cast<int>(std::min<int64_t>(milliseconds, INT32_MAX)),
        "TCP_USER_TIMEOUT");
  }
  return status;
}

absl::Status BindError(const SocketAddress& address, const char* what,
                       int error) {
  std::string text =
      absl::StrCat(what, " ", address.ToString(), ": ", strerror(error));
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(text);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EINVAL:
    case ENOENT:
    case ENOTDIR:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

SocketAddress LocalAddress(Sockets& sockets, int fd) {
  return AddressOf(sockets, fd, &Sockets::LocalAddress);
}

SocketAddress PeerAddress(Sockets& sockets, int fd) {
  return AddressOf(sockets, fd, &Sockets::PeerAddress);
}

}  // namespace ioloop::internal
