// The loop under study, used as its examples use it, with its defaults.
//
//   ioloop echo [--latency-budget-us=U] [--epoll-batch=N] [--incremental=1]
//   ioloop pipelined ... --port=P --sockets=N --in-flight=W --message=BYTES
//
// A batch asks for the readiness backend, which then takes one batch of events
// a turn, as other loops on epoll do.
#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/socket_scaling/measure.h"
#include "benchmarks/socket_scaling/pipeline.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace socket_scaling {
namespace {

std::unique_ptr<ioloop::Loop> MakeLoop(const Args& args) {
  ioloop::Loop::Options options;
  options.buffer_count =
      static_cast<uint32_t>(args.Get("buffers", options.buffer_count));
  options.incremental_buffers = args.Get("incremental", 0) != 0;
  options.latency_budget = absl::Microseconds(args.Get("latency-budget-us", 0));
  const int64_t batch = args.Get("epoll-batch", 0);
  options.backend =
      batch > 0 ? ioloop::BackendKind::kEpoll : ioloop::BackendKind::kUring;
  if (batch > 0) {
    options.epoll_batch = static_cast<uint32_t>(batch);
    options.epoll_drain = false;
  }
  auto loop = ioloop::Loop::Create(options);
  if (!loop.ok()) Skip(loop.status().ToString());
  return *std::move(loop);
}

// What the heap gave for the coroutine that serves a socket.
class FrameBytes {
 public:
  // Calls `spawn` for each of the first sockets; what most of them cost counts.
  template <typename Spawn>
  void Measure(Spawn&& spawn) {
    if (sample_.size() == kSockets) return spawn();
    const size_t before = mallinfo2().uordblks;
    spawn();
    sample_.push_back(mallinfo2().uordblks - before);
    std::nth_element(
        sample_.begin(),
        sample_.begin() + static_cast<ptrdiff_t>(sample_.size() / 2),
        sample_.end());
    median_.store(sample_[sample_.size() / 2], std::memory_order_relaxed);
  }
  uint64_t Get() const { return median_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kSockets = 63;
  std::vector<size_t> sample_;
  std::atomic<uint64_t> median_{0};
};

void StartReport(Reporter* reporter, const ioloop::Loop& loop,
                 const Counts* counts, const FrameBytes* frames = nullptr) {
  reporter->Start({counts}, [&loop, frames](Reporter::Totals* totals) {
    totals->turns = loop.stats().turns;
    totals->syscalls = loop.stats().system_calls;
    if (frames != nullptr) totals->frame_bytes = frames->Get();
  });
}

constexpr size_t kUnsentMax = 65536;

ioloop::Task<> EchoClient(ioloop::Stream stream, Counts* counts) {
  for (;;) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream.Receive();
    if (!bytes.ok() || bytes->empty()) break;
    counts->events.Add(1);
    counts->bytes.Add(bytes->size());
    stream.Queue(*bytes);
    // A client that does not read is not read from.
    if (stream.queued_bytes() > kUnsentMax) {
      bytes->Return();
      if (!(co_await stream.Drained()).ok()) break;
    }
  }
  co_await stream.Close();
}

ioloop::Task<> Serve(ioloop::Listener* listener, ioloop::TaskGroup* clients,
                     Counts* counts, FrameBytes* frames) {
  for (;;) {
    absl::StatusOr<ioloop::Stream> stream = co_await listener->Accept();
    if (!stream.ok()) Die(stream.status().ToString());
    SetReset(stream->fd());
    frames->Measure(
        [&] { clients->Spawn(EchoClient(*std::move(stream), counts)); });
  }
}

[[noreturn]] void Echo(const Args& args) {
  Reporter reporter;
  Counts counts;
  const std::unique_ptr<ioloop::Loop> loop = MakeLoop(args);
  auto listener = ioloop::Listener::Bind(loop.get(), 0);
  if (!listener.ok()) Die(listener.status().ToString());
  FrameBytes frames;
  StartReport(&reporter, *loop, &counts, &frames);
  Say("listening " + std::to_string(listener->local_address().port()));
  ioloop::TaskGroup tasks;
  tasks.Spawn(Serve(&*listener, &tasks, &counts, &frames));
  static_cast<void>(loop->Run());
  Die("the loop ended");
}

// Queues into the streams, which send once a turn by themselves.
class Streams {
 public:
  explicit Streams(std::vector<ioloop::Stream>* streams) : streams_(streams) {}
  char* Reserve(uint32_t connection, uint32_t bytes) {
    return (*streams_)[connection].Reserve(bytes).data();
  }
  void Commit(uint32_t connection, uint32_t bytes) {
    (*streams_)[connection].Commit(bytes);
  }

 private:
  std::vector<ioloop::Stream>* streams_;
};

using Issuer = Pipeline::Issuer<Streams>;

ioloop::Task<> ReceiveOn(ioloop::Stream* stream, uint32_t connection,
                         Issuer* issuer) {
  for (;;) {
    absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream->Receive();
    if (!bytes.ok() || bytes->empty()) Die("the responder went away");
    issuer->OnBytes(connection, bytes->data(), bytes->size());
  }
}

[[noreturn]] void Pipelined(const Args& args) {
  Reporter reporter;
  Counts counts;
  const Pipeline::Options options = {
      static_cast<uint32_t>(args.Get("sockets", 128)),
      static_cast<uint32_t>(args.Get("in-flight", 512)),
      static_cast<uint32_t>(args.Get("message", 100))};
  Say("started");
  AwaitGo();
  const std::unique_ptr<ioloop::Loop> loop = MakeLoop(args);
  std::vector<ioloop::Stream> streams;
  for (uint32_t i = 0; i < options.connections; ++i) {
    streams.push_back(ioloop::Stream::Adopt(
        loop.get(), ConnectTo(i, static_cast<uint16_t>(args.Get("port", 0)))));
  }
  Say("connected");
  AwaitGo();
  StartReport(&reporter, *loop, &counts);
  Pipeline pipeline(options);
  Streams sink(&streams);
  Issuer issuer(&pipeline, &sink, &counts, 1);
  ioloop::TaskGroup tasks;
  for (uint32_t i = 0; i < options.connections; ++i) {
    tasks.Spawn(ReceiveOn(&streams[i], i, &issuer));
  }
  issuer.Start(0, options.in_flight, 0, options.connections);
  static_cast<void>(loop->Run());
  Die("the loop ended");
}

}  // namespace
}  // namespace socket_scaling

int main(int argc, char** argv) {
  const socket_scaling::Args args(argc, argv);
  if (args.mode() == "echo") socket_scaling::Echo(args);
  if (args.mode() == "pipelined") socket_scaling::Pipelined(args);
  socket_scaling::Die("usage: ioloop echo|pipelined --name=value ...");
}
