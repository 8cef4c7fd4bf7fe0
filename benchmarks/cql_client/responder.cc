// The cluster that every client of the study talks to: one process on one
// loop.
//
//   responder --hosts=H --shards=N
//
// Prints "listening PORT", the same on every host; SUPPORTED tells the
// shard-aware one. Its report (see measure.h) counts answers as events, and
// says how many connections are ready (`ready`, the control connections too),
// how many shards have at least one (`reached`), and how many answers had to
// carry metadata (`with_metadata`).
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/cql_client/fake_node.h"
#include "benchmarks/socket_scaling/measure.h"
#include "cql/protocol/frame.h"
#include "ioloop/listener.h"
#include "ioloop/loop.h"
#include "ioloop/stream.h"
#include "ioloop/task.h"

namespace cql_client {
namespace {

using socket_scaling::Count;
using socket_scaling::Counts;
using socket_scaling::Die;

// Read by the thread that reports.
struct Tally {
  Counts counts;
  Count with_metadata;
  std::atomic<int64_t> ready{0};
  std::atomic<int64_t> reached{0};
};

class Host {
 public:
  Host(const Cluster& cluster, uint32_t number, Tally* tally)
      : node_(cluster, number),
        tally_(tally),
        shards_(cluster.shards),
        ready_(cluster.shards) {}

  ioloop::Task<> Accept(ioloop::Listener* listener, bool shard_aware) {
    for (;;) {
      absl::StatusOr<ioloop::Stream> stream = co_await listener->Accept();
      if (!stream.ok()) Die(stream.status().ToString());
      const uint32_t shard =
          (shard_aware ? stream->peer_address().port() : next_shard_++) %
          shards_;
      tasks_.Spawn(Serve(*std::move(stream), shard));
    }
  }

 private:
  ioloop::Task<> Serve(ioloop::Stream stream, uint32_t shard) {
    cql::protocol::FrameReader reader(
        {.direction = cql::protocol::Direction::kRequests});
    std::string answer;
    bool ready = false;
    for (;;) {
      absl::StatusOr<ioloop::ReceivedBytes> bytes = co_await stream.Receive();
      if (!bytes.ok() || bytes->empty()) break;
      reader.Feed(bytes->view());
      cql::protocol::Frame frame;
      while (reader.Next(&frame)) {
        const FakeNode::Read read = node_.AsRead(frame);
        if (read.answer != nullptr) {
          tally_->counts.events.Add(1);
          if (read.with_metadata) tally_->with_metadata.Add(1);
          char* out = stream.Reserve(read.answer->size()).data();
          FakeNode::WriteAnswer(read, frame.header.stream, out);
          stream.Commit(read.answer->size());
          continue;
        }
        answer.clear();
        node_.Answer(frame, shard, &answer);
        stream.Queue(answer);
        if (frame.header.opcode == cql::protocol::Opcode::kStartup && !ready) {
          ready = true;
          ++tally_->ready;
          if (ready_[shard]++ == 0) ++tally_->reached;
        }
      }
      if (!reader.status().ok()) break;
    }
    if (ready) {
      --tally_->ready;
      if (--ready_[shard] == 0) --tally_->reached;
    }
    co_await stream.Close();
  }

  FakeNode node_;
  Tally* const tally_;
  const uint32_t shards_;
  uint32_t next_shard_ = 0;
  std::vector<uint32_t> ready_;  // Connections, by shard.
  ioloop::TaskGroup tasks_;
};

// On the same port of every host, or nothing.
std::optional<std::vector<ioloop::Listener>> Bind(ioloop::Loop* loop,
                                                  uint32_t hosts) {
  std::vector<ioloop::Listener> listeners;
  uint16_t port = 0;
  for (uint32_t host = 0; host < hosts; ++host) {
    auto address =
        ioloop::SocketAddress::FromIp(absl::StrCat("127.0.0.", 1 + host), port);
    auto listener = ioloop::Listener::Bind(loop, *address);
    if (!listener.ok()) return std::nullopt;
    port = listener->local_address().port();
    listeners.push_back(*std::move(listener));
  }
  return listeners;
}

std::vector<ioloop::Listener> BindSomewhere(ioloop::Loop* loop,
                                            uint32_t hosts) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (auto listeners = Bind(loop, hosts)) return *std::move(listeners);
  }
  Die("found no port that is free on every loopback address");
}

[[noreturn]] void Serve(const socket_scaling::Args& args) {
  socket_scaling::Reporter reporter;
  auto made = ioloop::Loop::Create({});
  if (!made.ok()) socket_scaling::Skip(made.status().ToString());
  ioloop::Loop* loop = made->get();
  Cluster cluster;
  cluster.hosts = static_cast<uint32_t>(args.Get("hosts", 1));
  cluster.shards = static_cast<uint32_t>(args.Get("shards", 1));
  // The floor spreads its connections over every address there is.
  const uint32_t addresses =
      std::max(cluster.hosts, socket_scaling::kAddresses);
  std::vector<ioloop::Listener> plain = BindSomewhere(loop, addresses);
  std::vector<ioloop::Listener> shard_aware = BindSomewhere(loop, addresses);
  cluster.port = plain[0].local_address().port();
  cluster.shard_aware_port = shard_aware[0].local_address().port();

  Tally tally;
  reporter.Start(
      {&tally.counts}, [&](socket_scaling::Reporter::Totals* totals) {
        totals->more = absl::StrCat(
            " ready=", tally.ready.load(), " reached=", tally.reached.load(),
            " with_metadata=", tally.with_metadata.Get());
      });
  std::vector<std::unique_ptr<Host>> hosts;
  ioloop::TaskGroup tasks;
  for (uint32_t i = 0; i < addresses; ++i) {
    hosts.push_back(std::make_unique<Host>(cluster, i, &tally));
    tasks.Spawn(hosts[i]->Accept(&plain[i], false));
    tasks.Spawn(hosts[i]->Accept(&shard_aware[i], true));
  }
  socket_scaling::Say(absl::StrCat("listening ", cluster.port));
  static_cast<void>(loop->Run());
  Die("the loop ended");
}

}  // namespace
}  // namespace cql_client

int main(int argc, char** argv) {
  cql_client::Serve(socket_scaling::Args(argc, argv));
}
