#include "service/app/sd_notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ioloop/log.h"

namespace app {

void SdNotify(std::string_view state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length >= sizeof(address.sun_path)) {
    RINGPLANE_LOG(kWarning, "NOTIFY_SOCKET is too long", {"path", path});
    return;
  }
  memcpy(address.sun_path, path, length);
  // A name that starts with '@' is in the abstract namespace.
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ssize_t sent = fd < 0 ? -1
                        : sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                                 reinterpret_cast<sockaddr*>(&address),
                                 static_cast<socklen_t>(
                                     offsetof(sockaddr_un, sun_path) + length));
  if (sent < 0) {
    RINGPLANE_LOG(kWarning, "the service manager was not told",
                  {"socket", path}, {"error", strerror(errno)});
  }
  if (fd >= 0) close(fd);
}

}  // namespace app
