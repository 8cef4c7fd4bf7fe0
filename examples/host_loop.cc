// The loop inside a program that has an epoll loop already: reads lines from
// standard input by itself, and lets tasks echo them over a socket pair.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "ioloop/loop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

ioloop::Task<> Echo(ioloop::Stream stream, const char* prefix) {
  for (;;) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream.Receive();
    if (!bytes.ok() || bytes->empty()) break;
    if (prefix != nullptr) {
      std::printf("%s%.*s", prefix, static_cast<int>(bytes->size()),
                  bytes->data());
    } else if (!(co_await stream.SendAll(*bytes)).ok()) {
      break;
    }
  }
  co_await stream.Close();
}

int main() {
  auto loop = ioloop::Loop::Create({});
  auto loop_fd = loop.ok() ? (*loop)->fd() : loop.status();
  int pair[2];
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!loop_fd.ok() || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  for (int fd : {STDIN_FILENO, *loop_fd}) {
    epoll_event event = {EPOLLIN, {.fd = fd}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return 1;
  }
  ioloop::TaskGroup tasks;
  tasks.Spawn(Echo(ioloop::Stream::Adopt(loop->get(), pair[0]), nullptr));
  tasks.Spawn(Echo(ioloop::Stream::Adopt(loop->get(), pair[1]), "echoed "));
  while (tasks.running() > 0) {
    // Last before every sleep: it knows of timers and of queued work.
    const absl::Duration wait = (*loop)->PrepareSleep();
    const int64_t wait_ms =
        absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)));
    epoll_event event = {};
    epoll_wait(epoll, &event, 1, static_cast<int>(std::min(wait_ms, 60000l)));
    if (event.events != 0 && event.data.fd == STDIN_FILENO) {
      char line[512];
      const ssize_t got = read(STDIN_FILENO, line, sizeof(line));
      if (got > 0 && write(pair[1], line, static_cast<size_t>(got)) < 0) break;
      if (got <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
        shutdown(pair[1], SHUT_WR);
      }
    }
    if (!(*loop)->RunOnce(absl::ZeroDuration()).ok()) return 1;
  }
}
