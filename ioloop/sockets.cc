#include "ioloop/sockets.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

namespace ioloop {
namespace {

int OrErrno(int result) { return result < 0 ? -errno : result; }

}  // namespace

int Sockets::Open(int family, int type) {
  return OrErrno(socket(family, type | SOCK_CLOEXEC, 0));
}

int Sockets::Bind(int fd, const sockaddr* address, socklen_t length) {
  return OrErrno(bind(fd, address, length));
}

int Sockets::Listen(int fd, int backlog) {
  return OrErrno(listen(fd, backlog));
}

int Sockets::SetOption(int fd, int level, int name, const void* value,
                       socklen_t length) {
  return OrErrno(setsockopt(fd, level, name, value, length));
}

int Sockets::Shutdown(int fd, int how) { return OrErrno(shutdown(fd, how)); }

int Sockets::Close(int fd) { return OrErrno(close(fd)); }

int Sockets::LocalAddress(int fd, sockaddr* address, socklen_t* length) {
  return OrErrno(getsockname(fd, address, length));
}

int Sockets::PeerAddress(int fd, sockaddr* address, socklen_t* length) {
  return OrErrno(getpeername(fd, address, length));
}

int64_t Sockets::Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

}  // namespace ioloop
