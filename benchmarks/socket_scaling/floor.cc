// The floor: what the kernel costs on a bare ring.
//
//   floor echo --sockets=N --message=BYTES
//   floor pipelined --port=P --sockets=N --in-flight=W --message=BYTES
//
// `floor echo` is also the responder that every pipelined client talks to.
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"
#include "benchmarks/socket_scaling/raw_ring.h"

namespace socket_scaling {
namespace {

// Enough that every socket's message finds a buffer, while those of the turn
// before are still held by their sends.
uint32_t BufferCount(int64_t sockets) {
  return static_cast<uint32_t>(std::clamp<int64_t>(
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(sockets) * 2)),
      256, 32768));
}

// Receives on every socket, again where a receive has ended for want of a
// buffer.
class Receiver {
 public:
  explicit Receiver(RawRing* ring) : ring_(ring) {}
  void Add(int fd) { ring_->Receive(static_cast<uint32_t>(fd), fd); }
  // False at the end of the connection.
  bool OnEvent(const RawRing::Event& event) {
    if (event.result == -ENOBUFS) {
      starved_.push_back(static_cast<int>(event.index));
    } else if (event.result > 0 && !event.more) {
      Add(static_cast<int>(event.index));
    }
    return event.result > 0 || event.result == -ENOBUFS;
  }
  void Rearm() {
    for (int fd : starved_) Add(fd);
    starved_.clear();
  }

 private:
  RawRing* ring_;
  std::vector<int> starved_;
};

[[noreturn]] void Echo(const Args& args) {
  Reporter reporter;
  static Counts counts;
  RawRing::Options options;
  const int64_t sockets = args.Get("sockets", 1000);
  options.buffer_count =
      static_cast<uint32_t>(args.Get("buffers", BufferCount(sockets)));
  options.buffer_bytes = static_cast<uint32_t>(
      std::bit_ceil(static_cast<uint64_t>(args.Get("buffer", 2048))));
  RawRing ring(options, &counts);
  uint16_t port = 0;
  for (int fd : Listen(kAddresses, &port)) ring.Accept(fd);
  reporter.Start({&counts});
  Say("listening " + std::to_string(port));

  Receiver receiver(&ring);
  // A buffer is sent from where it was received, and is the kernel's again
  // when the next turn has submitted the send.
  std::vector<uint32_t> sending, sent;
  for (;;) {
    sent.swap(sending);
    ring.Turn(1, [&](const RawRing::Event& event) {
      const int fd = static_cast<int>(event.index);
      switch (event.kind) {
        case RawRing::Kind::kAccept:
          if (event.result < 0) Die("accept failed");
          SetNoDelay(event.result);
          SetReset(event.result);
          receiver.Add(event.result);
          if (!event.more) ring.Accept(fd);
          return;
        case RawRing::Kind::kReceive:
          if (!receiver.OnEvent(event)) {
            close(fd);
            return;
          }
          if (event.result <= 0) return;
          counts.events.Add(1);
          counts.bytes.Add(static_cast<uint64_t>(event.result));
          ring.Send(event.index, fd, event.data,
                    static_cast<uint32_t>(event.result));
          sending.push_back(event.buffer);
          return;
        case RawRing::Kind::kSend:
          // A peer that went away is no short send.
          if (event.result >= 0 || event.result == -EAGAIN) {
            DieOfShortSend(event.result);
          }
          return;
      }
    });
    for (uint32_t id : sent) ring.ReturnBuffer(id);
    sent.clear();
    ring.PublishBuffers();
    receiver.Rearm();
  }
}

[[noreturn]] void Pipelined(const Args& args) {
  Reporter reporter;
  static Counts counts;
  const Pipeline::Options pipeline_options = {
      static_cast<uint32_t>(args.Get("sockets", 128)),
      static_cast<uint32_t>(args.Get("in-flight", 512)),
      static_cast<uint32_t>(args.Get("message", 100))};
  Say("started");
  AwaitGo();
  RawRing::Options options;
  options.buffer_count = 2048;
  options.buffer_bytes = 8192;
  RawRing ring(options, &counts);
  Receiver receiver(&ring);
  std::vector<int> fds;
  std::vector<uint32_t> connection_of;
  const auto port = static_cast<uint16_t>(args.Get("port", 0));
  for (uint32_t i = 0; i < pipeline_options.connections; ++i) {
    fds.push_back(ConnectTo(i, port));
    connection_of.resize(static_cast<size_t>(fds[i]) + 1);
    connection_of[static_cast<size_t>(fds[i])] = i;
    receiver.Add(fds[i]);
  }
  Say("connected");
  AwaitGo();
  reporter.Start({&counts});

  Pipeline pipeline(pipeline_options);
  // What a turn wrote is sent while the next waits, and free when it returns:
  // two sets of buffers take turns.
  TurnBuffers buffers(pipeline_options.connections);
  Pipeline::Issuer<TurnBuffers> issuer(&pipeline, &buffers, &counts, 1);
  issuer.Start(0, pipeline_options.in_flight, 0, pipeline_options.connections);
  std::vector<std::pair<uint32_t, std::string>> sending;
  std::vector<std::string> spare;
  for (;;) {
    buffers.Flush([&](uint32_t connection, std::string* bytes) {
      sending.emplace_back(connection, std::string());
      if (!spare.empty()) {
        sending.back().second.swap(spare.back());
        spare.pop_back();
      }
      sending.back().second.swap(*bytes);
    });
    for (auto& [connection, bytes] : sending) {
      const int fd = fds[connection];
      ring.Send(static_cast<uint32_t>(fd), fd, bytes.data(),
                static_cast<uint32_t>(bytes.size()));
    }
    ring.Turn(1, [&](const RawRing::Event& event) {
      if (event.kind == RawRing::Kind::kSend) DieOfShortSend(event.result);
      if (!receiver.OnEvent(event)) Die("the responder went away");
      if (event.result <= 0) return;
      issuer.OnBytes(connection_of[event.index], event.data,
                     static_cast<size_t>(event.result));
      ring.ReturnBuffer(event.buffer);
    });
    for (auto& [connection, bytes] : sending) {
      bytes.clear();
      spare.push_back(std::move(bytes));
    }
    sending.clear();
    ring.PublishBuffers();
    receiver.Rearm();
  }
}

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() == "echo") socket_scaling::Echo(args);
  if (args.mode() == "pipelined") socket_scaling::Pipelined(args);
  socket_scaling::Die("usage: floor echo|pipelined --name=value ...");
}
