// The load of the echo workloads, the same for every variant: a bare ring on
// the other core.
//
//   load closed --port=P --sockets=N --active=A --message=BYTES
//   load open --port=P --sockets=N --rate=R --message=BYTES
//
// Closed: each active socket has one message under way. Open: messages leave
// at a fixed rate, whatever comes back, and the latency of each counts from
// when it was meant to leave. An open load spins, so that it is on time.
#include <errno.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/raw_ring.h"

namespace socket_scaling {
namespace {

class Load {
 public:
  explicit Load(const Args& args)
      : message_(static_cast<size_t>(args.Get("message", 64)), 'm'),
        sockets_(static_cast<size_t>(args.Get("sockets", 64))),
        ring_(RingOptions(sockets_.size()), &counts_) {
    const auto port = static_cast<uint16_t>(args.Get("port", 0));
    for (size_t i = 0; i < sockets_.size(); ++i) {
      sockets_[i].fd = ConnectFrom(static_cast<uint32_t>(i), port);
      Receive(i);
    }
    Say("connected");
    AwaitGo();
    reporter_.Start({&counts_});
  }

  [[noreturn]] void RunClosed(const Args& args) {
    const auto active = static_cast<size_t>(
        args.Get("active", static_cast<int64_t>(sockets_.size())));
    // Spread over all, not the first few.
    const int64_t now = NowNs();
    for (size_t i = 0; i < active; ++i) {
      Send(i * sockets_.size() / active, now);
    }
    for (;;) {
      Turn(1,
           [this](size_t socket, int64_t received) { Send(socket, received); });
    }
  }

  [[noreturn]] void RunOpen(const Args& args) {
    const double gap_ns = 1e9 / static_cast<double>(args.Get("rate", 1000));
    std::vector<uint32_t> order(sockets_.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    const int64_t start = NowNs();
    uint64_t sent = 0;
    for (;;) {
      const auto due =
          static_cast<uint64_t>(static_cast<double>(NowNs() - start) / gap_ns);
      for (; sent < due; ++sent) {
        Send(order[sent % order.size()],
             start + static_cast<int64_t>(static_cast<double>(sent) * gap_ns));
      }
      if (ring_.HasWork()) Turn(0, [](size_t, int64_t) {});
    }
  }

 private:
  struct Socket {
    int fd = -1;
    uint32_t received = 0;  // Of the message that comes back next.
    int64_t sent_ns = 0;    // Of the oldest message under way,
    std::deque<int64_t>* later = nullptr;  // and of those behind it.
    uint32_t under_way = 0;
  };

  static RawRing::Options RingOptions(size_t sockets) {
    RawRing::Options options;
    options.buffer_count = static_cast<uint32_t>(
        std::clamp<uint64_t>(std::bit_ceil(sockets), 256, 32768));
    options.buffer_bytes = 2048;
    return options;
  }

  void Receive(size_t i) {
    ring_.Receive(static_cast<uint32_t>(i), sockets_[i].fd);
  }

  void Send(size_t i, int64_t when) {
    Socket& socket = sockets_[i];
    if (socket.under_way++ == 0) {
      socket.sent_ns = when;
    } else {
      if (socket.later == nullptr) socket.later = new std::deque<int64_t>;
      socket.later->push_back(when);
    }
    ring_.Send(static_cast<uint32_t>(i), socket.fd, message_.data(),
               static_cast<uint32_t>(message_.size()));
  }

  // Calls `done(socket, now)` for each message that has come back.
  template <typename Done>
  void Turn(uint32_t wait, Done&& done) {
    int64_t now = 0;
    ring_.Turn(wait, [&](const RawRing::Event& event) {
      if (now == 0) now = NowNs();
      if (event.kind == RawRing::Kind::kSend) DieOfShortSend(event.result);
      if (event.result == -ENOBUFS) {
        starved_.push_back(event.index);
        return;
      }
      if (event.result <= 0) Die("the server went away");
      ring_.ReturnBuffer(event.buffer);
      if (!event.more) starved_.push_back(event.index);
      counts_.events.Add(1);
      Socket& socket = sockets_[event.index];
      socket.received += static_cast<uint32_t>(event.result);
      while (socket.received >= message_.size()) {
        if (socket.under_way == 0) Die("more came back than was sent");
        socket.received -= static_cast<uint32_t>(message_.size());
        counts_.bytes.Add(message_.size());
        counts_.latency.Add(
            static_cast<uint64_t>(std::max<int64_t>(0, now - socket.sent_ns)));
        if (--socket.under_way > 0) {
          socket.sent_ns = socket.later->front();
          socket.later->pop_front();
        }
        done(event.index, now);
      }
    });
    ring_.PublishBuffers();
    for (uint32_t i : starved_) Receive(i);
    starved_.clear();
  }

  std::string message_;
  std::vector<Socket> sockets_;
  Reporter reporter_;
  Counts counts_;
  RawRing ring_;
  std::vector<uint32_t> starved_;
};

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() != "closed" && args.mode() != "open") {
    socket_scaling::Die("usage: load closed|open --name=value ...");
  }
  static socket_scaling::Load load(args);
  if (args.mode() == "closed") load.RunClosed(args);
  load.RunOpen(args);
}
