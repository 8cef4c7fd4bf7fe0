// The calls on sockets that are no requests, and the clock: what a loop asks
// of a kernel beside its backend's operations. The simulated backend has a
// network and a clock of its own; everywhere else these are the system calls
// of their names.
#ifndef RINGPLANE_IOLOOP_SOCKETS_H_
#define RINGPLANE_IOLOOP_SOCKETS_H_

#include <sys/socket.h>

#include <cstdint>

namespace ioloop {

// Every call gives its result, or a negated errno. None of them blocks.
class Sockets {
 public:
  virtual ~Sockets() = default;

  // A descriptor, close-on-exec.
  virtual int Open(int family, int type);
  virtual int Bind(int fd, const sockaddr* address, socklen_t length);
  virtual int Listen(int fd, int backlog);
  virtual int SetOption(int fd, int level, int name, const void* value,
                        socklen_t length);
  virtual int Shutdown(int fd, int how);
  // Requests of `fd` that were handed over end on their own file, whatever the
  // number stands for next; those that no turn has taken yet may not.
  virtual int Close(int fd);
  virtual int LocalAddress(int fd, sockaddr* address, socklen_t* length);
  virtual int PeerAddress(int fd, sockaddr* address, socklen_t* length);
  // Steady, in nanoseconds.
  virtual int64_t Now();

  int SetOption(int fd, int level, int name, int value) {
    return SetOption(fd, level, name, &value, sizeof(value));
  }
};

}  // namespace ioloop

#endif  // RINGPLANE_IOLOOP_SOCKETS_H_
