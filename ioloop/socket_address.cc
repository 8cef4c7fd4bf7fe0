#include "ioloop/socket_address.h"

#include <arpa/inet.h>
#include <string.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ioloop {
namespace {

// Text of a peer or a user in a message: bounded.
std::string Shown(std::string_view text) {
  constexpr size_t kShown = 100;
  std::string shown = "'";
  shown.append(text.substr(0, kShown));
  shown.append(text.size() <= kShown ? "'" : "...'");
  return shown;
}

}  // namespace

SocketAddress::SocketAddress() { memset(&storage_, 0, sizeof(storage_)); }

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(text), " has no port: write host:port"));
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  if (digits.empty() || digits.size() > 5 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos ||
      !absl::SimpleAtoi(std::string(digits), &port) || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the port of ", Shown(text), " is not a number of 0 to 65535"));
  }
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') {
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(text), " has no closing bracket"));
    }
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(text), ": write an IPv6 address as [address]:port"));
  }
  if (host.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(text), " has no host: write host:port"));
  }
  HostPort result;
  result.host = std::string(host);
  result.port = static_cast<uint16_t>(port);
  return result;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) return Unix(text.substr(kUnix.size()));
  absl::StatusOr<HostPort> parts = ParseHostPort(text);
  if (!parts.ok()) return parts.status();
  return FromIp(parts->host, parts->port);
}

absl::StatusOr<SocketAddress> SocketAddress::FromIp(std::string_view ip,
                                                    uint16_t port) {
  const std::string text(ip);
  SocketAddress address;
  if (text.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, text.c_str(), &address.storage_.in.sin_addr) == 1) {
      address.storage_.in.sin_family = AF_INET;
      address.storage_.in.sin_port = htons(port);
      address.length_ = sizeof(sockaddr_in);
      return address;
    }
    if (inet_pton(AF_INET6, text.c_str(), &address.storage_.in6.sin6_addr) ==
        1) {
      address.storage_.in6.sin6_family = AF_INET6;
      address.storage_.in6.sin6_port = htons(port);
      address.length_ = sizeof(sockaddr_in6);
      return address;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(ip), " is not an IPv4 or IPv6 address"));
}

absl::StatusOr<SocketAddress> SocketAddress::FromBytes(std::string_view bytes,
                                                       uint16_t port) {
  SocketAddress address;
  if (bytes.size() == 4) {
    address.storage_.in.sin_family = AF_INET;
    address.storage_.in.sin_port = htons(port);
    memcpy(&address.storage_.in.sin_addr, bytes.data(), 4);
    address.length_ = sizeof(sockaddr_in);
    return address;
  }
  if (bytes.size() == 16) {
    address.storage_.in6.sin6_family = AF_INET6;
    address.storage_.in6.sin6_port = htons(port);
    memcpy(&address.storage_.in6.sin6_addr, bytes.data(), 16);
    address.length_ = sizeof(sockaddr_in6);
    return address;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("an inet address has 4 or 16 bytes, not ", bytes.size()));
}

absl::StatusOr<SocketAddress> SocketAddress::Unix(std::string_view path) {
  SocketAddress address;
  // A path ends with a zero byte; an abstract name begins with one.
  if (path.empty() || path == "@") {
    return absl::InvalidArgumentError("a unix socket needs a path");
  }
  if (path.size() >= sizeof(address.storage_.un.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the unix socket path ", Shown(path), " is longer than ",
                     sizeof(address.storage_.un.sun_path) - 1, " bytes"));
  }
  if (path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("a unix socket path with a zero byte");
  }
  address.storage_.un.sun_family = AF_UNIX;
  memcpy(address.storage_.un.sun_path, path.data(), path.size());
  address.length_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  if (path.front() == '@') {
    address.storage_.un.sun_path[0] = '\0';
    --address.length_;
  }
  return address;
}

SocketAddress SocketAddress::Loopback(uint16_t port) {
  SocketAddress address = Any(port);
  address.storage_.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

SocketAddress SocketAddress::Any(uint16_t port) {
  SocketAddress address;
  address.storage_.in.sin_family = AF_INET;
  address.storage_.in.sin_port = htons(port);
  address.length_ = sizeof(sockaddr_in);
  return address;
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr* address,
                                          socklen_t length) {
  SocketAddress result;
  if (length < sizeof(sa_family_t)) return result;
  size_t most = 0;
  if (address->sa_family == AF_INET) {
    most = sizeof(sockaddr_in);
  } else if (address->sa_family == AF_INET6) {
    most = sizeof(sockaddr_in6);
  } else if (address->sa_family == AF_UNIX) {
    most = sizeof(sockaddr_un);
  } else {
    return result;
  }
  result.length_ = static_cast<socklen_t>(std::min<size_t>(length, most));
  memcpy(&result.storage_, address, result.length_);
  if (result.family() == AF_INET6) {
    result.storage_.in6.sin6_flowinfo = 0;
  }
  return result;
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(storage_.in.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.in6.sin6_port);
  return 0;
}

SocketAddress SocketAddress::WithPort(uint16_t port) const {
  SocketAddress result = *this;
  if (family() == AF_INET) result.storage_.in.sin_port = htons(port);
  if (family() == AF_INET6) result.storage_.in6.sin6_port = htons(port);
  return result;
}

bool SocketAddress::is_loopback() const {
  if (family() == AF_INET) {
    return (ntohl(storage_.in.sin_addr.s_addr) >> 24) == 127;
  }
  if (family() == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&storage_.in6.sin6_addr);
  }
  return is_unix();
}

std::string SocketAddress::HostString() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family()) {
    case AF_INET:
      inet_ntop(AF_INET, &storage_.in.sin_addr, text, sizeof(text));
      return text;
    case AF_INET6:
      inet_ntop(AF_INET6, &storage_.in6.sin6_addr, text, sizeof(text));
      return text;
    case AF_UNIX: {
      const size_t size = length_ - offsetof(sockaddr_un, sun_path);
      if (length_ <= offsetof(sockaddr_un, sun_path)) return "(unnamed)";
      if (storage_.un.sun_path[0] == '\0') {
        return "@" + std::string(storage_.un.sun_path + 1, size - 1);
      }
      return std::string(storage_.un.sun_path,
                         strnlen(storage_.un.sun_path, size));
    }
    default:
      return "(none)";
  }
}

std::string SocketAddress::ToString() const {
  switch (family()) {
    case AF_INET:
      return absl::StrCat(HostString(), ":", port());
    case AF_INET6:
      return absl::StrCat("[", HostString(), "]:", port());
    case AF_UNIX:
      return absl::StrCat("unix:", HostString());
    default:
      return "(none)";
  }
}

std::string SocketAddress::IpBytes() const {
  if (family() == AF_INET) {
    return std::string(reinterpret_cast<const char*>(&storage_.in.sin_addr), 4);
  }
  if (family() == AF_INET6) {
    return std::string(reinterpret_cast<const char*>(&storage_.in6.sin6_addr),
                       16);
  }
  return "";
}

std::string_view SocketAddress::HashedBytes() const {
  return std::string_view(reinterpret_cast<const char*>(&storage_), length_);
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.HashedBytes() == b.HashedBytes();
}

bool operator<(const SocketAddress& a, const SocketAddress& b) {
  return a.HashedBytes() < b.HashedBytes();
}

}  // namespace ioloop
