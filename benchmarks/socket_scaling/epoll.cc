// The plain readiness loop, as it is written by hand: epoll_wait with a batch
// size, recv, send.
//
//   epoll echo --batch=N --threads=T --shared=0|1
//   epoll pipelined --batch=N --threads=T --shared=0|1 --port=P --sockets=N
//     --in-flight=W --message=BYTES
//
// Not shared: each thread has an epoll instance and its part of the sockets,
// level triggered. Shared: all threads wait on one instance, edge triggered,
// as Go's network poller does.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"

namespace socket_scaling {
namespace {

constexpr size_t kReadBytes = 65536;

struct Config {
  explicit Config(const Args& args)
      : batch(static_cast<size_t>(args.Get("batch", 128))),
        threads(static_cast<size_t>(args.Get("threads", 1))),
        shared(args.Get("shared", 0) != 0) {}
  size_t batch;
  size_t threads;
  bool shared;
};

// One instance, or one a thread.
class Pollers {
 public:
  explicit Pollers(const Config& config) : shared_(config.shared) {
    const size_t count = shared_ ? 1 : config.threads;
    for (size_t i = 0; i < count; ++i) {
      fds_.push_back(epoll_create1(EPOLL_CLOEXEC));
      if (fds_.back() < 0) DieOfErrno("epoll_create1");
    }
  }
  int poller(size_t thread) const { return fds_[shared_ ? 0 : thread]; }
  void Add(size_t thread, int fd, uint64_t data, bool level) {
    epoll_event event = {};
    event.events = EPOLLIN | (shared_ && !level ? EPOLLET : 0u);
    event.data.u64 = data;
    if (epoll_ctl(poller(thread), EPOLL_CTL_ADD, fd, &event) != 0) {
      DieOfErrno("epoll_ctl");
    }
  }

 private:
  bool shared_;
  std::vector<int> fds_;
};

// Waits and calls `handle(data)` for each event, then `end()`, for ever.
template <typename Handle, typename End>
[[noreturn]] void Run(int poller, size_t batch, Counts* counts, Handle&& handle,
                      End&& end) {
  std::vector<epoll_event> events(batch);
  for (;;) {
    const int count =
        epoll_wait(poller, events.data(), static_cast<int>(batch), -1);
    counts->syscalls.Add(1);
    counts->turns.Add(1);
    for (int i = 0; i < count; ++i) {
      handle(events[static_cast<size_t>(i)].data.u64);
    }
    end();
  }
}

// Sends everything, waiting for room if it must: what is in flight fits the
// sockets' buffers, so it does not.
void SendAll(int fd, const char* data, size_t bytes, Counts* counts) {
  counts->syscalls.Add(1);
  const ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(bytes)) return;
  if (sent >= 0 || errno == EAGAIN) {
    Die("a socket did not take a whole message: too much is in flight");
  }
}

[[noreturn]] void EchoThread(Pollers* pollers, const Config& config,
                             size_t thread, const std::vector<int>& listeners,
                             Counts* counts) {
  const std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  size_t next = thread;
  Run(
      pollers->poller(thread), config.batch, counts,
      [&](uint64_t data) {
        const int fd = static_cast<int>(data);
        if (fd <= listeners.back()) {
          const int accepted = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
          if (accepted < 0) return;  // Another thread was faster.
          SetNoDelay(accepted);
          SetReset(accepted);
          next = (next + 1) % config.threads;
          pollers->Add(next, accepted, static_cast<uint64_t>(accepted), false);
          return;
        }
        // Shared: an edge may come while another thread is at the socket, but
        // this one has a single message in flight. A read that did not fill
        // the buffer took all there was: no need to meet EAGAIN.
        ssize_t received;
        do {
          counts->syscalls.Add(1);
          received = recv(fd, buffer.get(), kReadBytes, MSG_DONTWAIT);
          if (received == 0 || (received < 0 && errno != EAGAIN)) {
            close(fd);
            return;
          }
          if (received < 0) return;
          counts->events.Add(1);
          counts->bytes.Add(static_cast<uint64_t>(received));
          SendAll(fd, buffer.get(), static_cast<size_t>(received), counts);
        } while (config.shared && received == static_cast<ssize_t>(kReadBytes));
      },
      [] {});
}

[[noreturn]] void Echo(const Args& args) {
  Reporter reporter;
  const Config config(args);
  Pollers pollers(config);
  uint16_t port = 0;
  const std::vector<int> listeners = Listen(kAddresses, &port);
  for (int fd : listeners) {
    SetNonBlocking(fd);
    pollers.Add(0, fd, static_cast<uint64_t>(fd), /*level=*/true);
  }
  static std::vector<Counts> counts(config.threads);
  std::vector<const Counts*> all;
  for (const Counts& each : counts) all.push_back(&each);
  reporter.Start(all);
  Say("listening " + std::to_string(port));
  for (size_t i = 1; i < config.threads; ++i) {
    std::thread([&, i] {
      EchoThread(&pollers, config, i, listeners, &counts[i]);
    }).detach();
  }
  EchoThread(&pollers, config, 0, listeners, &counts[0]);
}

// One connection of the pipelined client. When threads share an instance two
// may be at one connection, and any may queue to it.
struct Connection {
  int fd = -1;
  std::mutex receiving;
  std::mutex sending;
  std::string queue;
};

// The sink of one thread: queues to connections, remembers which are dirty.
class Queues {
 public:
  Queues(std::vector<Connection>* connections, bool shared)
      : connections_(connections), shared_(shared) {}
  char* Reserve(uint32_t index, uint32_t bytes) {
    Connection& connection = (*connections_)[index];
    if (shared_) connection.sending.lock();
    if (connection.queue.empty()) dirty_.push_back(index);
    const size_t before = connection.queue.size();
    connection.queue.resize(before + bytes);
    return connection.queue.data() + before;
  }
  void Commit(uint32_t index, uint32_t) {
    if (shared_) (*connections_)[index].sending.unlock();
  }
  void Flush(Counts* counts) {
    for (uint32_t index : dirty_) {
      Connection& connection = (*connections_)[index];
      if (shared_) connection.sending.lock();
      SendAll(connection.fd, connection.queue.data(), connection.queue.size(),
              counts);
      connection.queue.clear();
      if (shared_) connection.sending.unlock();
    }
    dirty_.clear();
  }

 private:
  std::vector<Connection>* connections_;
  bool shared_;
  std::vector<uint32_t> dirty_;
};

using Issuer = Pipeline::Issuer<Queues>;

[[noreturn]] void ClientThread(int poller, const Config& config,
                               std::vector<Connection>* connections,
                               Issuer* issuer, Queues* queues, Counts* counts) {
  const std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  queues->Flush(counts);
  Run(
      poller, config.batch, counts,
      [&](uint64_t data) {
        Connection& connection = (*connections)[data];
        std::unique_lock<std::mutex> lock;
        if (config.shared) lock = std::unique_lock(connection.receiving);
        ssize_t received;
        do {
          counts->syscalls.Add(1);
          received =
              recv(connection.fd, buffer.get(), kReadBytes, MSG_DONTWAIT);
          if (received < 0 && errno == EAGAIN) return;
          if (received <= 0) Die("the responder went away");
          issuer->OnBytes(static_cast<uint32_t>(data), buffer.get(),
                          static_cast<size_t>(received));
        } while (config.shared && received == static_cast<ssize_t>(kReadBytes));
      },
      [&] { queues->Flush(counts); });
}

[[noreturn]] void Pipelined(const Args& args) {
  Reporter reporter;
  const Config config(args);
  const Pipeline::Options options = {
      static_cast<uint32_t>(args.Get("sockets", 128)),
      static_cast<uint32_t>(args.Get("in-flight", 512)),
      static_cast<uint32_t>(args.Get("message", 100))};
  Say("started");
  AwaitGo();
  static Pollers pollers(config);
  static std::vector<Connection> connections(options.connections);
  const auto threads = static_cast<uint32_t>(config.threads);
  // Thread t has the connections and requests from first(t) to first(t + 1).
  const auto first = [threads](uint32_t thread, uint32_t count) {
    return static_cast<uint32_t>(uint64_t{count} * thread / threads);
  };
  for (uint32_t t = 0; t < threads; ++t) {
    for (uint32_t i = first(t, options.connections);
         i < first(t + 1, options.connections); ++i) {
      connections[i].fd =
          ConnectTo(i, static_cast<uint16_t>(args.Get("port", 0)));
      pollers.Add(t, connections[i].fd, i, false);
    }
  }
  Say("connected");
  AwaitGo();
  static std::vector<Counts> counts(threads);
  std::vector<const Counts*> all;
  for (const Counts& each : counts) all.push_back(&each);
  reporter.Start(all);

  static Pipeline pipeline(options);
  static std::vector<std::unique_ptr<Queues>> queues;
  static std::vector<std::unique_ptr<Issuer>> issuers;
  for (uint32_t t = 0; t < threads; ++t) {
    queues.push_back(std::make_unique<Queues>(&connections, config.shared));
    issuers.push_back(std::make_unique<Issuer>(&pipeline, queues[t].get(),
                                               &counts[t], t + 1));
    const uint32_t lowest = config.shared ? 0 : first(t, options.connections);
    const uint32_t count = config.shared
                               ? options.connections
                               : first(t + 1, options.connections) - lowest;
    issuers[t]->Start(first(t, options.in_flight),
                      first(t + 1, options.in_flight), lowest, count);
  }
  const auto run = [&config](uint32_t t) {
    ClientThread(pollers.poller(t), config, &connections, issuers[t].get(),
                 queues[t].get(), &counts[t]);
  };
  for (uint32_t t = 1; t < threads; ++t) std::thread(run, t).detach();
  run(0);
  Die("a thread ended");
}

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() == "echo") socket_scaling::Echo(args);
  if (args.mode() == "pipelined") socket_scaling::Pipelined(args);
  socket_scaling::Die("usage: epoll echo|pipelined --name=value ...");
}
