#include "benchmarks/socket_scaling/measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

namespace socket_scaling {
namespace {

constexpr int kSkipped = 77;

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  return set;
}

sockaddr_in Loopback(uint32_t host, uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
  address.sin_port = htons(port);
  return address;
}

int OpenSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) DieOfErrno("socket");
  return fd;
}

void SetOption(int fd, int level, int name) {
  const int on = 1;
  if (setsockopt(fd, level, name, &on, sizeof(on)) != 0) {
    DieOfErrno("setsockopt");
  }
}

void Connect(int fd, const sockaddr_in& to) {
  SetNoDelay(fd);
  SetReset(fd);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    DieOfErrno("connect");
  }
}

int64_t Microseconds(const timeval& time) {
  return int64_t{time.tv_sec} * 1000000 + time.tv_usec;
}

}  // namespace

void Die(std::string_view what) {
  std::cerr << what << std::endl;
  _exit(EXIT_FAILURE);
}

void DieOfErrno(std::string_view what) {
  Die(std::string(what) + ": " + strerror(errno));
}

void Skip(std::string_view why) {
  std::cerr << why << std::endl;
  _exit(kSkipped);
}

Args::Args(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (!arg.starts_with("--")) {
      mode_ = arg;
      continue;
    }
    const size_t equals = arg.find('=');
    if (equals == std::string_view::npos) Die("an argument has no value");
    values_[std::string(arg.substr(2, equals - 2))] =
        atoll(argv[i] + equals + 1);
  }
}

int64_t Args::Get(const std::string& name, int64_t otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second;
}

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

Reporter::Reporter() {
  const sigset_t set = Signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
}

void Reporter::Start(std::vector<const Counts*> counts, Refresh refresh) {
  counts_ = std::move(counts);
  refresh_ = std::move(refresh);
  std::thread([this] {
    const sigset_t set = Signals();
    for (;;) {
      int received = 0;
      if (sigwait(&set, &received) != 0) continue;
      if (received == SIGTERM) _exit(EXIT_SUCCESS);
      Report();
    }
  }).detach();
}

void Reporter::Report() const {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const int64_t clock = NowNs();
  Totals totals;
  for (const Counts* counts : counts_) {
    totals.bytes += counts->bytes.Get();
    totals.events += counts->events.Get();
    totals.turns += counts->turns.Get();
    totals.syscalls += counts->syscalls.Get();
  }
  if (refresh_) refresh_(&totals);
  std::string line = "report clock_ns=" + std::to_string(clock) +
                     " user_us=" + std::to_string(Microseconds(usage.ru_utime));
  line += " system_us=" + std::to_string(Microseconds(usage.ru_stime)) +
          " sleeps=" + std::to_string(usage.ru_nvcsw) +
          " preemptions=" + std::to_string(usage.ru_nivcsw) +
          " bytes=" + std::to_string(totals.bytes) +
          " events=" + std::to_string(totals.events);
  if (totals.turns > 0) line += " turns=" + std::to_string(totals.turns);
  if (totals.syscalls > 0) {
    line += " syscalls=" + std::to_string(totals.syscalls);
  }
  if (totals.frame_bytes > 0) {
    line += " frame_bytes=" + std::to_string(totals.frame_bytes);
  }
  line += totals.more;
  std::string latency;
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    uint64_t count = 0;
    for (const Counts* counts : counts_) count += counts->latency.bucket(i);
    if (count == 0) continue;
    if (!latency.empty()) latency += ',';
    latency += std::to_string(i) + ':' + std::to_string(count);
  }
  if (!latency.empty()) line += " latency=" + latency;
  Say(line);
}

void Say(std::string_view line) {
  std::string whole(line);
  whole += '\n';
  if (write(STDOUT_FILENO, whole.data(), whole.size()) !=
      static_cast<ssize_t>(whole.size())) {
    _exit(EXIT_FAILURE);
  }
}

void AwaitGo() {
  std::string line;
  if (!std::getline(std::cin, line)) _exit(EXIT_SUCCESS);
}

std::vector<int> Listen(uint32_t addresses, uint16_t* port) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::vector<int> listeners;
    *port = 0;
    for (uint32_t i = 0; i < addresses; ++i) {
      const int fd = OpenSocket();
      SetOption(fd, SOL_SOCKET, SO_REUSEADDR);
      sockaddr_in address = Loopback(i, *port);
      socklen_t length = sizeof(address);
      auto* generic = reinterpret_cast<sockaddr*>(&address);
      if (bind(fd, generic, length) != 0 || listen(fd, 4096) != 0) {
        close(fd);
        break;
      }
      getsockname(fd, generic, &length);
      *port = ntohs(address.sin_port);
      listeners.push_back(fd);
    }
    if (listeners.size() == addresses) return listeners;
    for (int fd : listeners) close(fd);
  }
  Die("found no port that is free on every loopback address");
}

int ConnectFrom(uint32_t index, uint16_t port) {
  const int fd = OpenSocket();
  SetOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
  const sockaddr_in from = Loopback(index % kAddresses, 0);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0) {
    DieOfErrno("bind");
  }
  Connect(fd, Loopback(0, port));
  return fd;
}

int ConnectTo(uint32_t index, uint16_t port) {
  const int fd = OpenSocket();
  Connect(fd, Loopback(index % kAddresses, port));
  return fd;
}

void SetNoDelay(int fd) { SetOption(fd, IPPROTO_TCP, TCP_NODELAY); }

void SetReset(int fd) {
  const linger reset = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void SetNonBlocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    DieOfErrno("fcntl");
  }
}

void RaiseDescriptorLimit() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace socket_scaling
